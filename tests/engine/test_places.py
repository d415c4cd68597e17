"""Positions of the vCPUs and of the thread that calls ioctls at the end of each bin."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.recording.schema import WALKS
from tests.engine.runs import GIB, ran, scenario_of
from tests.engine.scenarios import scenarios

SWEEP = scenario_of(
    {
        "vm": {"kernel": "6.12", "dirty_log_mode": "manual", "eager_page_split": True, "vcpus": 2},
        "memory": [{"base": 4 * GIB, "size": 2 * GIB, "backing": "hugetlb_1g"}],
        "workload": {"pattern": "sequential", "rate_hz": 1_000_000},
        "driver": {"kind": "enable_only", "lead": 5_000_000, "tail": 20_000_000},
    }
)
PAGES_OF_A_PART = GIB // 4096


def test_a_vcpu_is_as_far_in_its_part_as_it_made_accesses() -> None:
    """Before logging each vCPU makes one access a microsecond, in order, from its part's first page on."""
    recording = ran(SWEEP).recording
    bins = int(np.argmax(recording.bins.ioctl_ps > 0))
    gfn = recording.vcpu_bins.gfn.reshape(-1, 2)[:bins]
    made = (np.arange(bins) + 1) * recording.header.bin_ps // 1_000_000
    for vcpu in range(2):
        expected = (4 * GIB + vcpu * GIB) // 4096 + made % PAGES_OF_A_PART
        assert np.abs(gfn[:, vcpu] - expected).max() <= 1


def test_the_ioctl_goes_over_the_memslot_part_by_part() -> None:
    """6.12 with PML and eager splitting: it splits, and then clears dirty bits, from the first page to the last."""
    recording = ran(SWEEP).recording
    walk, gfn = recording.bins.walk, recording.bins.walk_gfn
    names = [WALKS[each] for each in walk[walk > 0]]
    assert names == sorted(names, key=["split", "clear_dirty"].index)
    assert set(names) == {"split", "clear_dirty"}
    for name in set(names):
        at = gfn[walk == WALKS.index(name)]
        assert (np.diff(at) > 0).all()
        assert 4 * GIB // 4096 <= at[0] < at[-1] <= 6 * GIB // 4096


@settings(max_examples=30)
@given(scenarios(large=False))
def test_everybody_is_inside_a_memslot(scenario: Scenario) -> None:
    recording = ran(scenario).recording
    ends = [(slot.base // 4096, (slot.base + slot.size) // 4096) for slot in scenario.memory]
    for gfn in np.unique(recording.vcpu_bins.gfn):
        assert gfn == -1 or any(first <= gfn < end for first, end in ends)
    walk, gfns = recording.bins.walk, recording.bins.walk_gfn
    assert (gfns[walk == 0] == -1).all()
    for gfn in np.unique(gfns[gfns >= 0]):
        assert any(first <= gfn <= end for first, end in ends)
