"""A pattern is a rule: the accesses of a vCPU depend only on its columns and its position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.core.errors import InputError
from mmuviz.core.jit import jit
from mmuviz.workloads import accesses, stream
from mmuviz.workloads.copy import Copy
from mmuviz.workloads.idle import Idle
from mmuviz.workloads.kernel_noise import KernelNoise
from mmuviz.workloads.pattern import Pattern
from mmuviz.workloads.sequential import Sequential
from mmuviz.workloads.stream import I64
from mmuviz.workloads.strided import Strided
from mmuviz.workloads.uniform_random import UniformRandom

NO_MOVE = np.zeros((1, 2), dtype=np.int64)
"""One memslot, whose pages have their own numbers as gfns."""


@jit
def gfn_at(rows: I64, vcpu: int, position: int) -> int:
    return int(accesses.gfn_at(rows, NO_MOVE, rows[0], vcpu, position))


@jit
def is_write_at(rows: I64, vcpu: int, position: int) -> int:
    return int(accesses.is_write_at(rows, rows[0], vcpu, position))


def touched(pattern: Pattern, pages: int, vcpus: int) -> list[list[int]]:
    rows = pattern.streams(1000, pages, vcpus)
    return [[gfn_at(rows, vcpu, position) for position in range(rows[vcpu, stream.ACCESSES])] for vcpu in range(vcpus)]


@given(st.integers(1, 300), st.integers(1, 7))
def test_a_sweep_touches_every_page_once(pages: int, vcpus: int) -> None:
    if pages < vcpus:
        with pytest.raises(InputError, match="at least one for each"):
            Sequential().streams(0, pages, vcpus)
        return
    assert [gfn for part in touched(Sequential(), pages, vcpus) for gfn in part] == list(range(1000, 1000 + pages))


def test_a_stride_touches_one_page_in_so_many() -> None:
    assert touched(Strided(stride_pages=4), 16, 2) == [[1000, 1004], [1008, 1012]]
    assert touched(Strided(stride_pages=4, shared=True), 10, 2) == [[1000, 1004, 1008]] * 2


def test_idle_vcpus_touch_nothing() -> None:
    assert touched(Idle(), 10, 2) == [[], []]


def test_random_pages_are_spread_and_differ_by_vcpu_and_seed() -> None:
    first, second = touched(UniformRandom(per_pass=4000, shared=True), 64, 2)
    assert set(first) == set(range(1000, 1064))
    counts = np.bincount(np.array(first) - 1000, minlength=64)
    assert counts.max() < 2 * counts.mean()
    assert first != second
    assert touched(UniformRandom(per_pass=4000, shared=True, seed=2), 64, 2)[0] != first


@pytest.mark.parametrize("permille", [0, 50, 500, 1000])
def test_as_many_accesses_write_as_were_asked_for(permille: int) -> None:
    rows = Sequential(write_permille=permille).streams(0, 20_000, 1)
    writes = sum(is_write_at(rows, 0, position) for position in range(20_000))
    assert abs(writes / 20_000 - permille / 1000) < 0.01


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Sequential, "write_permille", 1001),
        (Sequential, "rate_hz", -1),
        (Sequential, "exit_rate_hz", -1),
        (Sequential, "seed", -1),
        (Strided, "stride_pages", 0),
        (UniformRandom, "per_pass", -1),
    ],
)
def test_a_bad_field_is_refused(kind: type[Pattern], field: str, value: int) -> None:
    bad: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=f"{field}={value} must be"):
        kind(**bad)


@given(st.integers(1, 60), st.integers(1, 4))
def test_a_copy_reads_the_lower_half_and_writes_the_upper_once(pages: int, vcpus: int) -> None:
    if pages < vcpus:
        return
    rows = Copy().streams(1000, pages, vcpus)
    for vcpu, mine in enumerate(touched(Copy(), pages, vcpus)):
        first, size = int(rows[vcpu, stream.FIRST_PAGE]), int(rows[vcpu, stream.PAGES])
        half = max(size // 2, 1)
        assert mine[0::2] == list(range(first, first + half))
        assert mine[1::2] == list(range(first + size - half, first + size))
        assert [is_write_at(rows, vcpu, position) for position in range(len(mine))] == [0, 1] * half
        assert gfn_at(rows, vcpu, len(mine)) == mine[0]


@given(st.integers(1, 40), st.integers(1, 400))
def test_ticks_write_a_small_area_alone(noise: int, pages: int) -> None:
    (mine,) = touched(KernelNoise(noise_pages=noise), pages, 1)
    assert set(mine) <= set(range(1000, 1000 + min(noise, pages)))
    assert len(mine) == pages
