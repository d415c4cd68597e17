"""What a cost depends on beside the event log: the map, dirty pages, rings, vCPU caches, host pages.

All of it is a fold over the Recording; nothing is asked of the machine.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mmuviz.ground.pages import PAGES_PER_1G, PAGES_PER_2M, SHIFT_1G, SHIFT_2M, SPTE_ENT_PER_PAGE
from mmuviz.recording.columns import I64, PRESENT, TABLE, Recording, Runs
from mmuviz.recording.fold import PageMap, fold, start_map

Flags = npt.NDArray[np.bool_]

CACHE_OBJECTS: Final = 40
"""Objects of a full vCPU cache. Kernel: KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE."""
CACHE_MINIMUM: Final = 5
"""Where fewer remain a slow fault fills it up first. Kernel: PT64_ROOT_MAX_LEVEL."""
TAKEN_BEFORE: Final = 4
"""Objects that vCPU 0 took before the first op: the root, and three tables over the program's own pages."""

HOST_NONE: Final = 0
HOST_ZERO: Final = 1
HOST_PAGE: Final = 2


class Standing(NamedTuple):
    """How a slot is mapped at one moment.

    Attributes:
        tables: bool[pages], a 4K table covers the page.
        present: bool[pages], a 4K leaf maps it.
        below_1g: bool[pages], a table stands at 1G over it.
        entries_2m: entries at 2M over the slot that a walk comes by.
        tables_2m: those of them that are tables.
        leaves_2m: those of them that are leaves.
        tables_1g: tables at 1G over the slot.
    """

    tables: Flags
    present: Flags
    below_1g: Flags
    entries_2m: int
    tables_2m: int
    leaves_2m: int
    tables_1g: int


class Followed:
    """A Recording followed op by op; `map` is what stands before the op that comes next.

    Attributes:
        recording: not changed.
        map: the page tables.
        dirty: bool[pages], KVM's bitmap.
        told: bool[pages], the buffer of the newest GET.
        eager: the module parameter.
        caches: objects left in each vCPU's cache, None before its first run.
        rings: entries of each vCPU's ring that were not reset, as (page, harvested or not).
        host: uint8[pages], HOST_NONE, HOST_ZERO or HOST_PAGE.
        collected: whether userspace has harvested before.
    """

    def __init__(self, recording: Recording) -> None:
        """Begin before the first op.

        Args:
            recording: from record_replay(), or of the engine.
        """
        pages, config = recording.slot.pages, recording.config
        self.recording = recording
        self.map: PageMap = start_map(recording)
        self.dirty: Flags = np.zeros(pages, dtype=np.bool_)
        self.told: Flags = np.zeros(pages, dtype=np.bool_)
        self.eager = config.eager_page_split
        self.caches: list[int | None] = [CACHE_OBJECTS - TAKEN_BEFORE, *[None] * (config.vcpus - 1)]
        self.rings: list[list[int]] = [[] for _ in range(config.vcpus)]
        self.harvested: list[int] = [0] * config.vcpus
        self.collected = False
        populated = HOST_PAGE if recording.slot.host_populated else HOST_NONE
        self.host = np.full(pages, populated, dtype=np.uint8)

    @property
    def ring(self) -> bool:
        """Whether pages go to rings."""
        return self.recording.config.dirty_log_mode.startswith("ring")

    @property
    def initially_set(self) -> bool:
        """Whether the log begins with every page dirty."""
        return self.recording.config.dirty_log_mode.endswith("initially_set")

    def rows(self, op: int) -> Runs:
        """The op's rows of the event log."""
        rows = self.recording.runs_of_op(op)
        return Runs._make(column[rows] for column in self.recording.runs)

    def logged_before(self, op: int) -> bool:
        """Whether the slot is logged as an op begins."""
        return op > 0 and bool(self.recording.op_columns.logging[op - 1])

    def offsets(self, gfns: I64) -> I64:
        """Pages counted from the slot's start."""
        offsets: I64 = gfns - self.recording.slot.base_gfn
        return offsets

    def advance(self, op: int) -> None:
        """Bring the map past an op."""
        rows = self.recording.runs_of_op(op)
        fold(self.map, self.recording, rows.start, rows.stop)

    def standing(self) -> Standing:
        """How the slot is mapped now."""
        slot, tree = self.recording.slot, self.map
        low, high = slot.base_gfn - tree.origin, slot.base_gfn - tree.origin + slot.pages
        regions = slice(low >> SHIFT_2M, (high + PAGES_PER_2M - 1) >> SHIFT_2M)
        over = tree.l3 & TABLE != 0
        below = np.repeat(over, SPTE_ENT_PER_PAGE)[regions]
        l2 = np.where(below, tree.l2[regions], 0)
        tables = l2 & TABLE != 0
        inside = slice(low - (regions.start << SHIFT_2M), high - (regions.start << SHIFT_2M))
        covered = np.repeat(tables, PAGES_PER_2M)[inside]
        gigabytes = slice(low >> SHIFT_1G, (high + PAGES_PER_1G - 1) >> SHIFT_1G)
        return Standing(
            tables=covered,
            present=covered & (tree.l1[low:high] & PRESENT != 0),
            below_1g=np.repeat(below, PAGES_PER_2M)[inside],
            entries_2m=int(below.sum()),
            tables_2m=int(tables.sum()),
            leaves_2m=int((l2 & PRESENT != 0).sum()),
            tables_1g=int(over[gigabytes].sum()),
        )

    def push(self, vcpu: int, page: int) -> None:
        """A vCPU's ring gets an entry."""
        self.rings[vcpu].append(page)

    def harvest(self) -> int:
        """Userspace takes every entry that it has not seen; how many it took."""
        new = sum(len(ring) - seen for ring, seen in zip(self.rings, self.harvested, strict=True))
        self.harvested = [len(ring) for ring in self.rings]
        return new

    def reset(self) -> list[list[int]]:
        """KVM takes the harvested entries out of the rings; the entries, by vCPU, in order."""
        taken = [ring[:seen] for ring, seen in zip(self.rings, self.harvested, strict=True)]
        self.rings = [ring[seen:] for ring, seen in zip(self.rings, self.harvested, strict=True)]
        self.harvested = [0] * len(self.rings)
        return taken

    def take_from_cache(self, vcpu: int, tables: list[int]) -> int:
        """A vCPU's slow faults in order take tables from its cache.

        Args:
            vcpu: the vCPU.
            tables: tables that each slow fault takes.

        Returns:
            Objects that had to be filled up.
        """
        left, filled = self.caches[vcpu] or 0, 0
        for each in tables:
            if left < CACHE_MINIMUM:
                filled += CACHE_OBJECTS - left
                left = CACHE_OBJECTS
            left -= each
        self.caches[vcpu] = left
        return filled

    def first_run(self, vcpu: int) -> int:
        """A vCPU enters the guest; the objects that its cache is filled with if that is the first time."""
        if self.caches[vcpu] is not None:
            return 0
        self.caches[vcpu] = CACHE_OBJECTS
        return CACHE_OBJECTS
