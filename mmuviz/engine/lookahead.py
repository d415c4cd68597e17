"""Lookahead: lets a vCPU run as far as no other vCPU or thread can observe it."""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PG_LEVEL_4K
from mmuviz.engine import clock as layout
from mmuviz.engine.access import (
    Lookahead,
    access_ps,
    count_hits,
    hits_anywhere,
    is_private,
    kind_of,
    lookahead_of,
    peek_access,
    prefetch_leaf,
)
from mmuviz.engine.clock import FOREVER, Clock
from mmuviz.engine.fault_cost import Access, on_core_ps
from mmuviz.engine.lookahead_fixes import (
    NO_FIXES,
    BinCount,
    Progress,
    after_fix,
    bin_at,
    close_bin,
    count_cell,
    note_repeated,
    open_bin,
    with_hits,
)
from mmuviz.engine.repeated_fixes import fix_repeated
from mmuviz.engine.vcpu_slice import CONTINUE, YIELD, Slice
from mmuviz.mmu import state as mmu
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.guest_access import count_fixes, is_4k
from mmuviz.mmu.pml import pml_is_on, set_dirty_or_pml_full
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns

GO_ON: Final = -1
"""Result in addition to those of a slice: the next access is executed."""


@jit_inline_llvm
def is_fixable(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() fixes an access by changing only one bit of a 4K leaf and one of the bitmap."""
    conf, bits = state.conf, access.spte & (mmu.WRITABLE | mmu.MMU_WRITABLE)
    if access.write == 0 or bits != mmu.MMU_WRITABLE or conf[mmu.CONF_FAST_FAULT] == 0 or conf[mmu.CONF_RING] != 0:
        return False
    return bool(conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K and is_4k(state, access.gfn))


@jit_inline_llvm
def is_clean(state: MmuState, vcpu: int, access: Access) -> bool:
    """Whether an access only sets the dirty bit of a 4K leaf, which a PML buffer with room may log."""
    if access.write == 0 or access.spte & (mmu.WRITABLE | mmu.DIRTY) != mmu.WRITABLE:
        return False
    return bool(state.pml_count[vcpu] < mmu.PML_ENTITY_NUM and is_4k(state, access.gfn))


@jit_inline_llvm
def runs_ahead(state: MmuState, vcpu: int, access: Access) -> bool:
    """Whether run_lookahead() executes an access."""
    return bool(access.hits or is_fixable(state, access) or is_clean(state, vcpu, access))


@jit_inline_llvm
def with_slow_write(here: BinCount, extra: int) -> BinCount:
    """The bin's sums after a write that logging made slower."""
    return BinCount(here.number, here.end, here.hits + 1, here.fixed, here.fixed_ps, here.slow_ps + extra)


@jit_inline_llvm
def log_in_lookahead(state: MmuState, clock: Clock, vcpu: int, gfn: int, time: int) -> int:
    """Execute a write that sets the dirty bit of a 4K leaf, without the bins; returns the delay by logging, ps."""
    state.stat[mmu.STAT_STAMP] = time
    set_dirty_or_pml_full(state, vcpu, gfn)
    return on_core_ps(clock, vcpu, clock.price[layout.DIRTY_LOGGED]) if pml_is_on(state) else 0


@jit_inline_llvm
def is_unobservable(state: MmuState, vcpu: int, lookahead: Lookahead, access: Access) -> bool:
    """Whether no other vCPU can observe an access.

    A kick empties a PML buffer at its own time, so a vCPU with entries in it waits where a kick may come.
    """
    if not lookahead.exits and state.pml_count[vcpu] > 0:
        return False
    private = is_private(state, lookahead, access.gfn)
    return bool((private or hits_anywhere(lookahead, access)) if access.hits else (private and lookahead.exits))


@jit_inline_llvm
def after_access(
    state: MmuState, clock: Clock, vcpu: int, access: Access, at: Progress, run: int, took: int
) -> Progress:
    """Progress after an access, and `run` - 1 more that hit as it does."""
    here = bin_at(clock, vcpu, at.here, at.time)
    if access.write != 0 and access.spte & mmu.DIRTY == 0:
        extra = log_in_lookahead(state, clock, vcpu, access.gfn, at.time)
        return Progress(at.time + took + extra, at.position + 1, at.fixes, with_slow_write(here, extra))
    here = with_hits(clock, vcpu, here, at.time, run, took)
    return Progress(at.time + run * took, at.position + run, at.fixes, here)


@jit_inline_llvm
def next_result(owed_ps: int, slice_: Slice, time: int, limit: int) -> int:
    """GO_ON, YIELD if another vCPU or thread comes first, or CONTINUE if kicks must be charged first."""
    if owed_ps > 0:
        return CONTINUE
    return YIELD if time != slice_.dequeued_at and time >= limit else GO_ON


@jit_inline_source
def run_lookahead(state: MmuState, clock: Clock, vcpu: int, slice_: Slice, next_vcpu_ps: int, horizon_ps: int) -> Slice:
    """Execute hits, faults that fast_page_fault() fixes and writes that set a dirty bit, in order; at least one.

    Args:
        state: tables, changed in place.
        clock: changed in place.
        vcpu: the vCPU of the slice.
        slice_: the slice so far.
        next_vcpu_ps: time before which nothing else happens, ps.
        horizon_ps: time before which no event has to wait for unobservable accesses, ps.

    Returns:
        The slice: YIELD, or CONTINUE if the next access is of another kind.
    """
    accesses, why = clock.stream[vcpu, columns.ACCESSES], GO_ON
    horizon_ps = next_vcpu_ps if clock.regs[layout.ONE_BY_ONE] != 0 else horizon_ps
    lookahead = lookahead_of(state, clock, vcpu, peek_access(state, clock, vcpu, slice_.position).gfn)
    at = Progress(slice_.time, slice_.position, NO_FIXES, open_bin(clock, slice_.time))
    while why == GO_ON:
        if at.position >= accesses:
            why = CONTINUE
            break
        access = peek_access(state, clock, vcpu, at.position)
        if not runs_ahead(state, vcpu, access):
            why = CONTINUE
            break
        unobservable = is_unobservable(state, vcpu, lookahead, access)
        limit = horizon_ps if unobservable else next_vcpu_ps
        owed_ps = 0 if unobservable and access.hits and state.pml_count[vcpu] == 0 else clock.pending_kick_ps[vcpu]
        why = next_result(owed_ps, slice_, at.time, limit)
        if why != GO_ON:
            break
        prefetch_leaf(state, clock, vcpu, at.position)
        run, took = 1, access_ps(clock, vcpu, kind_of(state, access.gfn, access.write))
        if access.hits:
            room = max((limit - at.time - 1) // took, 0) + 1
            run = count_hits(state, clock, vcpu, at.position, access, lookahead, room)
        if access.write != 0 and access.spte & mmu.WRITABLE == 0:
            at = after_fix(state, clock, vcpu, access, at)
            why = YIELD if at.time >= limit or log_is_low(state) else GO_ON
        if why == GO_ON:
            at = after_access(state, clock, vcpu, access, at, run, took)
            if access.write != 0 and access.spte & mmu.WRITABLE == 0:
                private = (lookahead.low, lookahead.high) if unobservable else (0, FOREVER)
                at = fix_repeated(state, clock, vcpu, access, at, private, (limit, took))
            why = YIELD if log_is_low(state) else GO_ON
    close_bin(clock, vcpu, at.here)
    note_repeated(clock, vcpu, at.fixes)
    count_cell(state, at.fixes)
    count_fixes(state, at.fixes.all)
    return Slice(why, at.time, at.position, slice_.dequeued_at)
