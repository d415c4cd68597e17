"""The counted runs: instructions that real kernels executed, by kernel, mitigations and label.

mmuviz/data/costs/README.md describes how they were counted and which instructions they do not include.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations
from statistics import median
from typing import Any, Final, NamedTuple

from mmuviz.costs.estimate import Estimate

Release = tuple[int, int]

COUNTED_KERNELS: Final[tuple[Release, ...]] = ((6, 1), (6, 12), (6, 18), (7, 3))
"""Kernels on which the runs were counted, oldest first."""
OFF: Final = "off"
AUTO: Final = "auto"
MITIGATIONS: Final = (OFF, AUTO)
"""Parameter mitigations= of the kernel's command line: off, or its default, which was counted on two kernels only."""
SINGLE: Final = 0.02
"""Relative range of a single count: repeats differ by at most 0.4 %, but a timer tick adds up to 2 % to a short run."""


class NotCounted(LookupError):  # noqa: N818  # the name says it all
    """The label was not counted on this kernel with these mitigations."""


class Row(NamedTuple):
    """The counts of one label on one kernel.

    Attributes:
        points: pairs of size and instructions; empty if only `value` was kept.
        value: the instructions of a label without sizes.
        lowest: the lowest of many single events, if known.
        by_bits: instructions by number of set bits, for the one label that has them.
    """

    points: tuple[tuple[int, int], ...]
    value: float | None
    lowest: float | None
    by_bits: tuple[tuple[int, int], ...]


def release_name(release: Release) -> str:
    """Format a release, e.g. 6.12."""
    return f"{release[0]}.{release[1]}"


@cache
def document() -> dict[str, Any]:
    """Read the file of counted runs."""
    text = files("mmuviz").joinpath("data/costs/counted.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def rows_of(release: Release, mitigations: str) -> dict[str, Row]:
    """Return the rows of one kernel.

    Args:
        release: one of COUNTED_KERNELS.
        mitigations: one of MITIGATIONS.

    Returns:
        Rows by label; empty if the kernel was not counted this way.
    """
    name = release_name(release)
    return {
        each["label"]: Row(
            points=tuple(zip(each.get("sizes", ()), each.get("instructions", ()), strict=True)),
            value=each.get("value"),
            lowest=each.get("min"),
            by_bits=tuple((int(bits), count) for bits, count in each.get("instructions_by_k", {}).items()),
        )
        for each in document()["rows"]
        if each["kernel"] == name and each["mitigations"] == mitigations
    }


class Counts:
    """The counted runs of one kernel, queried for slopes, single sizes and fixed parts."""

    def __init__(self, release: Release, mitigations: str) -> None:
        """Read the rows of one kernel.

        Args:
            release: one of COUNTED_KERNELS.
            mitigations: one of MITIGATIONS.
        """
        self.release = release
        self.mitigations = mitigations
        self.rows = rows_of(release, mitigations)

    def on(self, release: Release) -> Counts:
        """Return the runs of another kernel with the same mitigations."""
        return Counts(release, self.mitigations)

    def row(self, label: str) -> Row:
        """Return the row of a label.

        Raises:
            NotCounted: there is no such row.
        """
        if label not in self.rows:
            raise NotCounted(label)
        return self.rows[label]

    def value(self, label: str) -> Estimate:
        """Return the instructions of a label without sizes: the median of many single events, or a difference."""
        row = self.row(label)
        if row.value is None:
            raise NotCounted(label)
        return Estimate(row.value, row.value * (1 - SINGLE), row.value * (1 + SINGLE), (label,))

    def at(self, label: str, size: int) -> Estimate:
        """Return the instructions of a run of one size."""
        found = [count for each, count in self.row(label).points if each == size]
        if not found:
            raise NotCounted(f"{label} at {size}")
        return Estimate(found[0], found[0] * (1 - SINGLE), found[0] * (1 + SINGLE), (label,))

    def slope(self, *labels: str, least: int | None = None, most: int | None = None) -> Estimate:
        """Return the instructions per additional unit: the median of the slopes between all pairs of sizes.

        A timer tick or a kernel thread during one run would shift a fitted line, but not the median.

        Args:
            labels: labels of runs of the same path.
            least: smallest size that is used.
            most: largest size that is used.

        Returns:
            The median; its range contains the middle 80 % of the slopes.
        """
        slopes = sorted(slope for label in labels for slope in _slopes(self.points(label, least, most)))
        edge = len(slopes) // 10
        return Estimate(median(slopes), slopes[edge], slopes[-1 - edge], labels)

    def points(self, label: str, least: int | None = None, most: int | None = None) -> list[tuple[int, int]]:
        """Return sizes and instructions of a label, between two sizes if given."""
        low, high = least or 0, sys.maxsize if most is None else most
        return [(size, count) for size, count in self.row(label).points if low <= size <= high]

    def base(self, label: str, slope: Estimate | None = None, *, most: int | None = None) -> Estimate:
        """Return the fixed part: the median, over all sizes, of the count minus slope times size."""
        each = self.slope(label, most=most) if slope is None else slope
        left = sorted(count - each.value * size for size, count in self.points(label, most=most))
        middle = median(left)
        spread = min(max(abs(left[0] - middle), abs(left[-1] - middle)), 0.1 * abs(middle))
        return Estimate(middle, middle - spread, middle + spread, (label,))


def _slopes(points: list[tuple[int, int]]) -> list[float]:
    found = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if a[0] != b[0]]
    if not found:
        raise NotCounted("one size only")
    return found


Recipe = Callable[[Counts], Estimate]


def first_counted(recipes: Sequence[Recipe]) -> Recipe:
    """Make a recipe that uses the first of several recipes whose rows the kernel has."""

    def choose(counts: Counts) -> Estimate:
        for recipe in recipes[:-1]:
            try:
                return recipe(counts)
            except NotCounted:
                continue
        return recipes[-1](counts)

    return choose
