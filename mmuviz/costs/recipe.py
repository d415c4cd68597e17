"""Costs of kernel paths, the recipes that compute them from the counted runs, and the releases that changed them.

The releases are those of mmu/features.py; they are repeated here because costs may not import mmu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.costs.counted import Counts, NotCounted, Recipe, Release
from mmuviz.costs.estimate import Estimate

FAULT_SPLITS: Final[Release] = (6, 2)
"""First release in which a write fault splits a huge page; before, it zaps it."""
ONE_AND: Final[Release] = (6, 4)
"""First release in which one locked AND removes write access from an SPTE in GET, CLEAR and ring reset."""
RECOVERS: Final[Release] = (6, 13)
"""First release in which disabling recovers huge pages in place; before, it zaps the tables."""


@dataclass(frozen=True)
class Cost:
    """The cost of one kernel path, on every counted kernel.

    Attributes:
        name: its name in the ledger.
        unit: its unit, e.g. "instructions/fault".
        description: the work that it covers.
        recipe: function that computes it from the runs of one kernel.
        changed: releases that changed this path; a counted kernel is used only for releases with the same path.
        derived: if it was not counted as such, the values from which it is derived, and how.
    """

    name: str
    unit: str
    description: str
    recipe: Recipe
    changed: tuple[Release, ...] = ()
    derived: str = ""


def split_at(release: Release, *, before: Recipe, since: Recipe) -> Recipe:
    """Make a recipe for a path that a release changed.

    Args:
        release: the first release with the new path.
        before: recipe for older kernels.
        since: recipe from that release on.

    Returns:
        A recipe that chooses by the counted kernel.
    """

    def choose(counts: Counts) -> Estimate:
        return (since if counts.release >= release else before)(counts)

    return choose


def absent(name: str) -> Recipe:
    """Make the recipe of a path that a kernel does not have: it raises NotCounted."""

    def refuse(_: Counts) -> Estimate:
        raise NotCounted(name)

    return refuse
