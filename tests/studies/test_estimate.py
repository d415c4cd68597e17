"""Estimates of migrations: many small CLEARs and dirty rings take long to simulate."""

from __future__ import annotations

from typing import Any

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.studies.estimate import MOST_SECONDS, NS_A_CHUNK, NS_A_CLEAR, NS_A_RING_ENTRY, NS_PER_S, PASSES, cost_of


def seconds(mode: str = "manual", shift: int = 18, size: str = "384 GiB", **workload: Any) -> float:  # noqa: ANN401  # fields of the workload
    document = {
        "vm": {"vcpus": 96, "dirty_log_mode": mode},
        "memory": [{"size": size, "backing": "hugetlb_1g"}],
        "workload": workload or {"pattern": "idle"},
        "driver": {
            "kind": "qemu_precopy",
            "link": "25 Gbit/s",
            "bandwidth": "25 Gbit/s",
            "multifd_channels": 8,
            "clear_bitmap_shift": shift,
            "longest": "10 min",
        },
    }
    return cost_of(Scenario.model_validate(document)).seconds


def test_many_small_clears_take_long() -> None:
    """384 GiB by 2 MiB took more than five minutes, by 1 GiB six seconds."""
    assert seconds(shift=9) > MOST_SECONDS > 10 * seconds(shift=18)
    chunks = 384 * 512 - 384
    more = PASSES * chunks * (NS_A_CHUNK + NS_A_CLEAR) / NS_PER_S
    assert seconds(shift=9) - seconds(shift=18) == pytest.approx(more, abs=0.01)


@pytest.mark.parametrize("mode", ["legacy", "ring"])
def test_a_mode_without_clear_has_none(mode: str) -> None:
    more = PASSES * (384 * 512 - 384) * NS_A_CHUNK / NS_PER_S
    assert seconds(mode, 9) - seconds(mode, 18) == pytest.approx(more, abs=0.01)


def test_a_part_of_a_chunk_is_a_chunk() -> None:
    assert seconds(shift=18, size="1 GiB") < seconds(shift=18, size="1026 MiB")
    one, two = (seconds(shift=31, size=size) for size in ("2 MiB", "4 MiB"))
    assert two - one < NS_A_CHUNK / NS_PER_S


def test_each_page_that_is_dirty_again_is_an_entry_of_a_ring() -> None:
    writes: dict[str, Any] = {"pattern": "hot_set", "hot_percent": 5, "hot_access_percent": 100, "rate_hz": 2000}
    without = seconds("legacy", **writes)
    pass_s = (384 << 30) / (25 * 10**9 / 8)
    entries = 96 * 2000 * PASSES * pass_s
    assert seconds("ring", **writes) - without == pytest.approx(entries * NS_A_RING_ENTRY / NS_PER_S, rel=0.01)
    assert seconds("ring") == seconds("legacy")
