"""What a comparison costs in simulated time, in words and small tables."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.ground.pages import PAGE_BYTES
from mmuviz.recording.pair import Pair
from mmuviz.recording.timing import Timing
from mmuviz.recording.words import side_word, size_text

CAUSES: Final = {
    "exit_and_fault": "exit and fault",
    "lock_wait": "wait for mmu_lock",
    "split_or_zap": "split or zap",
    "allocation": "allocation",
    "tlb_flush": "TLB flush",
    "ring_full": "ring full",
    "pml_full": "PML full",
    "userspace_lock": "userspace lock",
}
IOCTLS: Final = {"enable": "enable", "get": "GET", "clear": "CLEAR", "disable": "disable"}
DOING: Final = {"enable": "enabling takes", "get": "GET takes", "clear": "CLEAR takes", "disable": "disabling takes"}
HUNDRED: Final = 100
NOTHING_BESIDE: Final = 0.1
"""A time that is a smaller share of another one need not be said with it."""
UNITS: Final = (("s", 1e3), ("ms", 1.0), ("\N{MICRO SIGN}s", 1e-3), ("ns", 1e-6))
QUANTILES: Final = ("p50", "p99", "p99.9", "longest")

Row = tuple[str, str, str]
"""What it is, and its value left and right."""


def time_text(time_ms: float) -> str:
    """A time in the unit in which it has few digits, e.g. "77.8 ms" or "62.3 µs"."""
    if time_ms == 0:
        return "0"
    name, size = next((each for each in UNITS if time_ms >= 0.9995 * each[1]), UNITS[-1])
    value = time_ms / size
    digits = max(0, 2 - int(np.floor(np.log10(value)))) if value >= 1 else 2
    return f"{round(value, digits):,.{digits}f} {name}"


def times_text(times: float) -> str:
    """How many times as long, e.g. "24.7" or "481"."""
    return f"{times:,.3g}" if times < HUNDRED else f"{times:,.0f}"


def time_point(pair: Pair, timings: tuple[Timing, Timing]) -> str:
    """Say in one sentence who stalls for how long, and which ioctl takes longer for it.

    Args:
        pair: names the sides.
        timings: of both.

    Returns:
        E.g. "Simulated: lazy stalls vCPUs for 77.8 ms in all, eager for 1.17 ms, but enabling takes 51.8 ms." The
        ioctl's time on the left is left out where it is far shorter.
    """
    left, right = timings
    first, second = (side_word(side, pair.differs) for side in pair.sides)
    more = {name: right.ioctl_total_ms(name) - left.ioctl_total_ms(name) for name in DOING}
    name = max(more, key=lambda each: abs(more[each]))
    but = "but" if (more[name] > 0) == (right.total_stall_ms < left.total_stall_ms) else "and"
    ioctl = [each.ioctl_total_ms(name) for each in timings]
    beside = "" if ioctl[0] < NOTHING_BESIDE * ioctl[1] else f" ({first}: {time_text(ioctl[0])})"
    stalls = [time_text(each.total_stall_ms) for each in timings]
    return (
        f"Simulated: {first} stalls vCPUs for {stalls[0]} in all, {second} for {stalls[1]}, "
        f"{but} {DOING[name]} {time_text(ioctl[1])}{beside}."
    )


def host_words(timing: Timing) -> str:
    """Say whose costs the times are of."""
    return (
        f"Modelled, not measured, from the moment logging is enabled. Costs of the {timing.host_says} (profile "
        f"{timing.host}). A write that PML logs takes longer, which is no stall."
    )


def time_rows(pair: Pair, timings: tuple[Timing, Timing]) -> list[Row]:
    """The figures of both sides.

    Args:
        pair: its ops say when logging ends.
        timings: of both.

    Returns:
        Rows in the order in which they are read.
    """
    return [*_stall_rows(timings), *_fault_rows(timings), *_ioctl_rows(timings), *_guest_rows(pair, timings)]


def _row(name: str, values: list[str]) -> Row:
    return name, values[0], values[1]


def _stall_rows(timings: tuple[Timing, Timing]) -> list[Row]:
    rows = [_row("Stall of all vCPUs together", [time_text(each.total_stall_ms) for each in timings])]
    sums = [each.vcpu_stall_ms.sum(axis=0) for each in timings]
    for index, cause in enumerate(timings[0].causes):
        if any(each[index] for each in sums):
            rows.append(_row(f"of it {CAUSES[cause]}", [time_text(each[index]) for each in sums]))
    return rows


def _fault_rows(timings: tuple[Timing, Timing]) -> list[Row]:
    rows = [_row("Faults while logging is on", [f"{each.faults:,}" for each in timings])]
    for index, name in enumerate(QUANTILES):
        said = f"Stall of a fault, {name}"
        rows.append(_row(said, [time_text(each.fault_us[index] / 1000) if each.faults else "none" for each in timings]))
    return rows


def _ioctl_rows(timings: tuple[Timing, Timing]) -> list[Row]:
    rows = []
    for name, label in IOCTLS.items():
        calls = sum(call.name == name for call in timings[0].ioctls)
        if calls:
            said = f"ioctl: {label}" + (f", {calls} calls" if calls > 1 else "")
            rows.append(_row(said, [time_text(each.ioctl_total_ms(name)) for each in timings]))
    return rows


def _guest_rows(pair: Pair, timings: tuple[Timing, Timing]) -> list[Row]:
    def size(span_bytes: int) -> str:
        return size_text(span_bytes // PAGE_BYTES)

    slower = [times_text(each.slowdown) for each in timings]
    reach = [[size(int(each)) for each in _reach_while_logging(pair, timing)] for timing in timings]
    return [
        _row("Guest's accesses, against no logging", [f"{times} times as long" for times in slower]),
        _row("Page tables at most", [size(int(each.table_bytes.max())) for each in timings]),
        _row("TLB reach of a core, as logging is enabled", [before for before, _ in reach]),
        _row("TLB reach of a core, as it ends", [after for _, after in reach]),
    ]


def _reach_while_logging(pair: Pair, timing: Timing) -> tuple[int, int]:
    """At the enabling, and at the end of the last op before logging is disabled."""
    kinds = [op.kind for op in pair.left.ops]
    last = kinds.index("disable") - 1 if "disable" in kinds else len(kinds) - 1
    edge = int(timing.op_end_ms[last] / timing.bin_ms)
    return int(timing.reach_bytes[0]), int(timing.reach_bytes[edge])
