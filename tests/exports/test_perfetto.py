"""The trace: JSON of Chrome's trace-event format whose slices nest and add up."""

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from mmuviz.exports.perfetto import IOCTL_THREAD, PHASES, STALL_LANE, TIME_LANE, trace_text, vcpu_lane, write_perfetto
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, CAUSES, IOCTL_COUNT
from tests.recording.made_recordings import made_recording, recordings

Event = dict[str, Any]


def events_of(recording: Recording) -> list[Event]:
    events: list[Event] = json.loads(trace_text(recording))["traceEvents"]
    return events


def lanes_of(events: list[Event]) -> dict[int, list[Event]]:
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            lanes[event["tid"]].append(event)
    return lanes


@settings(max_examples=20)
@given(recordings())
def test_every_event_is_one_of_the_format(recording: Recording) -> None:
    events = events_of(recording)
    end_us = recording.header.bins * recording.header.bin_ps / 1e6
    named = {event["tid"] for event in events if event["name"] == "thread_name"}
    for event in events:
        assert event["ph"] in "MXiC"
        assert event["pid"] == 1
        if event["ph"] in "Xi":
            assert event["tid"] in named
        if event["ph"] != "M":
            assert 0 <= event["ts"] <= end_us
        if event["ph"] == "X":
            assert event["dur"] >= 0


@settings(max_examples=20)
@given(recordings())
def test_counters_add_up_to_totals(recording: Recording) -> None:
    events, totals = events_of(recording), recording.totals
    stalls = [event["args"] for event in events if event["name"] == "stall in the bin, us"]
    for cause in CAUSES:
        assert sum(each[cause] for each in stalls) * 1000 == pytest.approx(totals["stall_ns"][cause], abs=1)
    rates = [event["args"]["accesses"] for event in events if event["name"] == "accesses per second"]
    assert sum(rates) * recording.header.bin_ps / 1e12 == pytest.approx(totals["accesses"])
    tables = [event for event in events if event["name"] == "table_pages"]
    assert tables[-1]["args"]["pages"] * 4096 == totals["table_bytes_end"]


@settings(max_examples=20)
@given(recordings())
def test_slices_of_vcpus_follow_each_other_and_add_up(recording: Recording) -> None:
    lanes, header = lanes_of(events_of(recording)), recording.header
    for vcpu in range(header.vcpus):
        slices = lanes[vcpu_lane(vcpu, TIME_LANE)]
        for one, other in pairwise(slices):
            assert one["ts"] + one["dur"] <= other["ts"] + 1e-6
        shares = recording.vcpu_bins.shares.reshape(header.bins, header.vcpus, 4)[:, vcpu, 1:]
        spent_us = int(shares.sum()) * header.bin_ps / 255 / 1e6
        assert sum(each["dur"] for each in slices) == pytest.approx(spent_us, abs=1e-6 * (len(slices) + 1))
        longest = [row for row in zip(*recording.longest.values(), strict=True) if row[1] == vcpu]
        stalls_us = sum(each["dur"] for each in lanes[vcpu_lane(vcpu, STALL_LANE)])
        assert stalls_us * 1e6 == pytest.approx(sum(int(row[4]) for row in longest), abs=1)


def test_ioctls_and_phases_have_lanes_and_nest() -> None:
    recording = made_recording()
    lanes = lanes_of(events_of(recording))
    ioctls = [each for each in lanes[IOCTL_THREAD] if each["name"] in CALL_KINDS]
    assert [each["name"] for each in ioctls] == [*CALL_KINDS[:IOCTL_COUNT], "enable", "get"]
    phases = {each["name"] for each in lanes[PHASES] if each["name"] in CALL_KINDS}
    assert phases == set(CALL_KINDS[IOCTL_COUNT : CALL_KINDS.index("round")])  # no migration
    holds = [each for each in lanes[IOCTL_THREAD] if each["name"] == "longest mmu_lock hold"]
    for call, hold in zip(ioctls, holds, strict=True):
        assert call["ts"] <= hold["ts"]
        assert hold["ts"] + hold["dur"] == pytest.approx(call["ts"] + call["dur"])
    enabled_ns = sum(each["dur"] for each in ioctls if each["name"] == "enable") * 1000
    assert enabled_ns == pytest.approx(recording.totals["ioctls"]["enable"]["total_ns"], abs=1)


def test_the_trace_is_written(tmp_path: Path) -> None:
    write_perfetto(made_recording(), tmp_path / "trace.json")
    assert json.loads((tmp_path / "trace.json").read_text())["otherData"]["hash"] == made_recording().hash
