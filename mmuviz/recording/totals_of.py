"""The totals of a Recording: plain integers that a script can compare. docs/recording-file.md lists them with units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_2M
from mmuviz.recording.header import Header, Migration
from mmuviz.recording.schema import CALL_KINDS, FAULT_PATHS, IOCTL_COUNT, SIZES, SPLIT_PLACES, WHOLE_FAULT
from mmuviz.recording.stall_buckets import PS_PER_NS, quantile_ns
from mmuviz.recording.table import Array, Table

NS_PER_S: Final = 10**9
PERCENT: Final = 100
SUMS: Final = ("pages_sent", "zero_pages", "bytes_sent", "resent_pages", "accesses")
"""Columns of `rounds` whose sums are totals."""
SHOWN_IOCTLS: Final = ("enable", "get", "clear", "reset", "disable")


def ns_of(time_ps: int) -> int:
    """Convert picoseconds to nanoseconds, rounded half up."""
    return (int(time_ps) + PS_PER_NS // 2) // PS_PER_NS


def totals_of(header: Header, tables: Mapping[str, Table]) -> dict[str, Any]:
    """Sum up a Recording.

    Args:
        header: the Recording's header.
        tables: the Recording's tables.

    Returns:
        The totals, JSON ready: times in ns, memory in bytes, integers only.
    """
    bins, vcpus, calls = tables["bins"], tables["vcpus"], tables["calls"]
    stalls_ps = {cause: int(bins[f"stall_{cause}_ps"].sum()) for cause in header.causes}
    worst_ps = np.sum([vcpus[f"stall_{cause}_ps"] for cause in header.causes], axis=0).max()
    longest_ns = ns_of(vcpus.stall_max_ps.max())
    faults = tables["stalls"].hist[WHOLE_FAULT]
    at_enable = header.table_pages_at_enable
    added_pages = 0 if at_enable is None else header.table_pages_peak - at_enable
    reported = calls.reported_pages[(calls.kind < IOCTL_COUNT) & (calls.reported_pages > 0)]
    return _migration(header, tables["rounds"]) | {
        "end_ns": ns_of(header.end_ps),
        "accesses": int(bins.accesses.sum()),
        "stall_ns": {cause: ns_of(stall_ps) for cause, stall_ps in stalls_ps.items()},
        "stall_total_ns": ns_of(sum(stalls_ps.values())),
        "stall_worst_vcpu_ns": ns_of(worst_ps),
        "stall_p50_ns": quantile_ns(faults, 50, longest_ns),
        "stall_p99_ns": quantile_ns(faults, 99, longest_ns),
        "stall_max_ns": longest_ns,
        "slow_writes_ns": ns_of(bins.slow_write_ps.sum()),
        "faults": {kind: int(bins[f"faults_{kind}"].sum()) for kind in FAULT_PATHS},
        "splits": {place: int(bins[f"splits_{place}"].sum()) for place in SPLIT_PLACES},
        "zaps": int(bins.zaps.sum()),
        "tlb_flushes": int(bins.tlb_flushes.sum()),
        "leaves": {size: int(bins[f"pages_{size}"][-1]) for size in SIZES},
        "table_bytes_added": added_pages * PAGE_BYTES,
        "table_bytes_end": int(bins.table_pages[-1]) * PAGE_BYTES,
        "memory_bytes": header.memory_bytes.model_dump(),
        "dirty_reported_pages": sum(reported.tolist()),
        "ioctls": {name: _ioctl(calls, calls.kind == CALL_KINDS.index(name)) for name in SHOWN_IOCTLS},
    }


def _migration(header: Header, rounds: Table) -> dict[str, Any]:
    """Return the totals of the last migration; empty if there was none."""
    ended = header.migration
    if ended is None:
        return {}
    attempts = len(header.earlier_migrations) + 1
    last = rounds.migration == attempts
    sums = {name: sum(rounds[name][last].tolist()) for name in SUMS}
    first_ps = int(rounds.start_ps[last][0]) if last.any() else ended.end_ps
    stood_ps = 0 if ended.stop_ps is None else (ended.switch_ps or ended.end_ps) - ended.stop_ps
    took = {
        "completed": int(ended.outcome == "completed"),
        "attempts": attempts,
        "total_ns": ns_of(ended.end_ps - ended.start_ps),
        "setup_ns": ns_of(first_ps - ended.start_ps),
        "downtime_ns": ns_of(stood_ps),
        "rounds": int(np.count_nonzero(last)),
        **sums,
        "sync_ns": ns_of(sum(rounds.sync_ps[last].tolist())),
        "get_ns": ns_of(sum(rounds.get_ps[last].tolist())),
        "clear_ns": ns_of(sum(rounds.clear_ps[last].tolist())),
        "throttled_ns": ns_of(sum(rounds.throttled_ps[last].tolist())),
        "throttle_percent": int(rounds.throttle_percent[last].max(initial=0)),
        **({} if ended.lost_pages is None else {"lost_pages": ended.lost_pages}),
    }
    return {"migration": took | _amplification(rounds, last, sums["resent_pages"]) | _postcopy(header, ended)}


def _amplification(rounds: Table, last: Array, resent: int) -> dict[str, int]:
    """Return how much tracking of pages larger than 4K multiplies the pages sent again."""
    written = rounds.rewritten_pages[last].tolist()
    if not written or min(written) < 0:
        return {}
    return {"rewritten_pages": sum(written), "amplification_percent": PERCENT * resent // max(sum(written), 1)}


def _postcopy(header: Header, ended: Migration) -> dict[str, Any]:
    """Return the most that the destination fetches after the switch: every page left, each by a fault."""
    if ended.switch_ps is None:
        return {}
    fault_ns, link = header.host.postcopy_fault_ns, header.scenario["driver"]["link"]
    one_4k, one_2m = (fault_ns + pages * PAGE_BYTES * NS_PER_S // link for pages in (1, PAGES_PER_2M))
    return {
        "postcopy": {
            "left_bytes": ended.left_pages * PAGE_BYTES,
            "faults_4k": ended.left_pages,
            "fault_4k_ns": one_4k,
            "total_4k_ns": ended.left_pages * one_4k,
            "left_2m_bytes": ended.left_2m_pages * PAGES_PER_2M * PAGE_BYTES,
            "faults_2m": ended.left_2m_pages,
            "fault_2m_ns": one_2m,
            "total_2m_ns": ended.left_2m_pages * one_2m,
        }
    }


def _ioctl(calls: Table, rows: Array) -> dict[str, int]:
    took_ps, hold_ps = (calls.end_ps - calls.start_ps)[rows], calls.hold_ps[rows]
    return {
        "calls": len(took_ps),
        "total_ns": ns_of(sum(took_ps.tolist())),
        "longest_ns": ns_of(took_ps.max(initial=0)),
        "longest_hold_ns": ns_of(hold_ps.max(initial=0)),
    }


def calls_of(header: Header, calls: Table) -> list[dict[str, Any]]:
    """Calls as objects for JSON: the kind by name, times in ns.

    Args:
        header: the Recording's header, for the names of the kinds.
        calls: the table.

    Returns:
        One object per row; a column `…_ps` becomes `…_ns`.
    """
    columns = {name: array.tolist() for name, array in calls.items()}
    columns["kind"] = [header.vocabularies.call_kinds[code] for code in columns["kind"]]
    for name in [each for each in columns if each.endswith("_ps")]:
        columns[f"{name.removesuffix('_ps')}_ns"] = [ns_of(each) for each in columns.pop(name)]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
