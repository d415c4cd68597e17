"""Dirty tracking at 2M with 4K for the regions that do not converge: an idea, never merged.

The rule: for every 2M region, each KVM_GET_DIRTY_LOG counts the number of successive calls that found
it dirty. Once that reaches the limit, the call that arms pages of the region (CLEAR, or GET itself in
legacy mode) first splits it to 4K. Each enable resets the counts, and the all-ones bitmap of
initially-all-set counts like any other.
"""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_2M, PG_LEVEL_4K, SHIFT_2M, WORD_SHIFT
from mmuviz.mmu import work
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.state import I64, MmuState


def regions_of(base_gfn: int, pages: int) -> int:
    """Number of 2M regions that a slot touches."""
    return ((base_gfn + pages - 1) >> SHIFT_2M) - (base_gfn >> SHIFT_2M) + 1


@jit_inline_llvm
def any_page(masks: I64, low: int, high: int) -> bool:
    """Whether a bitmap has any bit set for pages [low, high)."""
    page = low
    while page < high:
        word = masks[page >> WORD_SHIFT]
        if page & (BITS_PER_LONG - 1) == 0 and page + BITS_PER_LONG <= high:
            if word != 0:
                return True
            page += BITS_PER_LONG
        else:
            if (word >> (page & (BITS_PER_LONG - 1))) & 1:
                return True
            page += 1
    return False


@jit
def count_dirty_round(masks: I64, base: int, pages: int, rounds: I64) -> None:
    """Count a GET: add one to regions that it found dirty, reset the others to 0.

    Args:
        masks: int64[words], the bitmap that GET gives to userspace.
        base: first gfn of the slot.
        pages: pages of the slot.
        rounds: int64[regions], changed in place.
    """
    first = base >> SHIFT_2M
    for region in range(len(rounds)):
        low = max(((first + region) << SHIFT_2M) - base, 0)
        high = min(((first + region + 1) << SHIFT_2M) - base, pages)
        rounds[region] = rounds[region] + 1 if any_page(masks, low, high) else 0


@jit
def split_non_converging(state: MmuState, base: int, masks: I64, rounds: I64, limit: int, start: int) -> int:
    """Split to 4K the regions that do not converge and have a page in the masks.

    Args:
        state: page tables, changed in place.
        base: gfn of the masks' bit 0.
        masks: int64[words], pages that are about to be armed.
        rounds: int64[regions] of the slot, from the region that holds `base` on.
        limit: rounds_to_4k.
        start: region to continue from.

    Returns:
        The region to continue from; len(rounds) when done, less when the event log must be emptied.
    """
    first, pages = base >> SHIFT_2M, len(masks) << WORD_SHIFT
    for region in range(start, len(rounds)):
        gfn = (first + region) << SHIFT_2M
        if rounds[region] < limit or gfn - base >= pages:
            continue
        if log_is_low(state):
            return region
        if any_page(masks, max(gfn - base, 0), min(gfn + PAGES_PER_2M - base, pages)):
            try_split_huge_pages(state, gfn, gfn + 1, PG_LEVEL_4K, work.WORK_SPLIT_CLEAR_2M)
    return len(rounds)
