"""The export of a Recording to a trace for Perfetto (ui.perfetto.dev): Chrome's trace-event JSON.

The trace has a lane for driver phases, one for ioctls, and two per vCPU: its use of each bin, and its longest stalls.
The order of states inside a bin is unknown, so their slices follow each other from the bin's start. Counter tracks hold
the state columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from mmuviz.core.errors import InputError
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import FULL_SHARE, IOCTL_COUNT, SIZES, VCPU_SHARES
from mmuviz.recording.whole_file import write

PS_PER_US: Final = 10**6
PS_PER_S: Final = 1_000_000_000_000
PID: Final = 1
PHASES: Final = 1
IOCTL_THREAD: Final = 2
FIRST_VCPU: Final = 10
LANES_PER_VCPU: Final = 3
TIME_LANE: Final = 0
STALL_LANE: Final = 1
CALL_LANE: Final = 2

START: Final = '{"displayTimeUnit":"ns","otherData":'

Event = dict[str, Any]


def write_perfetto(recording: Recording, path: Path) -> None:
    """Write a trace.

    Args:
        recording: the Recording.
        path: a new file, or an earlier trace.

    Raises:
        InputError: the file is not a trace, or cannot be written.
    """
    if path.is_file() and path.stat().st_size and not _is_trace(path):
        raise InputError(f"{path} holds something else than a trace of mmuviz; name a new file")
    write(path, trace_text(recording).encode())


def _is_trace(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(START)) == START.encode()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; name a new file") from None


def trace_text(recording: Recording) -> str:
    """Return the trace as JSON, one event per line."""
    other = {
        "hash": recording.hash,
        "title": str(recording.header.scenario.get("title") or ""),
        "notes": " ".join(recording.header.notes),
    }
    lines = ",\n".join(json.dumps(event, separators=(",", ":")) for event in trace_events(recording))
    return f'{START}{json.dumps(other)},"traceEvents":[\n{lines}\n]}}\n'


def trace_events(recording: Recording) -> Iterator[Event]:
    """Yield the events of the trace, lane by lane; times in us, as the format requires."""
    yield from _lane_names(recording)
    yield from _calls(recording)
    yield from _vcpu_bins(recording)
    yield from _longest(recording)
    yield from _examples(recording)
    yield from _counters(recording)


def vcpu_lane(vcpu: int, lane: int) -> int:
    """Return the thread id of a vCPU's lane."""
    return FIRST_VCPU + LANES_PER_VCPU * vcpu + lane


def _lane_names(recording: Recording) -> Iterator[Event]:
    names = {PHASES: "driver phases", IOCTL_THREAD: "ioctl thread"}
    called = set(recording.calls.vcpu.tolist())
    for vcpu in range(recording.header.vcpus):
        names[vcpu_lane(vcpu, TIME_LANE)] = f"vCPU {vcpu}"
        names[vcpu_lane(vcpu, STALL_LANE)] = f"vCPU {vcpu}: longest stalls"
        if vcpu in called:
            names[vcpu_lane(vcpu, CALL_LANE)] = f"vCPU {vcpu}: calls"
    yield {"ph": "M", "pid": PID, "tid": 0, "name": "process_name", "args": {"name": "MMUViz"}}
    for lane, name in names.items():
        yield {"ph": "M", "pid": PID, "tid": lane, "name": "thread_name", "args": {"name": name}}
        yield {"ph": "M", "pid": PID, "tid": lane, "name": "thread_sort_index", "args": {"sort_index": lane}}


def _slice(lane: int, name: str, start_ps: int, took_ps: int, args: Event) -> Event:
    times = {"ts": start_ps / PS_PER_US, "dur": took_ps / PS_PER_US}
    return {"ph": "X", "pid": PID, "tid": lane, "name": name, "cat": "mmuviz", **times, "args": args}


def _calls(recording: Recording) -> Iterator[Event]:
    names = recording.header.vocabularies.call_kinds
    columns = {name: array.tolist() for name, array in recording.calls.items()}
    for values in zip(*columns.values(), strict=True):
        call = dict(zip(columns, values, strict=True))
        ioctl = call["kind"] < IOCTL_COUNT
        lane = (IOCTL_THREAD if ioctl else PHASES) if call["vcpu"] < 0 else vcpu_lane(call["vcpu"], CALL_LANE)
        start_ps, end_ps, hold_ps = call["start_ps"], call["end_ps"], call["hold_ps"]
        keys = ("iteration", "slot", "reported_pages", "tables_added", "splits", "zaps", "tlb_flushes", "faults")
        yield _slice(lane, names[call["kind"]], start_ps, end_ps - start_ps, {key: call[key] for key in keys})
        wait_ps = min(call["wait_ps"], end_ps - start_ps - hold_ps)
        if wait_ps:
            yield _slice(lane, "waits for locks", start_ps, wait_ps, {})
        if hold_ps:
            yield _slice(lane, "longest mmu_lock hold", end_ps - hold_ps, hold_ps, {})


def _vcpu_bins(recording: Recording) -> Iterator[Event]:
    header = recording.header
    shares = recording.vcpu_bins.shares.reshape(header.bins, header.vcpus, len(VCPU_SHARES))
    for vcpu in range(header.vcpus):
        for index in np.flatnonzero(shares[:, vcpu, 1:].any(axis=1)).tolist():
            at_ps = index * header.bin_ps
            for name, share in zip(VCPU_SHARES[1:], shares[index, vcpu, 1:].tolist(), strict=True):
                took_ps = header.bin_ps * share // FULL_SHARE
                if took_ps:
                    yield _slice(vcpu_lane(vcpu, TIME_LANE), name, at_ps, took_ps, {"share_of_bin": share / FULL_SHARE})
                at_ps += took_ps


def _longest(recording: Recording) -> Iterator[Event]:
    rows = zip(*(column.tolist() for column in recording.longest.values()), strict=True)
    for time_ps, vcpu, gfn, cause, stall_ps in sorted(rows):
        lane = vcpu_lane(vcpu, STALL_LANE) if vcpu >= 0 else IOCTL_THREAD
        yield _slice(lane, recording.header.causes[cause], time_ps, stall_ps, {"gfn": gfn})


def _examples(recording: Recording) -> Iterator[Event]:
    names = recording.header.vocabularies
    columns = {name: array.tolist() for name, array in recording.examples.items()}
    for values in zip(*columns.values(), strict=True):
        row = dict(zip(columns, values, strict=True))
        lane = vcpu_lane(row["vcpu"], TIME_LANE) if row["vcpu"] >= 0 else IOCTL_THREAD
        args = {"gfn": row["gfn"], "level": row["level"], "path": names.paths[row["path"]], "stall_ps": row["stall_ps"]}
        name, at_us = names.example_kinds[row["kind"]], row["time_ps"] / PS_PER_US
        yield {"ph": "i", "s": "t", "pid": PID, "tid": lane, "name": name, "cat": "example", "ts": at_us, "args": args}


def _counters(recording: Recording) -> Iterator[Event]:
    header, bins = recording.header, recording.bins
    rates = (bins.accesses * (PS_PER_S / header.bin_ps)).tolist()
    sent, dirtied = ((column * (PS_PER_S / header.bin_ps)).tolist() for column in (bins.bytes_sent, bins.dirtied_pages))
    stalls = {cause: (bins[f"stall_{cause}_ps"] / PS_PER_US).tolist() for cause in header.causes}
    for index in range(header.bins):
        start_us, end_us = index * header.bin_ps / PS_PER_US, (index + 1) * header.bin_ps / PS_PER_US
        yield _counter("accesses per second", start_us, {"accesses": rates[index]})
        yield _counter("stall in the bin, us", start_us, {cause: values[index] for cause, values in stalls.items()})
        if header.migration is not None:
            yield _counter("sent, bytes per second", start_us, {"bytes": sent[index]})
            yield _counter("dirtied, pages per second", start_us, {"pages": dirtied[index]})
        yield _counter("table_pages", end_us, {"pages": int(bins.table_pages[index])})
        yield _counter("leaves", end_us, {size: int(bins[f"pages_{size}"][index]) for size in SIZES})


def _counter(name: str, at_us: float, args: Event) -> Event:
    return {"ph": "C", "pid": PID, "name": name, "ts": at_us, "args": args}
