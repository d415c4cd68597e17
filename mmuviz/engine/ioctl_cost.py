"""Memory traffic of an ioctl's work between memory and cache, and the cost of cache misses."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES, SPTE_ENT_PER_PAGE
from mmuviz.costs.ledger import SCALE
from mmuviz.engine.cost_table import ARMED, WORDS, CostTable
from mmuviz.mmu import work
from mmuviz.mmu.state import I64

SPTE_BYTES: Final = PAGE_BYTES // SPTE_ENT_PER_PAGE
RMAP_BYTES: Final = 8
"""A gfn's rmap head. Kernel: struct kvm_rmap_head."""
LINE_BYTES: Final = 64
TABLE_MOVES: Final = 2
"""A table's lines are read into the cache and written back."""
SHADOW_MOVES: Final = 2 * TABLE_MOVES
"""The same for a split of the shadow MMU, with the rmap heads of the children."""


def _moved_bytes() -> I64:
    """Bytes of tables and reverse maps that each entry moves between memory and cache: int64[WORK_ENTRIES]."""
    moved, shadow = np.zeros(work.WORK_ENTRIES, dtype=np.int64), work.WORK_SHADOW
    leaf = TABLE_MOVES * SPTE_BYTES
    for entry in (work.WORK_VISIT_4K, *ARMED):
        moved[[entry, entry + shadow]] = leaf
    splits = slice(work.WORK_SPLIT_ENABLE_2M, work.WORK_SPLIT_CLEAR_1G + 1)
    moved[splits] = TABLE_MOVES * PAGE_BYTES
    moved[splits.start + shadow : splits.stop + shadow] = SHADOW_MOVES * PAGE_BYTES
    moved[work.WORK_RMAP_WALKED] = RMAP_BYTES
    words = (*WORDS, work.WORK_CLEAR_HUGE_WORD_2M, work.WORK_CLEAR_HUGE_WORD_1G)
    moved[[word + shadow for word in words]] = BITS_PER_LONG * RMAP_BYTES
    return moved


MOVED_BYTES: Final = _moved_bytes()


def miss_hundredths(costs: CostTable, pages: int) -> int:
    """Cost of a cache line that a walk needs again after the cache has dropped it, averaged over all lines.

    Args:
        costs: costs of the VM.
        pages: pages that the whole call goes over: their 4K SPTEs and rmap heads are its footprint.

    Returns:
        Hundredths of a ps: 0 if the footprint fits in the cache; otherwise the share that does not fit is missed.
    """
    footprint = pages * (SPTE_BYTES + (RMAP_BYTES if costs.config.mmu.shadows else 0))
    lost = max(footprint - (costs.host["cache_mib"] << 20), 0)
    return SCALE * costs.host["miss_ps"] * lost // footprint if lost else 0
