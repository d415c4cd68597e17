"""Builds the Recording of a finished run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from mmuviz.core.version import __version__
from mmuviz.costs.hosts import HostProfile
from mmuviz.engine import clock as layout
from mmuviz.engine.clock import CAUSE_NAMES, FAULT_PATHS, SPLIT_PLACES, Clock
from mmuviz.engine.event_rows import event_columns
from mmuviz.engine.frame_buffer import FULL, LEFT_LOG, SHARES, STATE_DIRTY, STATES, U8
from mmuviz.engine.frames import CellMap, FrameLog
from mmuviz.engine.recorder import PS_PER_NS, Recorder
from mmuviz.engine.session import Session
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.examples import EX_GFN, EX_LEVEL, EX_NEW, EX_OLD, EX_PATH, EX_STALL, EX_STAMP, EX_WHO, LONGEST
from mmuviz.mmu.state import LOG_COLUMNS
from mmuviz.recording.header import header_of
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import CALL_KINDS, SCHEMA, TABLES, VOCABULARIES

I64 = npt.NDArray[np.int64]
Columns = dict[str, npt.ArrayLike]


def recording_of(session: Session, notes: tuple[str, ...]) -> Recording:
    """Build the Recording of a run.

    Args:
        session: a finished run, its recorder finished.
        notes: sentences on where counts and times come from.

    Returns:
        The Recording; the same Scenario and Focus give the same one.
    """
    machine, recorder, clock = session.machine, session.recorder, session.machine.clock
    if recorder.frames is None:
        raise ValueError("the run was not recorded")
    frame_log = recorder.frames.frame_log()
    width = 1 << int(clock.regs[layout.BIN_SHIFT])
    end_ps = machine.time
    bins = max(-(-end_ps // width), 1)
    tables: dict[str, Columns] = {
        "calls": calls_table(session),
        "bins": bins_table(clock, frame_log, bins, width),
        **cell_tables(recorder.cells, frame_log, bins, width),
        "vcpus": vcpus_table(clock),
        "vcpu_bins": {"shares": vcpu_shares(clock, bins, width, end_ps), "gfn": vcpu_gfns(frame_log, bins, width)},
        "stalls": {"hist": clock.hist},
        "longest": longest_table(clock, end_ps),
        "examples": examples_table(frame_log, width, bins),
        "events": events_table(session, end_ps),
        "rounds": rounds_table(session),
        "sent_cells": session.sent_cells.table(bins, width),
    }
    return Recording(header_of(header_document(session, notes, width, bins)), tables)


def header_document(session: Session, notes: tuple[str, ...], width: int, bins: int) -> dict[str, Any]:
    """The header as a document."""
    scenario, recorder, host = session.scenario, session.recorder, session.machine.costs.host
    ended = [asdict(each) for each in session.rounds.ended]
    return {
        "schema": SCHEMA,
        "scenario": scenario.as_document(),
        "digest": scenario.digest(),
        "host": host_document(host),
        "ledger_hash": scenario.host.ledger_hash(),
        "versions": {"mmuviz": __version__, "kernel": session.machine.vm.config.kernel.name},
        "focus": None if recorder.focus is None else recorder.focus.model_dump(mode="json"),
        "bin_ps": width,
        "bins": bins,
        "end_ps": session.machine.time,
        "vcpus": session.machine.vm.config.vcpus,
        "cell_pages": 1 << recorder.cells.shift,
        "causes": list(CAUSE_NAMES),
        "vocabularies": {name: list(names) for name, names in VOCABULARIES.items()},
        "memory_bytes": recorder.memory_bytes,
        "table_pages_at_enable": recorder.table_pages_at_enable,
        "table_pages_peak": recorder.table_pages_peak,
        "events_left_out": recorder.left_out,
        "migration": ended[-1] if ended else None,
        "earlier_migrations": ended[:-1],
        "notes": list(notes),
    }


def host_document(host: HostProfile) -> dict[str, Any]:
    """The host as a part of the header."""
    return {
        "profile": host.name,
        "says": host.description,
        "extrapolated": host.extrapolated,
        "stlb_entries": host["stlb_entries"],
        "stlb_1g_entries": host["stlb_1g_entries"],
        "postcopy_fault_ns": host["postcopy_fault_ns"],
    }


def calls_table(session: Session) -> Columns:
    """One row per call or phase, in the order in which they began."""
    rows = sorted(session.log.rows, key=lambda row: (int(row["start_ps"]), -int(row["end_ps"])))
    names = [column.name for column in TABLES["calls"]]
    found: Columns = {name: np.array([row[name] for row in rows], dtype=np.int64) for name in names if name != "kind"}
    found["kind"] = np.array([CALL_KINDS.index(str(row["kind"])) for row in rows], dtype=np.int64)
    return found


def rounds_table(session: Session) -> Columns:
    """One row per round of a migration."""
    names = [column.name for column in TABLES["rounds"]]
    return {name: np.array([row[name] for row in session.rounds.rows], dtype=np.int64) for name in names}


def folded(series: I64, bins: int) -> I64:
    """The first `bins` rows; rows after the end of the run are added to the last of them."""
    found = series[:bins].copy()
    found[-1] += series[bins:].sum(axis=0)
    return found


def bins_table(clock: Clock, frame_log: FrameLog, bins: int, width: int) -> Columns:
    """Sums from the clock's series, states from the frames."""
    series = folded(clock.series, bins)
    found: Columns = {f"stall_{cause}_ps": series[:, at] for at, cause in enumerate(CAUSE_NAMES)}
    found["slow_write_ps"] = series[:, layout.SLOW_WRITE]
    found["throttled_ps"] = series[:, layout.THROTTLED]
    found["accesses"] = series[:, layout.ACCESSES]
    found |= {f"faults_{path}": series[:, layout.FAULTS + at] for at, path in enumerate(FAULT_PATHS)}
    found |= {f"splits_{place}": series[:, layout.SPLITS + at] for at, place in enumerate(SPLIT_PLACES)}
    found |= {
        "zaps": series[:, layout.ZAPS],
        "tlb_flushes": series[:, layout.FLUSHES],
        "pml_full_exits": series[:, layout.PML_FULLS],
        "ring_full_exits": series[:, layout.RING_FULLS],
        "userspace_exits": series[:, layout.USERSPACE_EXITS],
        "ioctl_ps": series[:, layout.IOCTL],
        "bytes_sent": series[:, layout.BYTES_SENT],
    }
    last = last_stops(frame_log, bins, width)
    found["dirtied_pages"] = dirtied_pages(frame_log, last)
    found |= {name: frame_log.states[last, at] for at, name in enumerate(STATES)}
    return found | {"walk": frame_log.walks[last, 0], "walk_gfn": frame_log.walks[last, 1]}


def dirtied_pages(frame_log: FrameLog, last: I64) -> I64:
    """Pages that came into the dirty log in each bin: its growth plus what left it in the bin."""
    came = frame_log.states[:, STATE_DIRTY] + frame_log.states[:, LEFT_LOG]
    found: I64 = np.diff(came[last], prepend=came[0])
    return found


def last_stops(frame_log: FrameLog, bins: int, width: int) -> I64:
    """The last stop at or before each bin's end; int64[bins]."""
    return np.searchsorted(frame_log.ends, (np.arange(bins) + 1) * width, side="right") - 1


def vcpu_gfns(frame_log: FrameLog, bins: int, width: int) -> I64:
    """The page of each vCPU's next access at each bin's end; int64[bins * vcpus]."""
    return frame_log.gfns[last_stops(frame_log, bins, width)].reshape(-1)


def cell_tables(cell_map: CellMap, frame_log: FrameLog, bins: int, width: int) -> dict[str, Columns]:
    """The shares of each cell at time 0 and at each bin's end where they changed, and the cells' layout."""
    shown = np.flatnonzero(cell_map.pages)
    number = np.full(len(cell_map.pages), -1, dtype=np.int64)
    number[shown] = np.arange(len(shown))
    first = frame_log.cell_starts[1]
    now = np.zeros((len(cell_map.pages), SHARES), dtype=np.uint8)
    cells, shares, starts = [number[shown]], [frame_log.shares[:first]], [0, len(shown)]
    now[frame_log.cells[:first]] = frame_log.shares[:first]
    stops = np.searchsorted(frame_log.ends, (np.arange(bins) + 1) * width, side="right")
    stops[-1] = len(frame_log.ends)
    begin = 1
    for stop in stops.tolist():
        changed, after = changes_of(frame_log, begin, stop, now)
        begin = stop
        now[changed] = after
        cells.append(number[changed])
        shares.append(after)
        starts.append(starts[-1] + len(changed))
    return {
        "cells": {
            "frame_start": np.array(starts),
            "cell": np.concatenate(cells),
            "shares": np.concatenate(shares).astype(np.int64),
        },
        "cell_map": {"first_gfn": cell_map.first_gfn[shown], "pages": cell_map.pages[shown]},
    }


def changes_of(frame_log: FrameLog, begin: int, end: int, before: U8) -> tuple[I64, U8]:
    """Cells whose shares changed by stops [begin, end), ascending, and their shares then.

    Args:
        frame_log: the frames of all stops.
        begin: the first stop.
        end: the stop after the last.
        before: uint8[cells, 8], all shares before these stops.
    """
    changes = slice(frame_log.cell_starts[begin], frame_log.cell_starts[end])
    cells, shares = frame_log.cells[changes].astype(np.int64), frame_log.shares[changes]
    if end - begin <= 1:  # nearly always
        return cells, shares
    touched, newest = np.unique(cells[::-1], return_index=True)
    after = shares[::-1][newest]
    differs = (after != before[touched]).any(axis=1)
    return touched[differs], after[differs]


def vcpus_table(clock: Clock) -> Columns:
    """Totals of each vCPU."""
    found: Columns = {f"stall_{cause}_ps": clock.stall[:, at] for at, cause in enumerate(CAUSE_NAMES)}
    found |= {f"faults_{path}": clock.faults[:, at] for at, path in enumerate(FAULT_PATHS)}
    return found | {
        "slow_write_ps": clock.slow_write_ps,
        "throttled_ps": clock.throttled_ps,
        "accesses": clock.accesses,
        "stall_max_ps": clock.worst_ps,
    }


def vcpu_shares(clock: Clock, bins: int, width: int, end_ps: int) -> I64:
    """Shares of each vCPU's time in each bin: running, in a fault, waiting for mmu_lock, blocked otherwise."""
    lanes = folded(clock.lanes, bins)
    spans = np.full(bins, width, dtype=np.int64)
    spans[-1] = max(end_ps - (bins - 1) * width, 1)
    for vcpu in np.flatnonzero(clock.idle_since < end_ps):
        idle_from = int(clock.idle_since[vcpu])
        edges = np.clip(np.arange(bins + 1, dtype=np.int64) * width, idle_from, end_ps)
        lanes[:, vcpu, layout.LANE_IDLE] += np.diff(edges)
    cut_tails(lanes[-1], np.clip(clock.in_kernel_until, end_ps, bins * width) - end_ps)
    # The last bin also counts stretches that begin after the run's end, such as a sleep after a fault: clip the sum.
    upto = np.minimum(np.cumsum(lanes, axis=2), spans[:, np.newaxis, np.newaxis])
    away = np.diff(upto, axis=2, prepend=0)
    running = np.maximum(spans[:, np.newaxis] - away.sum(axis=2), 0)
    parts = np.stack([running, *(away[:, :, lane] for lane in range(layout.LANE_IDLE))], axis=2)
    return shares_of(parts, spans[:, np.newaxis, np.newaxis]).reshape(-1, 4)


def cut_tails(last: I64, tails: I64) -> None:
    """Subtract time after the end of the run from the last bin: the rest of a fault or an exit, or of a wait for it.

    Args:
        last: int64[vcpus, LANES], changed in place.
        tails: int64[vcpus], time that each vCPU stays outside the guest after the end.
    """
    for lane in (layout.LANE_FAULT, layout.LANE_BLOCKED, layout.LANE_LOCK):
        cut = np.minimum(last[:, lane], tails)
        last[:, lane] -= cut
        tails = tails - cut


def shares_of(parts: I64, whole: I64) -> I64:
    """Parts as shares of 255: 0 only for nothing, 255 only for all."""
    share = (2 * parts * FULL + whole) // (2 * whole)
    inside: I64 = np.clip(share, 1, FULL - 1)
    found: I64 = np.where(parts <= 0, 0, np.where(parts >= whole, FULL, inside))
    return found


def longest_table(clock: Clock, end_ps: int) -> Columns:
    """The longest stalls, longest first; of equal ones the earlier.

    An exit to userspace that waits when the run ends is served after its end.
    """
    top = clock.top[: int(clock.regs[layout.TOP_COUNT])].copy()
    top[:, layout.TOP_TIME] = np.minimum(top[:, layout.TOP_TIME], end_ps)
    order = np.lexsort((top[:, layout.TOP_VCPU], top[:, layout.TOP_TIME], -top[:, layout.TOP_STALL]))
    top = top[order]
    return {
        "time_ps": top[:, layout.TOP_TIME],
        "vcpu": top[:, layout.TOP_VCPU],
        "gfn": top[:, layout.TOP_GFN],
        "cause": top[:, layout.TOP_CAUSE],
        "stall_ps": top[:, layout.TOP_STALL],
    }


def examples_table(frame_log: FrameLog, width: int, bins: int) -> Columns:
    """The first event of each kind in each bin, and the one that stalled longest."""
    rows = frame_log.examples
    index = np.minimum(rows[:, EX_STAMP] // width, bins - 1)
    kind = rows[:, -1]
    first = np.where(kind == LONGEST, -rows[:, EX_STALL], 0)
    order = np.lexsort((rows[:, EX_WHO], rows[:, EX_STAMP], first, kind, index))
    rows, index, kind = rows[order], index[order], kind[order]
    kept = np.flatnonzero((np.diff(index, prepend=-1) != 0) | (np.diff(kind, prepend=-1) != 0))
    rows, index, kind = rows[kept], index[kept], kind[kept]
    return {
        "bin": index,
        "time_ps": rows[:, EX_STAMP],
        "vcpu": rows[:, EX_WHO],
        "kind": kind + 1,
        "level": rows[:, EX_LEVEL],
        "old": rows[:, EX_OLD] & 31,
        "new": rows[:, EX_NEW] & 31,
        "gfn": rows[:, EX_GFN],
        "path": rows[:, EX_PATH] + 1,
        "stall_ps": rows[:, EX_STALL],
    }


def events_table(session: Session, end_ps: int) -> Columns:
    """Every change of an entry in the Focus."""
    recorder: Recorder = session.recorder
    rows = np.concatenate([np.zeros((0, LOG_COLUMNS), dtype=np.int64), *recorder.events])
    start, end = 0, end_ps + 1
    if recorder.focus is not None:
        start = recorder.focus.start * PS_PER_NS
        end = end_ps + 1 if recorder.focus.end is None else min(recorder.focus.end * PS_PER_NS, end_ps + 1)
    tracepoints = session.machine.vm.config.mmu is not Mmu.STAGE2
    return dict(event_columns(rows, start, end, tracepoints=tracepoints))
