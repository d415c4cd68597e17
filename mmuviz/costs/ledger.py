"""The ledger: every constant of the cost model, with its unit, its range and its source.

The ledger has the costs that depend on code only: instructions on a path of a kernel, counted on real KVM. They are
defined in guest_faults.py, slot_ioctls.py and dirty_log_walks.py. The costs that depend on the host (time of an
instruction, world switch, cache misses, contention) are in costs/hosts.py, and change no entry of the ledger.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from mmuviz.costs.counted import COUNTED_KERNELS, OFF, Counts, NotCounted, Release, release_name
from mmuviz.costs.dirty_log_walks import DIRTY_LOG_WALKS
from mmuviz.costs.estimate import ASSUMPTION, Estimate
from mmuviz.costs.guest_faults import GUEST_FAULTS
from mmuviz.costs.recipe import Cost
from mmuviz.costs.slot_ioctls import SLOT_IOCTLS

COSTS: Final[dict[str, Cost]] = {cost.name: cost for cost in (*GUEST_FAULTS, *SLOT_IOCTLS, *DIRTY_LOG_WALKS)}
ORIGIN: Final = "mmuviz/data/costs/counted.json"
SCALE: Final = 100
"""Units per instruction: sums are integers in hundredths of an instruction, so they are the same on every machine."""


@dataclass(frozen=True)
class Entry:
    """An entry of the ledger: the cost of a path on a counted kernel.

    Attributes:
        name: name of the path.
        unit: instructions per unit.
        value: the cost in that unit, to a hundredth.
        low: lowest plausible value.
        high: highest plausible value.
        source: the counted rows on which it is based, and "assumption" if it is also based on one.
        kernel: the counted kernel.
        mitigations: off or auto.
        description: the work that it covers.
        derived: if it was not counted as such, the values from which it is derived.
    """

    name: str
    unit: str
    value: float
    low: float
    high: float
    source: str
    kernel: Release
    mitigations: str
    description: str
    derived: str

    @property
    def hundredths(self) -> int:
        """The value in hundredths of an instruction."""
        return round(self.value * SCALE)


def _entry(cost: Cost, estimate: Estimate, release: Release, mitigations: str) -> Entry:
    rows = [name for name in estimate.sources if name != ASSUMPTION]
    parts = [f"{ORIGIN}: {', '.join(rows)}"] if rows else []
    parts += [ASSUMPTION] if ASSUMPTION in estimate.sources else []
    value = round(estimate.value, 2)
    return Entry(
        name=cost.name,
        unit=cost.unit,
        value=value,
        low=min(round(max(estimate.low, 0.0), 2), value),
        high=max(round(estimate.high, 2), value),
        source="; ".join(parts),
        kernel=release,
        mitigations=mitigations,
        description=cost.description,
        derived=cost.derived if ASSUMPTION in estimate.sources else "",
    )


@cache
def rows(mitigations: str) -> dict[tuple[str, Release], Entry]:
    """Return every entry that could be counted or derived.

    Args:
        mitigations: off, or auto, which was counted for some paths of 6.1 and 6.12 only.

    Returns:
        Entries by name and counted kernel, in the order of the ledger.
    """
    found: dict[tuple[str, Release], Entry] = {}
    for name, cost in COSTS.items():
        for release in COUNTED_KERNELS:
            counts = Counts(release, mitigations)
            if not counts.rows:
                continue
            try:
                found[name, release] = _entry(cost, cost.recipe(counts), release, mitigations)
            except NotCounted:
                continue
    return found


@cache
def lookup(name: str, release: Release, mitigations: str = OFF) -> Entry:
    """Find the entry that a kernel release uses.

    It is the entry of the newest counted kernel that is not newer than the release. If that kernel behaves differently
    on this path, or there is none, it is the entry of the next newer counted kernel that behaves the same.

    Args:
        name: name of the path.
        release: any release.
        mitigations: off or auto.

    Returns:
        The entry; its `kernel` is the counted kernel that was used.

    Raises:
        KeyError: no counted kernel has it.
    """
    table = rows(mitigations)
    have = [each for each in COUNTED_KERNELS if (name, each) in table]
    if not have:
        raise KeyError(name)
    side = _side(COSTS[name], release)
    same = [each for each in have if _side(COSTS[name], each) == side] or have
    below = [each for each in same if each <= release]
    return table[name, max(below) if below else min(same)]


def _side(cost: Cost, release: Release) -> int:
    """Count the changes of the path up to and including a release."""
    return sum(release >= each for each in cost.changed)


def stand_in(name: str, release: Release) -> str:
    """Return a sentence on the counted kernel that a release uses on a path; empty if the release was counted."""
    entry = lookup(name, release)
    if entry.kernel == release:
        return ""
    why = "the nearest counted kernel that behaves the same on this path"
    return f"{release_name(release)} takes {name} from {release_name(entry.kernel)}, {why}"


def ledger_hash(values: Mapping[str, int]) -> str:
    """Return the SHA-256 of all entries and of a host's constants, hexadecimal; equal hashes mean equal prices.

    Args:
        values: the host's constants by name, overrides included, and overridden entries in instructions.
    """
    entries = [(entry.name, *entry.kernel, entry.hundredths) for entry in rows(OFF).values()]
    text = json.dumps([entries, sorted(values.items())], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
