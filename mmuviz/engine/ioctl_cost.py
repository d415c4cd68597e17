"""What a step of an ioctl costs: the machine's work in it, and the cache lines that it touched."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.costs.ledger import SCALE
from mmuviz.engine.cost_table import PS_PER_NS, WORDS, CostTable
from mmuviz.ground.pages import BITS_PER_LONG, PAGE_BYTES, SPTE_ENT_PER_PAGE
from mmuviz.mmu import work
from mmuviz.mmu.state import I64

SPTE_BYTES: Final = PAGE_BYTES // SPTE_ENT_PER_PAGE
RMAP_BYTES: Final = 8
"""A gfn's rmap head. Kernel: struct kvm_rmap_head."""
LINE_BYTES: Final = 64
TABLE_MOVES: Final = 2
"""A table's lines come into the cache and are written back from it."""
SHADOW_MOVES: Final = 2 * TABLE_MOVES
"""Of a split of the shadow MMU: so do the rmap heads of the children."""


def _moved_bytes() -> I64:
    """Bytes of tables and reverse maps that each entry moves between memory and cache: int64[WORK_ENTRIES]."""
    moved, shadow = np.zeros(work.WORK_ENTRIES, dtype=np.int64), work.WORK_SHADOW
    leaf = TABLE_MOVES * SPTE_BYTES
    for entry in (work.WORK_PROTECT_4K, work.WORK_VISIT_4K, *(word + work.PAGE for word in WORDS)):
        moved[[entry, entry + shadow]] = leaf
    splits = slice(work.WORK_SPLIT_ENABLE_2M, work.WORK_SPLIT_CLEAR_1G + 1)
    moved[splits] = TABLE_MOVES * PAGE_BYTES
    moved[splits.start + shadow : splits.stop + shadow] = SHADOW_MOVES * PAGE_BYTES
    moved[work.WORK_RMAP_WALKED] = RMAP_BYTES
    words = (*WORDS, work.WORK_CLEAR_HUGE_WORD_2M, work.WORK_CLEAR_HUGE_WORD_1G)
    moved[[word + shadow for word in words]] = BITS_PER_LONG * RMAP_BYTES
    return moved


MOVED_BYTES: Final = _moved_bytes()


class Meter:
    """The work of the thread that calls ioctls: what it did since it was asked last.

    vCPUs that fault meanwhile count other entries.
    """

    def __init__(self, counts: I64) -> None:
        """Begin now.

        Args:
            counts: int64[WORK_ENTRIES], the machine's own.
        """
        self._counts = counts
        self._seen = counts.copy()

    def take(self, *, whole: bool = False) -> I64:
        """Work since the last call.

        Args:
            whole: what faults count as well, where the thread itself came by it and no vCPU runs.

        Returns:
            int64[WORK_ENTRIES].
        """
        did: I64 = self._counts - self._seen
        if not whole:
            did[: work.WORK_GUEST_END] = 0
        self._seen[:] = self._counts
        return did


def step_ps(costs: CostTable, did: I64, pages: int) -> int:
    """Time of a step.

    Args:
        costs: of the VM.
        did: int64[WORK_ENTRIES], the work in it.
        pages: that the whole call goes over.

    Returns:
        The work by its costs, and the misses on what it touched.
    """
    lines = int(did @ MOVED_BYTES) // LINE_BYTES
    return int(did @ costs.steps) // SCALE + misses(costs, lines, footprint(costs, pages))


def footprint(costs: CostTable, pages: int) -> int:
    """Bytes of the 4K SPTEs, and of the rmap heads, of so many pages."""
    return pages * (SPTE_BYTES + (RMAP_BYTES if costs.config.mmu.shadows else 0))


def misses(costs: CostTable, lines: int, footprint_bytes: int) -> int:
    """Time for cache lines that a walk meets again only after the cache has lost them, ps.

    Args:
        costs: of the VM.
        lines: read, or written back.
        footprint_bytes: what the whole walk touches; in a cache of that size nothing is lost.

    Returns:
        0 where it fits; else the share that does not fit is missed.
    """
    cache = costs.host["cache_mib"] << 20
    if footprint_bytes <= cache:
        return 0
    return lines * costs.host["miss_ps"] * (footprint_bytes - cache) // footprint_bytes


def topping_up_ps(costs: CostTable, topups: int) -> int:
    """Filling VM-wide split caches that a call frees again (shadow-eager-v1)."""
    return topups * costs.host["topup_ns"] * PS_PER_NS if costs.config.kernel.split_caches_last_a_call else 0
