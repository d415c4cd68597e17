"""The summary of a Recording as text, printed by `mmuviz run` and `mmuviz show`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, Final

from mmuviz.core.errors import one_line
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.exports.dirty_rate_text import dirty_rate_lines
from mmuviz.exports.migration_text import migration_lines
from mmuviz.exports.setup_text import guest_bytes, mode_of, number, setup_text, shares_lock
from mmuviz.exports.tlb_reach import reach_bytes
from mmuviz.recording.quantities import bytes_text, count_text, quantile_text, rate_text, share_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import SIZES
from mmuviz.studies.alignment import remark_on
from mmuviz.studies.sensitivity import Span

COLUMNS: Final = 80
NAME_COLUMNS: Final = 22
NS_PER_S: Final = 1_000_000_000
IOCTL_NAMES: Final = {"enable": "enable", "get": "GET", "clear": "CLEAR", "reset": "ring reset", "disable": "disable"}
PLACE_NAMES: Final = {"enable": "at enable", "clear": "in CLEAR", "fault": "in faults", "pre_split": "in pre-split"}
PATH_NAMES: Final = {
    "not_present": "not present",
    "fast": "fast_page_fault()",
    "slow_protected": "write-protected, slow path",
    "spurious": "spurious",
}


def summary_of(
    recording: Recording, without_logging: Recording | None = None, span: Span | None = None, note: str = ""
) -> str:
    """Write the summary of a run.

    Args:
        recording: the Recording of the run.
        without_logging: the same guest without dirty logging, to compare its progress with.
        span: spread of a migration's results over the plausible ranges of the host's constants, if it was computed.
        note: a sentence for the end.

    Returns:
        Lines of at most 80 columns.
    """
    parts = (
        _head(recording),
        _migration(recording, without_logging, span),
        _stalls(recording.totals),
        _ioctls(recording),
        _unprotected(recording),
        _memory(recording),
        _counts(recording.totals),
        _reach(recording),
        _progress(recording, without_logging),
        (line for each in (*recording.header.notes, remark_on(recording).text, note) for line in _wrapped(each)),
    )
    blocks = ["\n".join(lines) for lines in map(list, parts) if lines]
    return "\n\n".join(blocks) + "\n"


def migration_block(
    label: str, recording: Recording, without: Recording | None = None, span: Span | None = None
) -> str:
    """Write the lines on a variant's migration below its label; empty if it migrates nothing.

    Args:
        label: label of the variant.
        recording: Recording of the variant.
        without: the same guest without a migration, for as long or longer; None to compare with its speed before it.
        span: spread of its results over the plausible ranges of the host's constants.
    """
    lines = list(_migration(recording, without, span))
    return "\n".join([*_wrapped(label), *lines]) if lines else ""


def accesses_per_second(recording: Recording) -> float:
    """Return the accesses of all vCPUs per second of simulated time."""
    end_ns = recording.totals["end_ns"]
    return float(recording.totals["accesses"]) * NS_PER_S / end_ns if end_ns else 0.0


def _wrapped(text: str, name: str = "") -> list[str]:
    """Wrap text, after a name if one is given, in lines of at most COLUMNS."""
    first, rest = (name.ljust(NAME_COLUMNS), " " * NAME_COLUMNS) if name else ("", "")
    return textwrap.wrap(one_line(text), COLUMNS, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _head(recording: Recording) -> Iterator[str]:
    header = recording.header
    yield from _wrapped(str(header.scenario.get("title") or "Recording") + f" ({recording.hash[:12]})")
    simulated = f"{time_text(recording.totals['end_ns'])} of simulated time"
    yield from _wrapped(", ".join([simulated, *setup_text(recording)]))


def _migration(recording: Recording, without: Recording | None, span: Span | None) -> Iterator[str]:
    for name, text in (*migration_lines(recording, without, span), *dirty_rate_lines(recording)):
        yield from _wrapped(text, name)


def _stalls(totals: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped(
        f"{time_text(totals['stall_total_ns'])} in all, worst vCPU {time_text(totals['stall_worst_vcpu_ns'])}",
        "Stall of vCPUs",
    )
    if totals["stall_max_ns"]:
        p50, p99 = (quantile_text(totals[key], totals["stall_max_ns"]) for key in ("stall_p50_ns", "stall_p99_ns"))
        of_faults = f"p50 {p50} and p99 {p99} of faults, " if any(totals["faults"].values()) else "no faults, "
        longest = f"longest of any cause {time_text(totals['stall_max_ns'])}"
        yield from _wrapped(of_faults + longest, "  a single stall")
    causes = sorted(totals["stall_ns"].items(), key=lambda item: -item[1])
    for cause, stall_ns in causes:
        if stall_ns:
            share = share_text(stall_ns, totals["stall_total_ns"])
            yield from _wrapped(f"{time_text(stall_ns)} ({share})", f"  {cause.replace('_', ' ')}")
    slow = time_text(totals["slow_writes_ns"])
    yield from _wrapped(f"{slow} more in writes that the processor logs by itself (PML); no stall", "Slower writes")


def _ioctls(recording: Recording) -> Iterator[str]:
    ioctls: Mapping[str, Mapping[str, int]] = recording.totals["ioctls"]
    called = [(IOCTL_NAMES[name], each) for name, each in ioctls.items() if each["calls"]]
    if not called:
        yield from _wrapped("none", "Ioctls")
        return
    yield f"{'Ioctls':{NAME_COLUMNS}}{'calls':>9}{'total':>12}{'longest':>12}{'longest mmu_lock hold':>24}"
    for name, each in called:
        times = (time_text(each[key]) for key in ("total_ns", "longest_ns", "longest_hold_ns"))
        total, longest, hold = times
        hold = f"{hold} (read)" if each["longest_hold_ns"] and shares_lock(recording, name) else hold
        yield f"{'  ' + name:{NAME_COLUMNS}}{count_text(each['calls']):>9}{total:>12}{longest:>12}{hold:>24}"


def _unprotected(recording: Recording) -> Iterator[str]:
    """Write a note if a run shows no cost because no page was ever armed for logging."""
    ioctls, mode = recording.totals["ioctls"], mode_of(recording)
    if mode.endswith("initially_set") and ioctls["enable"]["calls"] and not _armed(ioctls):
        arms = "reset of the rings" if mode.startswith("ring") else "CLEAR"
        yield from _wrapped(f"nothing is split or protected before the first {arms}, and this run has none", "Note")


def _armed(ioctls: Mapping[str, Mapping[str, int]]) -> int:
    return ioctls["clear"]["calls"] + ioctls["reset"]["calls"]


def _memory(recording: Recording) -> Iterator[str]:
    totals, added = recording.totals, recording.totals["table_bytes_added"]
    peak = recording.header.table_pages_peak * PAGE_BYTES
    yield from _wrapped(
        f"{bytes_text(added)} added at the most since logging was enabled "
        f"({share_text(added, guest_bytes(recording))} of guest memory); peak {bytes_text(peak)}, "
        f"at the end {bytes_text(totals['table_bytes_end'])}",
        "Page-table memory",
    )
    parts = [f"{name.replace('_', ' ')} {bytes_text(each)}" for name, each in totals["memory_bytes"].items() if each]
    yield from _wrapped(", ".join(parts) or "none", "Other memory of KVM")


def _counts(totals: Mapping[str, Any]) -> Iterator[str]:
    yield from _wrapped(_listed(totals["faults"], PATH_NAMES), "Faults by path")
    yield from _wrapped(_listed(totals["splits"], PLACE_NAMES), "Splits by place")
    yield from _wrapped(
        f"{number(totals['zaps'], 'zap')}, {number(totals['tlb_flushes'], 'TLB flush', 'es')}, "
        f"{number(totals['dirty_reported_pages'], 'dirty page')} reported",
        "Other counts",
    )
    leaves = ", ".join(f"{count_text(totals['leaves'][size])} of {size.upper()}" for size in SIZES)
    yield from _wrapped(leaves, "Leaves at the end")


def _listed(counts: Mapping[str, int], names: Mapping[str, str]) -> str:
    return ", ".join(f"{count_text(count)} {names[name]}" for name, count in counts.items() if count) or "none"


def _reach(recording: Recording) -> Iterator[str]:
    host, bins = recording.header.host, recording.bins
    columns = (bins[f"pages_{size}"].tolist() for size in SIZES)
    rows = zip(*columns, strict=True)
    reach = [reach_bytes(dict(zip(SIZES, row, strict=True)), host.stlb_entries, host.stlb_1g_entries) for row in rows]
    yield from _wrapped(
        f"{bytes_text(max(reach))} at the most, {bytes_text(min(reach))} at the least, "
        f"{bytes_text(reach[-1])} at the end",
        "TLB reach of a core",
    )


def _progress(recording: Recording, without_logging: Recording | None) -> Iterator[str]:
    rate = accesses_per_second(recording)
    text = f"{count_text(recording.totals['accesses'])} accesses, {rate_text(rate)}"
    if without_logging is not None:
        plain = accesses_per_second(without_logging)
        text += f"; {share_text(rate, plain)} of the {rate_text(plain)} without logging"
    yield from _wrapped(text, "Guest progress")
