"""Times, memory and counts as text for people: three digits and a suitable unit."""

from __future__ import annotations

from typing import Final

TIME_UNITS: Final = ((1, "ns"), (1_000, "µs"), (1_000_000, "ms"), (1_000_000_000, "s"))
BYTE_UNITS: Final = tuple((1 << 10 * place, name) for place, name in enumerate(("B", "KiB", "MiB", "GiB", "TiB")))


def time_text(time_ns: float) -> str:
    """A time, e.g. "245 ms"."""
    return _with_unit(time_ns, TIME_UNITS)


def quantile_text(quantile_ns: int, longest_ns: int) -> str:
    """A quantile of the stalls' lengths, with the two digits that its bucket allows, e.g. "1.5 µs".

    Args:
        quantile_ns: the bucket's end, as in `totals`.
        longest_ns: the longest stall; a quantile in its bucket is that stall itself, known to the nanosecond.
    """
    if quantile_ns == longest_ns:
        return time_text(quantile_ns)
    size, name = next((unit for unit in reversed(TIME_UNITS) if quantile_ns >= unit[0]), TIME_UNITS[0])
    value = quantile_ns / size
    return f"{value:.1f} {name}" if value < 10 and size > 1 else f"{value:.0f} {name}"


def bytes_text(size_bytes: float) -> str:
    """An amount of memory, e.g. "8.00 MiB"."""
    return _with_unit(size_bytes, BYTE_UNITS)


def count_text(count: int) -> str:
    """A count, e.g. "402,653,184"."""
    return f"{count:,}"


def rate_text(per_second: float) -> str:
    """Events a second, e.g. "20.1 million/s"."""
    for size, name in ((1e9, " billion"), (1e6, " million"), (1e3, " thousand")):
        if per_second >= size:
            return f"{digits(per_second / size)}{name}/s"
    return f"{digits(per_second)}/s"


def share_text(part: float, whole: float) -> str:
    """A part of a whole in percent; "-" if the whole is 0."""
    return f"{digits(100 * part / whole)}%" if whole else "-"


def digits(value: float) -> str:
    """Three significant digits, thousands separated; a whole number below 1000 as it is."""
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 9.995 else f"{value:.1f}"


def _with_unit(value: float, units: tuple[tuple[int, str], ...]) -> str:
    size, name = next((unit for unit in reversed(units) if abs(value) >= unit[0]), units[0])
    return f"{digits(value / size)} {name}"
