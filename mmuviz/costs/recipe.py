"""One cost as it is worked out from the counted runs, and the releases that changed a cost.

These are the releases of mmu/features.py; they are written down again, since costs may not import mmu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.costs.counted import Counts, NotCounted, Recipe, Release
from mmuviz.costs.estimate import Estimate

FAULT_SPLITS: Final[Release] = (6, 2)
"""From here on a write fault splits a huge page; before, it zaps it."""
ONE_AND: Final[Release] = (6, 4)
"""From here on one locked AND takes write access of an SPTE in GET, CLEAR and ring reset."""
RECOVERS: Final[Release] = (6, 13)
"""From here on disabling makes huge pages again in place; before, it zaps the tables."""


@dataclass(frozen=True)
class Cost:
    """What one path of the kernel costs, on every counted kernel.

    Attributes:
        name: its name in the ledger.
        unit: what it is a cost of, e.g. "instructions/fault".
        description: what it covers.
        recipe: how it is worked out from the runs of one kernel.
        changed: releases that changed this path; a counted kernel stands only for its own side of them.
        derived: where it was not counted as such: from what it is derived, and how.
    """

    name: str
    unit: str
    description: str
    recipe: Recipe
    changed: tuple[Release, ...] = ()
    derived: str = ""


def split_at(release: Release, *, before: Recipe, since: Recipe) -> Recipe:
    """A recipe that a release changed.

    Args:
        release: the first one with the new path.
        before: what holds on older kernels.
        since: what holds from it on.

    Returns:
        The one or the other, by the kernel that was counted.
    """

    def choose(counts: Counts) -> Estimate:
        return (since if counts.release >= release else before)(counts)

    return choose


def absent(name: str) -> Recipe:
    """A path that a kernel does not have: asking for it says so."""

    def refuse(_: Counts) -> Estimate:
        raise NotCounted(name)

    return refuse
