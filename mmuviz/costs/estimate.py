"""Numbers with ranges and sources, and their arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ASSUMPTION: Final = "assumption"


@dataclass(frozen=True)
class Estimate:
    """A number that was counted, derived or assumed.

    Attributes:
        value: the number.
        low: lowest plausible value.
        high: highest plausible value.
        sources: labels of the counted rows on which it is based, or ASSUMPTION, without repeats.
    """

    value: float
    low: float
    high: float
    sources: tuple[str, ...]

    def __add__(self, other: Estimate) -> Estimate:
        """Add another estimate; the widths of the ranges add up."""
        return Estimate(
            self.value + other.value, self.low + other.low, self.high + other.high, _union(self.sources, other.sources)
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """Subtract another estimate; the widths of the ranges add up."""
        return self + other * -1

    def __mul__(self, factor: float) -> Estimate:
        """Multiply by an exact number."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, low, high, self.sources)

    def __truediv__(self, divisor: float) -> Estimate:
        """Divide by an exact number."""
        return self * (1 / divisor)

    def within(self, low: float, high: float) -> Estimate:
        """Return the same value with another range, given relative to the value."""
        ends = sorted((self.value * low, self.value * high))
        return Estimate(self.value, ends[0], ends[1], self.sources)

    def assumed(self) -> Estimate:
        """Return the same estimate with ASSUMPTION among its sources."""
        return Estimate(self.value, self.low, self.high, _union(self.sources, (ASSUMPTION,)))


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def assumption(value: float, low: float, high: float) -> Estimate:
    """Make an estimate of a number that was not counted.

    Args:
        value: the number.
        low: lowest plausible value.
        high: highest plausible value.

    Returns:
        The estimate, with the source "assumption".
    """
    return Estimate(value, low, high, (ASSUMPTION,))
