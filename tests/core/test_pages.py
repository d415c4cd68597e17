"""Levels and gfn arithmetic."""

from __future__ import annotations

import pytest

from mmuviz.core import pages


def test_sizes_in_the_kernels_numbering() -> None:
    assert (pages.PG_LEVEL_4K, pages.PG_LEVEL_2M, pages.PG_LEVEL_1G, pages.PG_LEVEL_512G) == (1, 2, 3, 4)
    # 4 KiB pages in 4 KiB, 2 MiB, 1 GiB and 512 GiB.
    assert [pages.pages_per_hpage(level) for level in (1, 2, 3, 4)] == [1, 512, 262_144, 134_217_728]
    assert pages.PAGES_PER_2M * pages.PAGE_BYTES == 2 << 20
    assert pages.PAGES_PER_1G * pages.PAGE_BYTES == 1 << 30
    assert pages.PAGES_PER_512G * pages.PAGE_BYTES == 512 << 30
    assert (1 << pages.GFN_BITS) * pages.PAGE_BYTES == 256 << 40
    assert 1 << pages.WORD_SHIFT == pages.BITS_PER_LONG == 64


@pytest.mark.parametrize(
    ("gfn", "level", "first"),
    [
        (0, 2, 0),
        (511, 2, 0),
        (512, 2, 512),
        (1023, 2, 512),
        (262_143, 3, 0),
        (262_144, 3, 262_144),
        (777, 1, 777),
        ((1 << 36) - 1, 4, (1 << 36) - 134_217_728),
    ],
)
def test_round_down(gfn: int, level: int, first: int) -> None:
    assert pages.round_down(gfn, level) == first


@pytest.mark.parametrize(
    ("count", "multiple", "up"),
    [(0, 64, 0), (1, 64, 64), (64, 64, 64), (65, 64, 128), (3_221_225_473, 4, 3_221_225_476)],
)
def test_round_up(count: int, multiple: int, up: int) -> None:
    assert pages.round_up(count, multiple) == up
