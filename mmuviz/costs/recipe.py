"""One cost as it is worked out from the counted runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.costs.counted import Recipe, Release

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
        says: what it covers.
        recipe: how it is worked out from the runs of one kernel.
        changed: releases that changed this path; a counted kernel stands only for its own side of them.
        derived: where it was not counted as such: from what it is derived, and how.
    """

    name: str
    unit: str
    says: str
    recipe: Recipe
    changed: tuple[Release, ...] = ()
    derived: str = ""
