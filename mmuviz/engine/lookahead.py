"""Lookahead: how far a vCPU runs before anybody else has to be looked at."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.access import Lookahead, access_ps, count_hits, kind_of, lookahead_of, peek_access, prefetch_leaf
from mmuviz.engine.account import add_stretch, bin_of, note_hits, note_length
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import Access, Whole, note_whole_fault, on_core_ps
from mmuviz.engine.vcpu_slice import CONTINUE, YIELD, Slice
from mmuviz.ground.compiled import inlined, woven
from mmuviz.ground.pages import PAGES_PER_1G, PG_LEVEL_4K, SHIFT_1G
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import mark_page_dirty_in_slot
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState
from mmuviz.mmu.touch import count_fixes, fix_4k, is_4k
from mmuviz.workloads import stream as program


@inlined
def can_fix_in_lookahead(state: MmuState) -> bool:
    """Whether all that fast_page_fault() does to a 4K leaf of this VM is one bit there and one of the bitmap."""
    conf = state.conf
    tracks_4k = conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K
    return bool(tracks_4k and conf[mmu.CONF_FAST_FAULT] != 0 and conf[mmu.CONF_PML] == 0 and conf[mmu.CONF_RING] == 0)


@inlined
def is_fixable(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() fixes an access that is no hit, at 4K."""
    return access.write != 0 and access.word & mmu.MMU_WRITABLE != 0 and is_4k(state, access.gfn)


class BinCount(NamedTuple):
    """What happened in one bin of time and is not noted yet.

    Attributes:
        number: of the bin.
        end: time at which the next one begins.
        hits: accesses.
        fixed: faults that fast_page_fault() fixed and that ended in the bin.
    """

    number: int
    end: int
    hits: int
    fixed: int


@inlined
def open_bin(clock: Clock, time: int) -> BinCount:
    """The bin of a time, with nothing in it."""
    number = bin_of(clock, time)
    return BinCount(number, (number + 1) << clock.regs[layout.BIN_SHIFT], 0, 0)


@inlined
def close_bin(clock: Clock, vcpu: int, here: BinCount, work: int) -> None:
    """Note what happened in a bin; each fault took `work`."""
    clock.series[here.number, layout.ACCESSES] += here.hits
    if here.fixed > 0:
        clock.series[here.number, layout.EXIT] += here.fixed * work
        clock.lanes[here.number, vcpu, layout.LANE_FAULT] += here.fixed * work
        note_fixes(clock, vcpu, here.number, work, here.fixed)


@inlined
def note_fixes(clock: Clock, vcpu: int, index: int, work: int, times: int) -> None:
    """As many faults that fast_page_fault() fixed and that began in one bin, all but the time they take."""
    clock.stall[vcpu, layout.EXIT] += times * work
    clock.series[index, layout.FAULTS + layout.FAST_FIX] += times
    clock.faults[vcpu, layout.FAST_FIX] += times
    clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], work)
    note_length(clock, layout.EXIT, work, times)
    note_length(clock, layout.CAUSES, work, times)


@inlined
def bin_at(clock: Clock, vcpu: int, here: BinCount, time: int, work: int) -> BinCount:
    """The bin of a later time."""
    if time < here.end:
        return here
    close_bin(clock, vcpu, here, work)
    return open_bin(clock, time)


@inlined
def with_hits(clock: Clock, vcpu: int, here: BinCount, time: int, run: int, took: int, work: int) -> BinCount:
    """The bin after accesses that hit one after the other from a time in it on."""
    if time + (run - 1) * took < here.end:
        return BinCount(here.number, here.end, here.hits + run, here.fixed)
    close_bin(clock, vcpu, here, work)
    note_hits(clock, time, run, took)
    return open_bin(clock, time + run * took)


@inlined
def with_fix(clock: Clock, vcpu: int, here: BinCount, time: int, work: int) -> BinCount:
    """The bin after a fault that began in it; what reaches into the next ones is noted at once."""
    if time + work < here.end:
        return BinCount(here.number, here.end, here.hits, here.fixed + 1)
    close_bin(clock, vcpu, here, work)
    note_fixes(clock, vcpu, here.number, work, 1)
    add_stretch(clock, vcpu, layout.EXIT, time, work)
    return open_bin(clock, time)


@inlined
def fix_in_lookahead(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int, work: int) -> None:
    """fast_page_fault() of a 4K leaf, but for the counters and the bins."""
    row, gfn = int(state.row_of[access.gfn >> SHIFT_1G]), access.gfn
    state.stat[mmu.STAT_STAMP] = time
    before = state.stat[mmu.STAT_EXAMPLES]
    fix_4k(state, vcpu, gfn, (row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1)))
    mark_page_dirty_in_slot(state, vcpu, gfn_to_memslot(state, gfn), gfn)
    note_whole_fault(state, clock, vcpu, access, Whole(layout.FAST_FIX, layout.EXIT, time, work, before))


@inlined
def is_unseen(lookahead: Lookahead, access: Access) -> bool:
    """Whether no other vCPU can observe an access."""
    private = lookahead.low <= access.gfn < lookahead.high
    return bool((private or lookahead.anywhere) if access.hits else (private and lookahead.exits))


@woven
def run_lookahead(state: MmuState, clock: Clock, vcpu: int, turn: Slice, near: int, far: int) -> Slice:
    """Hits, and faults that fast_page_fault() fixes, one after the other; at least one.

    Args:
        state: tables, changed in place.
        clock: changed in place.
        vcpu: whose slice it is.
        turn: so far.
        near: next_vcpu_ps: time up to which nobody else does anything.
        far: horizon_ps: time up to which nothing happens that must wait for what others cannot see.

    Returns:
        The slice: YIELD, or CONTINUE where the next access is of another kind.
    """
    accesses, fixes = clock.stream[vcpu, program.ACCESSES], can_fix_in_lookahead(state)
    work = on_core_ps(clock, vcpu, clock.price[layout.FAST])
    why, time, position, fixed = CONTINUE, turn.time, turn.position, 0
    far = near if clock.regs[layout.ONE_BY_ONE] != 0 else far
    lookahead, here = (
        lookahead_of(state, clock, vcpu, peek_access(state, clock, vcpu, position).gfn),
        open_bin(clock, time),
    )
    while position < accesses:
        access = peek_access(state, clock, vcpu, position)
        if not access.hits and not (fixes and is_fixable(state, access)):
            break
        unseen = is_unseen(lookahead, access)
        if clock.pending_kick_ps[vcpu] > 0 and not (access.hits and unseen):
            break
        limit = far if unseen else near
        if time != turn.dequeued_at and time >= limit:
            why = YIELD
            break
        here = bin_at(clock, vcpu, here, time, work)
        prefetch_leaf(state, clock, vcpu, position)
        run = 1
        if access.hits:
            run = count_hits(state, clock, vcpu, position, access, lookahead)
        else:
            fix_in_lookahead(state, clock, vcpu, access, time, work)
            here = with_fix(clock, vcpu, here, time, work)
            fixed += 1
            time += work
            clock.in_kernel_until[vcpu] = time
            if time >= limit or log_is_low(state):
                why = YIELD
                break
            here = bin_at(clock, vcpu, here, time, work)
        took = access_ps(clock, vcpu, kind_of(state, access.gfn, access.write))
        if time + (run - 1) * took >= limit:
            run = max((limit - time - 1) // took, 0) + 1
        here = with_hits(clock, vcpu, here, time, run, took, work)
        time += run * took
        position += run
    close_bin(clock, vcpu, here, work)
    count_fixes(state, fixed)
    return Slice(why, time, position, turn.dequeued_at)
