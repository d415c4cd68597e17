"""A number with a range and its sources, and the arithmetic that keeps all three."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ASSUMPTION: Final = "assumption"


@dataclass(frozen=True)
class Estimate:
    """A figure that was counted, derived or assumed.

    Attributes:
        value: the figure.
        low: lowest plausible value.
        high: highest plausible value.
        sources: labels of the counted rows that it rests on, or ASSUMPTION, without repeats.
    """

    value: float
    low: float
    high: float
    sources: tuple[str, ...]

    def __add__(self, other: Estimate) -> Estimate:
        """The sum; the ranges add up."""
        return Estimate(
            self.value + other.value, self.low + other.low, self.high + other.high, _union(self.sources, other.sources)
        )

    def __sub__(self, other: Estimate) -> Estimate:
        """The difference; the ranges add up."""
        return self + other * -1

    def __mul__(self, factor: float) -> Estimate:
        """The figure times an exact number."""
        low, high = sorted((self.low * factor, self.high * factor))
        return Estimate(self.value * factor, low, high, self.sources)

    def __truediv__(self, divisor: float) -> Estimate:
        """The figure divided by an exact number."""
        return self * (1 / divisor)

    def within(self, low: float, high: float) -> Estimate:
        """The same figure with a range that is set by hand, relative to it."""
        ends = sorted((self.value * low, self.value * high))
        return Estimate(self.value, ends[0], ends[1], self.sources)

    def assumed(self) -> Estimate:
        """The same figure, marked as based on an assumption too."""
        return Estimate(self.value, self.low, self.high, _union(self.sources, (ASSUMPTION,)))


def _union(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def assumption(value: float, low: float, high: float) -> Estimate:
    """A figure that was not counted.

    Args:
        value: the figure.
        low: lowest plausible value.
        high: highest plausible value.

    Returns:
        The estimate, its source the word "assumption".
    """
    return Estimate(value, low, high, (ASSUMPTION,))
