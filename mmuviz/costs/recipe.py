"""One cost and its recipe from the counted runs, and the releases that changed a cost.

These are the releases of mmu/features.py; they are repeated here, since costs may not import mmu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.costs.counted import Counts, NotCounted, Recipe, Release
from mmuviz.costs.estimate import Estimate

FAULT_SPLITS: Final[Release] = (6, 2)
"""From this release on, a write fault splits a huge page; before, it zaps it."""
ONE_AND: Final[Release] = (6, 4)
"""From this release on, one locked AND removes write access from an SPTE in GET, CLEAR and ring reset."""
RECOVERS: Final[Release] = (6, 13)
"""From this release on, disabling restores huge pages in place; before, it zaps the tables."""


@dataclass(frozen=True)
class Cost:
    """Cost of one path of the kernel, on every counted kernel.

    Attributes:
        name: its name in the ledger.
        unit: its unit, e.g. "instructions/fault".
        description: what it covers.
        recipe: computes it from the runs of one kernel.
        changed: releases that changed this path; a counted kernel is used only for releases on its own side of them.
        derived: if it was not counted as such, the figures that it is derived from, and how.
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
        before: recipe for older kernels.
        since: recipe from that release on.

    Returns:
        A recipe that chooses by the counted kernel.
    """

    def choose(counts: Counts) -> Estimate:
        return (since if counts.release >= release else before)(counts)

    return choose


def absent(name: str) -> Recipe:
    """Recipe of a path that a kernel does not have: it raises NotCounted."""

    def refuse(_: Counts) -> Estimate:
        raise NotCounted(name)

    return refuse
