"""A comparison of Recordings as a table: one column per variant, differences from the first, the best of each kind."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import one_line
from mmuviz.exports.setup_text import shares_lock
from mmuviz.exports.summary import COLUMNS, IOCTL_NAMES, PLACE_NAMES, accesses_per_second
from mmuviz.recording.quantities import bytes_text, count_text, digits, quantile_text, rate_text, time_text
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges, lost_pages

NAME_COLUMNS: Final = 20
MILLION: Final = 1_000_000
FAR: Final = 10.0
"""A value of at least this many times the first one is compared by a factor and not in percent."""
MOST_TIMES: Final = 999
LEAST_PERCENT: Final = 0.5
MOST_PERCENT: Final = 99
"""Percentages outside these limits are not written as numbers: they would be rounded to 0 or to 100."""
PATHS: Final = {"not_present": "not present", "fast": "fast", "slow_protected": "slow path", "spurious": "spurious"}
IOCTL_TITLES: Final = {**IOCTL_NAMES, "reset": "reset"}
LETTERS: Final = "ABCDEFGH"


class Row(NamedTuple):
    """A row of the table: its name, the value of each variant, and the function that formats a value."""

    name: str
    values: list[float]
    text: Callable[[float], str]


def comparison_table(recordings: Sequence[Recording], labels: Sequence[str]) -> str:
    """Write the comparison of Recordings.

    Args:
        recordings: one to eight Recordings.
        labels: the label of each; a label that is too long for a column is replaced by a letter.

    Returns:
        Lines of at most 80 columns with up to four Recordings.
    """
    width = max((COLUMNS - NAME_COLUMNS) // max(len(recordings), 1), 14)
    names = [one_line(label) for label in labels]
    heads = names if all(len(name) < width for name in names) else list(LETTERS[: len(names)])
    lines = []
    if heads != names:
        for head, name in zip(heads, names, strict=True):
            lines += textwrap.wrap(f"{head} = {name}", COLUMNS, subsequent_indent="    ")
        lines.append("")
    lines.append(" " * NAME_COLUMNS + "".join(head.rjust(width) for head in heads))
    for row in _rows(recordings):
        cells = (_cell(row, column, width) for column in range(len(heads)))
        lines.append(row.name[:NAME_COLUMNS].ljust(NAME_COLUMNS) + "".join(cells).rstrip())
    if len(heads) > 1:
        lines += ["", *best_lines(recordings, heads)]
    return "\n".join(lines) + "\n"


def best_lines(recordings: Sequence[Recording], labels: Sequence[str]) -> list[str]:
    """Write one line per quantity with the best variant; equal variants are all named.

    Migrations are compared only among those that converge: one that never ends stalls little, and never arrives. One
    that loses pages is compared with none: what arrives is another guest.
    """
    lines: list[str] = []
    lost: list[str] = []
    if all(recording.header.migration is not None for recording in recordings):
        whole = [at for at, recording in enumerate(recordings) if not lost_pages(recording)]
        lost = [label for at, label in enumerate(labels) if at not in whole]
        if lost:
            lines = [f"Not compared, as pages are lost (stale at the destination): {', '.join(lost)}."]
        ends = [at for at in whole if converges(recordings[at])]
        if len(ends) == 1:
            others = " and loses no page" if lost else ""
            return _wrapped([*lines, f"Only {labels[ends[0]]} converges{others}; the others are not compared with it."])
        left = ends or whole
        recordings, labels = [recordings[at] for at in left], [labels[at] for at in left]
        if lost and len(left) <= 1:
            return _wrapped(lines)
    totals = [recording.totals for recording in recordings]
    rates = [accesses_per_second(recording) for recording in recordings]
    holds: list[float] = [longest_write_hold_ns(recording) for recording in recordings]
    calls = [sum(each["total_ns"] for each in total["ioctls"].values()) for total in totals]
    questions: list[tuple[str, list[float], Callable[[float], str]]] = [
        ("Least stall of all vCPUs", [total["stall_total_ns"] for total in totals], time_text),
        ("Least stall of the worst vCPU", [total["stall_worst_vcpu_ns"] for total in totals], time_text),
        ("Shortest worst stall", [total["stall_max_ns"] for total in totals], time_text),
        ("Least time in ioctls", calls, time_text),
        ("Shortest mmu_lock hold for write", holds, time_text),
        ("Least page-table memory added", [total["table_bytes_added"] for total in totals], bytes_text),
        ("Most guest progress", [-rate for rate in rates], lambda value: rate_text(-value)),
    ]
    migrations = [total["migration"] for total in totals if "migration" in total]
    if len(migrations) == len(totals):
        questions = [
            ("Shortest migration", [each["total_ns"] for each in migrations], time_text),
            ("Shortest downtime", [each["downtime_ns"] for each in migrations], time_text),
            *questions,
        ]
    for name, values, text in questions:
        best = [label for label, value in zip(labels, values, strict=True) if value == min(values)]
        if not any(values):
            continue
        who = "all the same" if len(best) == len(labels) and not lost else ", ".join(best)
        lines.append(f"{name}: {who} ({text(min(values))})")
    return _wrapped(lines)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [wrapped for line in lines for wrapped in textwrap.wrap(line, COLUMNS, subsequent_indent="    ")]


def longest_write_hold_ns(recording: Recording) -> int:
    """Return the longest time for which an ioctl held mmu_lock for write, which blocks slow faults of all vCPUs."""
    ioctls = recording.totals["ioctls"].items()
    return int(max(each["longest_hold_ns"] for name, each in ioctls if not shares_lock(recording, name)))


def _rows(recordings: Sequence[Recording]) -> list[Row]:
    totals = [recording.totals for recording in recordings]
    rows = [
        Row("simulated time", [each["end_ns"] for each in totals], time_text),
        Row("accesses/s", [accesses_per_second(each) for each in recordings], _count),
    ]
    times = {
        "stall_total_ns": "stall, all vCPUs",
        "stall_worst_vcpu_ns": "stall, worst vCPU",
        "stall_max_ns": "longest stall",
        "slow_writes_ns": "slower writes",
    }
    rows += [Row(name, [each[key] for each in totals], time_text) for key, name in times.items()]
    shares = {"stall_p50_ns": "a fault's stall, p50", "stall_p99_ns": "a fault's stall, p99"}
    rows += [Row(name, [each[key] for each in totals], _quantile_or_none) for key, name in shares.items()]
    rows += _nested(totals, "stall_ns", lambda name: f"  {name.replace('_', ' ')}", time_text)
    rows += _nested(totals, "faults", lambda name: f"faults, {PATHS[name]}", _count)
    rows += _nested(totals, "splits", lambda name: f"splits {PLACE_NAMES[name]}", _count)
    counts = {"zaps": "zaps", "tlb_flushes": "TLB flushes", "dirty_reported_pages": "dirty reported"}
    rows += [Row(name, [each[key] for each in totals], _count) for key, name in counts.items()]
    memory = {"table_bytes_added": "page tables added", "table_bytes_end": "page tables, end"}
    rows += [Row(name, [each[key] for each in totals], bytes_text) for key, name in memory.items()]
    rows.append(Row("other memory of KVM", [sum(each["memory_bytes"].values()) for each in totals], bytes_text))
    return rows + _migration_rows(totals) + _ioctl_rows(recordings)


def _migration_rows(totals: Sequence[dict[str, Any]]) -> list[Row]:
    """Make the rows of migrations; none unless all Recordings have one."""
    if not all("migration" in each for each in totals):
        return []
    found = [each["migration"] for each in totals]
    names: dict[str, tuple[str, Callable[[float], str]]] = {
        "completed": ("completes", lambda value: "yes" if value else "no"),
        "total_ns": ("migration time", time_text),
        "downtime_ns": ("downtime", time_text),
        "rounds": ("syncs", _count),
        "bytes_sent": ("sent", bytes_text),
        "resent_pages": ("pages sent again", _count),
        "throttled_ns": ("vCPUs throttled", time_text),
    }
    rows = [Row(title, [each[key] for each in found], text) for key, (title, text) in names.items()]
    lost = [each.get("lost_pages", 0) for each in found]
    return [*rows, Row("pages lost (stale)", lost, _count)] if any(lost) else rows


def _nested(
    totals: Sequence[dict[str, Any]], key: str, name: Callable[[str], str], text: Callable[[float], str]
) -> list[Row]:
    """Make one row per entry of a nested total, without entries that are 0 in all Recordings."""
    rows = [Row(name(part), [each[key][part] for each in totals], text) for part in totals[0][key]]
    return [row for row in rows if any(row.values)]


def _ioctl_rows(recordings: Sequence[Recording]) -> list[Row]:
    rows = []
    for ioctl, title in IOCTL_TITLES.items():
        each = [recording.totals["ioctls"][ioctl] for recording in recordings]
        held = "read hold" if all(shares_lock(recording, ioctl) for recording in recordings) else "lock held"
        if any(call["calls"] for call in each):
            rows.append(Row(f"{title}, calls", [call["calls"] for call in each], _count))
            for key, what in (("total_ns", "total"), ("longest_ns", "longest"), ("longest_hold_ns", held)):
                rows.append(Row(f"{title}, {what}", [call[key] for call in each], time_text))
    return rows


def _quantile_or_none(value: float) -> str:
    """Format a quantile of faults' stalls; 0 means that there was no fault."""
    return quantile_text(round(value), 0) if value else "none"


def _count(value: float) -> str:
    return f"{digits(value / MILLION)} M" if value >= MILLION else count_text(round(value))


def _cell(row: Row, column: int, width: int) -> str:
    text = row.text(row.values[column])
    if column:
        text += _difference(row.values[0], row.values[column]).rjust(6)
    return text.rjust(width)


def _difference(first: float, other: float) -> str:
    """Format a value's difference from the first: "-12%", "x25"; empty if it is below 0.5 % or one of them is 0."""
    percent = 100 * (other - first) / first if first and other else 0
    if abs(percent) < LEAST_PERCENT:
        return ""
    if other >= FAR * first:
        return f"x{min(other / first, MOST_TIMES):.0f}" + ("+" if other / first > MOST_TIMES else "")
    return f"{percent:+.0f}%" if percent > -MOST_PERCENT else f"<-{MOST_PERCENT}%"
