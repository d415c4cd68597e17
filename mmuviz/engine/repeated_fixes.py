"""Fixes at once the faults of a lookahead that differ from the last one only in their page."""

from __future__ import annotations

import numpy as np

from mmuviz.core.jit import jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PAGES_PER_1G, PAGES_PER_2M, SHIFT_1G
from mmuviz.engine import clock as layout
from mmuviz.engine.access import prefetch_leaf
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import Access
from mmuviz.engine.lookahead_fixes import BinCount, Fixes, Progress, fix_ps
from mmuviz.mmu import state as mmu
from mmuviz.mmu.cells import count_4k
from mmuviz.mmu.dirty_bitmap import mark_bit, set_bits
from mmuviz.mmu.guest_access import FIXABLE
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at


@jit_inline_llvm
def can_repeat(state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress) -> bool:
    """Whether the next faults like the last one certainly change only an SPTE, a bit and sums, as that one did."""
    plain = state.conf[mmu.CONF_LOG] == mmu.LOG_NOTHING
    writes = clock.stream[vcpu, columns.WRITE_PERMILLE] >= columns.ALWAYS and access.spte & mmu.DIRTY != 0
    ready = state.pml_count[vcpu] == 0 and clock.pending_kick_ps[vcpu] == 0 and clock.regs[layout.ONE_BY_ONE] == 0
    short = at.fixes.took_ps == fix_ps(state, clock, vcpu) and at.fixes.took_ps <= at.fixes.short_ps
    return bool(plain and writes and ready and short)


@jit_inline_llvm
def after_repeated(
    state: MmuState, clock: Clock, vcpu: int, at: Progress, fixes: Fixes, times: tuple[int, int], hits: int
) -> Progress:  # fmt: skip
    """Progress after accesses of which some were fixed; `times`: begin of the last of these faults, and now."""
    begun, end = times
    here, fixed = at.here, fixes.all - at.fixes.all
    state.stat[mmu.STAT_STAMP] = begun
    clock.in_kernel_until[vcpu] = begun + fixes.took_ps
    fixed_ps = here.fixed_ps + fixed * fixes.took_ps
    here = BinCount(here.number, here.end, here.hits + hits, here.fixed + fixed, fixed_ps, here.slow_ps)
    return Progress(end, at.position + hits, fixes, here)


@jit_inline_llvm
def with_repeated(fixes: Fixes, more: int, in_region: int, marked: int) -> Fixes:
    """`fixes` and `more` faults that took as long; those `in_region`, the last one's, are counted in its cell later."""
    return Fixes(
        fixes.all + more,
        fixes.longest_ps,
        fixes.region,
        fixes.fixed + in_region,
        fixes.marked + marked,
        fixes.took_ps,
        fixes.repeated + more,
        fixes.short_ps,
    )


@jit_inline_llvm
def pages_with_spte(state: MmuState, row: int, gfn: int, spte: int, most: int) -> int:
    """Number of pages from a gfn on, in one 4K table, that leaves with these bits map."""
    at, pages = (row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1)), 0
    while pages < most and state.l1[at + pages] == spte:
        pages += 1
    return pages


@jit_inline_source
def fix_repeated_in_order(
    state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress, high: int, times: tuple[int, int]
) -> Progress:  # fmt: skip
    """fix_repeated() of a sweep over consecutive pages, up to the end of a 4K table."""
    limit, step_ps = times
    slot = gfn_to_memslot(state, access.gfn)
    high = min(high, state.slots[slot, mmu.SLOT_END])
    gfn, each = access.gfn + 1, at.fixes.took_ps + step_ps
    most = min((min(limit, at.here.end) - at.time) // each, high - gfn, -gfn & (PAGES_PER_2M - 1))
    most = min(
        most, clock.stream[vcpu, columns.ACCESSES] - at.position, clock.stream[vcpu, columns.PAGES] - at.position
    )
    row = int(state.row_of[access.gfn >> SHIFT_1G])
    pages = pages_with_spte(state, row, gfn, access.spte, most)
    if pages == 0:
        return at
    first = (row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))
    for page in range(first, first + pages):
        state.l1[page] |= mmu.WRITABLE
    marked = 0
    if state.slots[slot, mmu.SLOT_LOGGING] != 0:
        marked = set_bits(
            state, slot, state.slots[slot, mmu.SLOT_DIRTY_AT], gfn - state.slots[slot, mmu.SLOT_BASE], pages
        )
    end = at.time + pages * each
    return after_repeated(
        state, clock, vcpu, at, with_repeated(at.fixes, pages, pages, marked), (end - each, end), pages
    )


@jit_inline_source
def fix_repeated_anywhere(
    state: MmuState,
    clock: Clock,
    vcpu: int,
    access: Access,
    at: Progress,
    private: tuple[int, int],
    times: tuple[int, int],
) -> Progress:
    """fix_repeated() of pages of one slot in any order; pages that are writable already are hits."""
    fix, step_ps = at.fixes.took_ps, times[1]
    slot, linear, l1 = gfn_to_memslot(state, access.gfn), state.conf[mmu.CONF_LINEAR], state.l1
    base, words_at = state.slots[slot, mmu.SLOT_BASE], state.slots[slot, mmu.SLOT_DIRTY_AT]
    low, high = max(private[0], base), min(private[1], state.slots[slot, mmu.SLOT_END])
    logged = state.slots[slot, mmu.SLOT_LOGGING] != 0
    accesses, last = clock.stream[vcpu, columns.ACCESSES], min(times[0], at.here.end) - fix - step_ps
    time, position, fixed, begun = at.time, at.position, 0, 0
    while position < accesses and time <= last:
        gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
        if not low <= gfn < high:
            break
        prefetch_leaf(state, clock, vcpu, position)
        page = np.uint64(gfn - linear)
        if l1[page] == access.spte:
            l1[page] |= mmu.WRITABLE
            count_4k(state, gfn, 1, FIXABLE, FIXABLE | mmu.WRITABLE)
            if logged:
                mark_bit(state, slot, words_at, gfn - base)
            begun, fixed, time = time, fixed + 1, time + fix
        elif l1[page] != access.spte | mmu.WRITABLE:
            break
        time, position = time + step_ps, position + 1
    if fixed == 0:  # if all are hits, they are counted faster elsewhere
        return at
    return after_repeated(
        state, clock, vcpu, at, with_repeated(at.fixes, fixed, 0, 0), (begun, time), position - at.position
    )


@jit_inline_llvm
def fix_repeated(
    state: MmuState,
    clock: Clock,
    vcpu: int,
    access: Access,
    at: Progress,
    private: tuple[int, int],
    times: tuple[int, int],
) -> Progress:
    """Run at once, after a fault and its access, as many more as are certainly like them.

    Args:
        state: tables, changed in place.
        clock: changed in place.
        vcpu: the vCPU of the lookahead.
        access: the access that was fixed and executed.
        at: the vCPU's progress.
        private: gfns [low, high) for which the first of `times` holds.
        times: the time before which no other event has to happen first, and the time of an access, ps.

    Returns:
        The new progress.
    """
    if not can_repeat(state, clock, vcpu, access, at):
        return at
    if clock.stream[vcpu, columns.KIND] == columns.STEPS and clock.stream[vcpu, columns.STRIDE] == 1:
        return fix_repeated_in_order(state, clock, vcpu, access, at, private[1], times)
    if state.conf[mmu.CONF_LINEAR] == mmu.NOT_LINEAR:
        return at
    return fix_repeated_anywhere(state, clock, vcpu, access, at, private, times)
