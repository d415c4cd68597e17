"""Costs of a GET besides its instructions: the copy of the bitmap, and the first touch of userspace's buffer."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from mmuviz.core.pages import PAGE_BYTES
from tests.engine.runs import MIB, of_kind, ran, scenario_of

PAGES_PER_LINE: Final = 64 * 8
PS_PER_NS: Final = 1000


def gets_ps(mode: str, size: int, **overrides: int) -> list[int]:
    """Return the times of the GETs of a run with three iterations, for a clean slot of a given size in bytes."""
    made = ran(
        scenario_of(
            {
                "vm": {"dirty_log_mode": mode, "kernel": "6.12", "pml": True},
                "memory": [{"base": 0, "size": size, "backing": "hugetlb_2m"}],
                "workload": {"pattern": "sequential", "write_percent": 0},
                "driver": {"kind": "dirty_log_perf_test", "iterations": 3},
                "host": {"overrides": overrides},
            }
        )
    ).recording
    rows = of_kind(made, "get")
    return [int(each) for each in (made.calls.end_ps - made.calls.start_ps)[rows]]


@pytest.mark.parametrize("mode", ["legacy", "manual", "manual_initially_set"])
def test_a_get_grows_with_the_bitmap(mode: str) -> None:
    small, large, larger = (gets_ps(mode, size * MIB) for size in (256, 512, 1024))
    for at in range(3):
        assert larger[at] - large[at] == 2 * (large[at] - small[at]) > 0


@pytest.mark.parametrize("mode", ["legacy", "manual"])
def test_the_first_get_touches_the_buffer(mode: str) -> None:
    first, second, third = gets_ps(mode, 1024 * MIB, page_alloc_ns=1000)
    pages = 1024 * MIB // PAGE_BYTES // (8 * PAGE_BYTES)
    assert first - second == pages * 1000 * PS_PER_NS
    assert second == third


@pytest.mark.parametrize("mode", ["legacy", "manual"])
def test_the_copy_is_priced_by_the_cache_line(mode: str) -> None:
    cheap, dear = (gets_ps(mode, 1024 * MIB, copy_ps=ps) for ps in (10_000, 30_000))
    lines = 1024 * MIB // PAGE_BYTES // PAGES_PER_LINE
    assert np.subtract(dear, cheap).tolist() == [lines * 20_000] * 3
