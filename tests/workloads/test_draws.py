"""Draws: uniform over any number of pages, the hot set's and Zipf's shares, the same with and without the compiler."""

from __future__ import annotations

import hashlib
import math
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.core.jit import jit
from mmuviz.workloads import draws, stream
from mmuviz.workloads.hot_set import HotSet
from mmuviz.workloads.pattern import Pattern
from mmuviz.workloads.stream import I64
from mmuviz.workloads.zipf import Zipf, octave_sums

DRAWS = 200_000
LARGE = 402_653_184
"""Pages of 1.5 TiB."""


@jit
def fill_uniform(out: I64, seed: int, count: int) -> int:
    for position in range(len(out)):
        out[position] = draws.uniform(seed, position, count)
    return len(out)


@jit
def fill_hot(out: I64, rows: I64, seed: int) -> int:
    for position in range(len(out)):
        out[position] = draws.hot_page(rows, 0, seed, position)
    return len(out)


@jit
def fill_zipf(out: I64, rows: I64, seed: int) -> int:
    for position in range(len(out)):
        out[position] = draws.zipf_page(rows, 0, seed, position)
    return len(out)


@jit
def numbers_below(out: I64, bit_patterns: I64, count: int) -> int:
    for index in range(len(out)):
        out[index] = draws.number_below(np.uint64(bit_patterns[index]), count)
    return len(out)


def uniform(count: int, seed: int = 1) -> I64:
    out = np.zeros(DRAWS, dtype=np.int64)
    with np.errstate(over="ignore"):  # SplitMix64 wraps; without the compiler NumPy says so
        fill_uniform(out, seed, count)
    return out


def drawn(pattern: Pattern, pages: int, many: int = DRAWS) -> I64:
    rows = pattern.streams(0, pages, 1)
    out = np.zeros(many, dtype=np.int64)
    with np.errstate(over="ignore"):
        (fill_hot if isinstance(pattern, HotSet) else fill_zipf)(out, rows, 7)
    assert out.min() >= 0
    assert out.max() < pages
    return out


def chi_square(counts: I64, chances: Iterable[float]) -> float:
    total = int(counts.sum())
    expected = [float(chance) * total for chance in chances]
    parts = [(count - each) * (count - each) / each for count, each in zip(counts.tolist(), expected, strict=True)]
    return float(sum(parts))


def far(degrees: int) -> float:
    """Return the bound that a chi-square exceeds once in some millions: five deviations above its mean."""
    return degrees + 5 * math.sqrt(2 * degrees) + 10


@pytest.mark.parametrize("count", [LARGE, LARGE + 1, 3 * 10**8 + 7, (1 << 31) + 11, (1 << 40) - 1])
def test_thirds_of_a_large_guest_are_hit_alike(count: int) -> None:
    thirds = np.bincount(uniform(count) * 3 // count, minlength=3)
    assert chi_square(thirds, [1 / 3] * 3) < far(2)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7, 100, 511, 513, 1000])
def test_each_page_of_a_small_part_is_hit_alike(count: int) -> None:
    counts = np.bincount(uniform(count), minlength=count)
    assert len(counts) == count
    assert chi_square(counts, [1 / count] * count) < far(count - 1)


def test_a_small_range_of_a_large_guest_is_hit_page_by_page() -> None:
    pages = uniform(LARGE)
    assert chi_square(np.bincount(pages % 512, minlength=512), [1 / 512] * 512) < far(511)
    assert len(np.unique(pages)) > DRAWS * 0.999


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=20), st.integers(1, (1 << 63) - 1))
def test_the_product_of_128_bits_is_exact(bit_patterns: list[int], count: int) -> None:
    out = np.zeros(len(bit_patterns), dtype=np.int64)
    numbers_below(out, np.array(bit_patterns, dtype=np.int64), count)
    assert out.tolist() == [((bits % (1 << 64)) * count) >> 64 for bits in bit_patterns]


@pytest.mark.parametrize(("ppm", "permille", "pages"), [(50_000, 900, 10_000), (9_766, 1000, LARGE), (500_000, 0, 101)])
def test_hot_pages_have_their_share(ppm: int, permille: int, pages: int) -> None:
    pattern = HotSet(hot_ppm=ppm, hot_access_permille=permille)
    hot = pattern.hot_pages(pages)
    assert hot == max(1, pages * ppm // 1_000_000)
    found = drawn(pattern, pages)
    share = float((found < hot).mean())
    assert abs(share - permille / 1000) < 0.005
    for part, size in ((found[found < hot], hot), (found[found >= hot] - hot, pages - hot)):
        if len(part) > 1000:
            halves = np.bincount(part * 2 // size, minlength=2)
            assert chi_square(halves, [(size + 1) // 2 / size, size // 2 / size]) < far(1)


def test_a_part_that_is_all_hot_is_drawn_evenly() -> None:
    counts = np.bincount(drawn(HotSet(hot_ppm=1_000_000, hot_access_permille=0), 10), minlength=10)
    assert chi_square(counts, [0.1] * 10) < far(9)


@pytest.mark.parametrize("hundredths", [0, 50, 99, 100, 120, 400])
@pytest.mark.parametrize("pages", [1, 2, 3, 100, 5000])
def test_octaves_of_ranks_have_the_chances_of_zipf(hundredths: int, pages: int) -> None:
    weights = np.arange(1, pages + 1, dtype=float) ** (-hundredths / 100)
    octaves = np.frexp(np.arange(1, pages + 1))[1] - 1
    chances = np.bincount(octaves, weights=weights) / weights.sum()
    sums = np.array(octave_sums(pages, hundredths), dtype=float) / 2**63
    assert np.allclose(np.cumsum(chances), sums, rtol=0, atol=1e-6)
    counts = np.bincount(octaves[drawn(Zipf(exponent_hundredths=hundredths), pages)], minlength=len(chances))
    keep = chances * DRAWS > 20
    assert chi_square(counts[keep], chances[keep] / chances[keep].sum()) < far(int(keep.sum()))


def test_zipf_reaches_every_page_of_the_largest_guest() -> None:
    found = drawn(Zipf(exponent_hundredths=0), LARGE)
    assert chi_square(np.bincount(found * 3 // LARGE, minlength=3), [1 / 3] * 3) < far(2)
    assert len(octave_sums(1 << 40, 99)) == stream.OCTAVES
    assert octave_sums(1 << 40, 99)[-1] == (1 << 63) - 1


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [(HotSet, "hot_ppm", -1), (HotSet, "hot_access_permille", 1001), (Zipf, "exponent_hundredths", 401)],
)
def test_a_bad_field_is_refused(kind: type[Pattern], field: str, value: int) -> None:
    bad: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=f"{field}={value} must be"):
        kind(**bad)


SAMPLE = """
import numpy as np, hashlib
from tests.workloads.test_draws import drawn, uniform, HotSet, Zipf, LARGE
import tests.workloads.test_draws as here
here.DRAWS = 2000
parts = [uniform(LARGE, 3), drawn(HotSet(), 1001, 2000), drawn(Zipf(), LARGE, 2000)]
print(hashlib.sha256(np.concatenate(parts).tobytes()).hexdigest())
"""


def test_draws_are_the_same_without_the_compiler(repository: Path) -> None:
    def said(**environment: str) -> str:
        answer = subprocess.run(
            [sys.executable, "-c", SAMPLE],
            cwd=repository,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()

    plain = said(NUMBA_DISABLE_JIT="1")
    assert len(plain) == len(hashlib.sha256().hexdigest())
    assert plain == said(NUMBA_DISABLE_JIT="0")
