"""Bins of time: their width and the stops at their ends change nothing, and they add up to totals, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings

from mmuviz.engine import clock as layout
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.session import Session
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CAUSES, FAULT_PATHS, FULL_SHARE, SPLIT_PLACES, TABLES, WHOLE_FAULT
from tests.engine.runs import Prepare, differing, ioctl_rows, ran
from tests.engine.scenarios import scenarios

OF_BINS = ("header.bin_ps", "header.bins", "bins", "cells", "vcpu_bins", "examples", "sent_cells")
"""Fields and tables that depend on the width of a bin."""
NAMES = [column.name for column in TABLES["bins"]]
SUMS = NAMES[: NAMES.index("table_pages")]
AT_END = NAMES[NAMES.index("table_pages") :]


def with_bins(shift: int) -> Prepare:
    """Bins are 2 ** shift ps wide at first."""

    def prepare(session: Session) -> None:
        session.machine.clock.regs[layout.BIN_SHIFT] = shift

    return prepare


def in_pairs(column: np.ndarray[Any, np.dtype[np.int64]]) -> list[int]:
    """Sums of every two values."""
    pairs: list[int] = np.append(column, np.zeros(len(column) % 2, dtype=np.int64)).reshape(-1, 2).sum(axis=1).tolist()
    return pairs


@settings(max_examples=20)
@given(scenarios(large=False))
def test_the_width_of_bins_changes_nothing_else(scenario: Scenario) -> None:
    narrow = ran(scenario).recording
    shift = narrow.header.bin_ps.bit_length()
    wide = ran(scenario, prepare=with_bins(shift)).recording
    assert wide.header.bin_ps == 2 * narrow.header.bin_ps
    assert differing(narrow, wide, OF_BINS) == []
    assert narrow.totals == wide.totals
    for name in SUMS:
        assert in_pairs(narrow.bins[name]) == wide.bins[name].tolist(), name
    for name in AT_END:
        ends = np.append(narrow.bins[name][1::2], narrow.bins[name][-1:])[: wide.header.bins]
        assert ends.tolist() == wide.bins[name].tolist(), name
    whole = ran(scenario, prepare=with_bins(narrow.header.end_ps.bit_length())).recording
    assert whole.header.bins == 1
    assert differing(narrow, whole, OF_BINS) == []


@settings(max_examples=30)
@given(scenarios())
def test_bins_add_up_to_totals(scenario: Scenario) -> None:
    made, session = ran(scenario)
    bins, vcpus, calls, clock = made.bins, made.vcpus, made.calls, session.machine.clock
    for cause in CAUSES:
        assert bins[f"stall_{cause}_ps"].sum() == vcpus[f"stall_{cause}_ps"].sum(), cause
    for kind in FAULT_PATHS:
        assert bins[f"faults_{kind}"].sum() == vcpus[f"faults_{kind}"].sum(), kind
    assert bins.slow_write_ps.sum() == vcpus.slow_write_ps.sum()
    assert bins.accesses.sum() == vcpus.accesses.sum() == clock.regs[layout.RETIRED_ALL]
    check_calls(made)
    faults = sum(int(vcpus[f"faults_{kind}"].sum()) for kind in FAULT_PATHS)
    assert made.stalls.hist[WHOLE_FAULT].sum() == faults
    assert sum(made.totals["faults"].values()) == faults
    assert made.longest.stall_ps[:1].tolist() == [each for each in [vcpus.stall_max_ps.max()] if each]
    check_shares(made)
    assert int(calls.end_ps.max(initial=0)) <= made.header.end_ps <= made.header.bins * made.header.bin_ps


def check_calls(made: Recording) -> None:
    """Check that calls and phases have the same sums of the guest and of ioctls as bins."""
    bins, calls, ioctls = made.bins, made.calls, ioctl_rows(made)
    took = (calls.end_ps - calls.start_ps - calls.wait_ps)[ioctls]
    assert bins.ioctl_ps.sum() == took.sum()
    splits = sum(int(bins[f"splits_{place}"].sum()) for place in SPLIT_PLACES)
    assert splits == calls.splits.sum()
    assert bins.zaps.sum() == calls.zaps.sum()
    assert bins.tlb_flushes.sum() == calls.tlb_flushes.sum()
    assert bins.accesses.sum() >= calls.accesses[~ioctls].sum()
    assert (calls.hold_ps <= calls.end_ps - calls.start_ps).all()


def check_shares(made: Recording) -> None:
    """Check that the times of a vCPU in a bin are not longer than the bin."""
    shares = made.vcpu_bins.shares.astype(np.int64)
    assert shares.shape == (made.header.bins * made.header.vcpus, 4)
    assert (shares.sum(axis=1) <= FULL_SHARE + 2).all()  # each of the parts is rounded
