"""KVM_GET_DIRTY_LOG and KVM_CLEAR_DIRTY_LOG, word by word as the kernel walks its bitmap."""

from __future__ import annotations

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import BITS_PER_LONG, PAGES_PER_2M, PG_LEVEL_4K
from mmuviz.mmu import work
from mmuviz.mmu.cells import count_dirty_word
from mmuviz.mmu.counting import bits_of, count_word, shadow_of, verb_now
from mmuviz.mmu.events import DIRTY_LOG, UNTRACED, log_change, log_is_low, spte_code
from mmuviz.mmu.protect import clear_bits_pt_masked, write_protect_gfn
from mmuviz.mmu.rmap import shadow_try_split_huge_pages
from mmuviz.mmu.split import try_split_huge_pages
from mmuviz.mmu.stage2 import stage2_enable_log_dirty_pt_masked
from mmuviz.mmu.state import (
    CONF_CLEAR_END_EXCLUSIVE,
    CONF_EAGER,
    CONF_INIT_SET,
    CONF_LOG,
    CONF_MANUAL,
    CONF_PML,
    CONF_SPLITTER,
    CONF_STAGE2,
    CONF_TRACK_LEVEL,
    DIRTY,
    I64,
    LOG_ALL,
    SLOT_BASE,
    SLOT_DIRTY_AT,
    SLOT_DIRTY_PAGES,
    SLOT_UNREPORTED_PAGES,
    SPLITTER_RMAP,
    SPLITTER_TDP,
    STAT_LEFT_LOG,
    STAT_MASKS_ARMED,
    WRITABLE,
    MmuState,
)


@jit_inline_llvm
def lowest_bit(mask: int) -> int:
    """Number of the lowest set bit of a mask that is not 0. Kernel: __ffs()."""
    bit = 0
    while (mask >> bit) & 1 == 0:
        bit += 1
    return bit


@jit_inline_llvm
def highest_bit(mask: int) -> int:
    """Number of the highest set bit of a mask that is not 0. Kernel: __fls()."""
    bit = BITS_PER_LONG - 1
    while (mask >> bit) & 1 == 0:
        bit -= 1
    return bit


@jit_inline_source
def split_masked(state: MmuState, start: int, end: int) -> None:
    """Split eagerly inside CLEAR, by the MMU that owns these tables.

    Kernel: kvm_mmu_try_split_huge_pages(), arch/x86/kvm/mmu/mmu.c
    """
    splitter = int(state.conf[CONF_SPLITTER])
    if splitter == SPLITTER_TDP:
        try_split_huge_pages(state, start, end, state.conf[CONF_TRACK_LEVEL], work.WORK_SPLIT_CLEAR_2M)
    elif splitter == SPLITTER_RMAP:
        shadow_try_split_huge_pages(state, start, end)


@jit
def enable_log_dirty_pt_masked(state: MmuState, slot: int, offset: int, mask: int, verb: int) -> None:
    """Arm the pages of one mask; under initially-all-set split or protect their huge pages first.

    The second huge page is protected only if the first and the last page, each rounded UP to 2 MiB, differ.
    So if a mask ends on the first page of a 2 MiB region, that region's huge page stays writable although
    the page has lost its dirty bit: the lost dirty page.

    Args:
        state: page tables, changed in place.
        slot: index of the memslot.
        offset: page of bit 0, counted from the slot's start.
        mask: 64 bits, as int64; not 0.
        verb: work entry of a word of the calling operation: WORK_GET_WORD, WORK_CLEAR_WORD or WORK_RING_WORD.

    Kernel: kvm_arch_mmu_enable_log_dirty_pt_masked(), arch/x86/kvm/mmu/mmu.c
    """
    first = state.slots[slot, SLOT_BASE] + offset
    low, high = lowest_bit(mask), highest_bit(mask)
    verb = verb_now(state, verb)
    state.stat[STAT_MASKS_ARMED] += 1
    if state.conf[CONF_STAGE2] != 0:
        stage2_enable_log_dirty_pt_masked(state, first + low, first + high + 1, verb)
        count_word(state, slot, first, low, high, verb)
        return
    if state.conf[CONF_INIT_SET] != 0:
        start, end = first + low, first + high
        if state.conf[CONF_EAGER] != 0:
            split_masked(state, start, end if state.conf[CONF_CLEAR_END_EXCLUSIVE] != 0 else end + 1)
        write_protect_gfn(state, start)
        if (start + PAGES_PER_2M - 1) // PAGES_PER_2M != (end + PAGES_PER_2M - 1) // PAGES_PER_2M:
            write_protect_gfn(state, end)
    armed = clear_bits_pt_masked(state, first, mask, DIRTY if state.conf[CONF_PML] != 0 else WRITABLE)
    count_word(state, slot, first, low, high, verb)
    shadow = shadow_of(state)
    state.work[verb + work.PAGE + shadow] += armed
    if shadow != 0:
        state.work[work.WORK_RMAP_HEADS] += bits_of(mask)


@jit_inline_llvm
def count_cleared(state: MmuState, slot: int, offset: int, mask: int) -> None:
    """Update counters and cells for the pages of one word that left the bitmap."""
    pages, gfn = bits_of(mask), state.slots[slot, SLOT_BASE] + offset
    state.slots[slot, SLOT_DIRTY_PAGES] -= pages
    state.stat[STAT_LEFT_LOG] += pages
    count_dirty_word(state, gfn, mask, -pages)
    if state.conf[CONF_LOG] == LOG_ALL:
        log_cleared(state.log, state.stat, state.conf, gfn, mask)


@jit
def log_cleared(log: I64, stat: I64, conf: I64, gfn: int, mask: int) -> None:
    """Log that each page of a mask left the bitmap."""
    code = spte_code(conf, DIRTY_LOG, PG_LEVEL_4K, 1, 0) | UNTRACED
    for bit in range(BITS_PER_LONG):
        if (mask >> bit) & 1:
            log_change(log, stat, conf, code, gfn + bit, 1)


@jit
def get_dirty_log_protect(state: MmuState, slot: int, buffer: I64, word: int) -> int:
    """GET in legacy mode: copy each word to userspace, clear it and arm its pages.

    Args:
        state: page tables and bitmap, changed in place.
        slot: index of the memslot.
        buffer: int64[words], userspace's bitmap, written.
        word: word to continue from.

    Returns:
        The word to continue from; len(buffer) when done.

    Kernel: kvm_get_dirty_log_protect(), virt/kvm/kvm_main.c
    """
    at = state.slots[slot, SLOT_DIRTY_AT]
    for each in range(word, len(buffer)):
        mask = state.dirty[at + each]
        if mask != 0:
            if log_is_low(state):
                state.work[work.WORK_GET_IDLE_WORD] += each - word
                return each
            state.dirty[at + each] = 0
            state.slots[slot, SLOT_UNREPORTED_PAGES] -= bits_of(mask)
            count_cleared(state, slot, each * BITS_PER_LONG, mask)
            enable_log_dirty_pt_masked(state, slot, each * BITS_PER_LONG, mask, work.WORK_GET_WORD)
        buffer[each] = mask
    state.work[work.WORK_GET_IDLE_WORD] += len(buffer) - word
    return len(buffer)


@jit
def arm_words(state: MmuState, slot: int, first_word: int, masks: I64, word: int) -> int:
    """Arm the pages of these masks in other tables of the same slot; the bitmap is not touched.

    A nested VM arms the shadow MMU of its L2 this way, before the TDP MMU (the kernel alternates word by word).

    Args:
        state: the other tables, changed in place.
        slot: index of the memslot.
        first_word: word of the slot's bitmap that masks[0] represents.
        masks: int64[words].
        word: word of the masks to continue from.

    Returns:
        The word to continue from; len(masks) when done.
    """
    verb = work.WORK_CLEAR_WORD if state.conf[CONF_MANUAL] != 0 else work.WORK_GET_WORD
    for each in range(word, len(masks)):
        if masks[each] != 0:
            if log_is_low(state):
                return each
            enable_log_dirty_pt_masked(state, slot, (first_word + each) * BITS_PER_LONG, masks[each], verb)
    return len(masks)


@jit_inline_llvm
def count_clear(state: MmuState, words: int, clean: int) -> None:
    """Count the words that CLEAR walked, and those that userspace requested although they were clean."""
    state.work[work.WORK_CLEAR_IDLE_WORD] += words
    state.work[work.WORK_CLEAR_CLEAN_WORD] += clean


@jit
def clear_dirty_log_protect(state: MmuState, slot: int, first_word: int, buffer: I64, word: int) -> int:
    """CLEAR: of the bits that userspace passes, clear and arm those that KVM's own bitmap still has.

    Args:
        state: page tables and bitmap, changed in place.
        slot: index of the memslot.
        first_word: word of the slot's bitmap that buffer[0] represents.
        buffer: int64[words], userspace's bits.
        word: word of the buffer to continue from.

    Returns:
        The word to continue from; len(buffer) when done.

    Kernel: kvm_clear_dirty_log_protect(), virt/kvm/kvm_main.c
    """
    at, clean = state.slots[slot, SLOT_DIRTY_AT] + first_word, 0
    for each in range(word, len(buffer)):
        mask = buffer[each] & state.dirty[at + each]
        if mask == 0:
            clean += 1 if buffer[each] != 0 else 0
            continue
        if log_is_low(state):
            count_clear(state, each - word, clean)
            return each
        state.dirty[at + each] &= ~mask
        count_cleared(state, slot, (first_word + each) * BITS_PER_LONG, mask)
        enable_log_dirty_pt_masked(state, slot, (first_word + each) * BITS_PER_LONG, mask, work.WORK_CLEAR_WORD)
    count_clear(state, len(buffer) - word, clean)
    return len(buffer)
