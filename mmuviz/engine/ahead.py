"""How far a vCPU runs on before anybody else has to be looked at."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge_often, note_faults, note_retired
from mmuviz.engine.fault_cost import Access, scaled
from mmuviz.engine.touch_time import fetch_ahead, kind_of, look, pace_ps, retiring, sight_of
from mmuviz.engine.turn import GOES_ON, LATER, Turn
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
def may_fix_ahead(state: MmuState) -> bool:
    """Whether all that fast_page_fault() does to a 4K leaf of this VM is one bit there and one of the bitmap."""
    conf = state.conf
    tracks_4k = conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K
    return bool(tracks_4k and conf[mmu.CONF_FAST_FAULT] != 0 and conf[mmu.CONF_PML] == 0 and conf[mmu.CONF_RING] == 0)


@inlined
def is_fixable(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() fixes an access that does not retire, at 4K."""
    return access.write != 0 and access.word & mmu.MMU_WRITABLE != 0 and is_4k(state, access.gfn)


class Bin(NamedTuple):
    """What happened in one bin of time and is not noted yet.

    Attributes:
        number: of the bin.
        end: time at which the next one begins.
        retired: accesses.
        fixed: faults that fast_page_fault() fixed.
    """

    number: int
    end: int
    retired: int
    fixed: int


@inlined
def open_bin(clock: Clock, time: int) -> Bin:
    """The bin of a time, with nothing in it."""
    number = bin_of(clock, time)
    return Bin(number, (number + 1) << clock.at[layout.BIN_SHIFT], 0, 0)


@inlined
def close_bin(clock: Clock, vcpu: int, here: Bin, work: int) -> None:
    """Note what happened in a bin; each fault took `work`."""
    clock.series[here.number, layout.RETIRED] += here.retired
    if here.fixed > 0:
        charge_often(clock, vcpu, layout.EXIT, here.number, work, here.fixed)
        note_faults(clock, here.number, work, here.fixed)


@inlined
def bin_at(clock: Clock, vcpu: int, here: Bin, time: int, work: int) -> Bin:
    """The bin of a later time."""
    if time < here.end:
        return here
    close_bin(clock, vcpu, here, work)
    return open_bin(clock, time)


@inlined
def with_run(clock: Clock, vcpu: int, here: Bin, time: int, run: int, took: int, work: int) -> Bin:
    """The bin after accesses that retire one after the other from a time in it on."""
    if time + (run - 1) * took < here.end:
        return Bin(here.number, here.end, here.retired + run, here.fixed)
    close_bin(clock, vcpu, here, work)
    note_retired(clock, time, run, took)
    return open_bin(clock, time + run * took)


@inlined
def fix_ahead(state: MmuState, vcpu: int, gfn: int) -> None:
    """fast_page_fault() of a 4K leaf, but for the counters."""
    row = int(state.row_of[gfn >> SHIFT_1G])
    fix_4k(state, vcpu, gfn, (row << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1)))
    mark_page_dirty_in_slot(state, vcpu, gfn_to_memslot(state, gfn), gfn)


@woven
def run_ahead(state: MmuState, clock: Clock, vcpu: int, turn: Turn, near: int, far: int) -> Turn:
    """Accesses that retire and faults that fast_page_fault() fixes, one after the other; at least one.

    Args:
        state: tables, changed in place.
        clock: changed in place.
        vcpu: whose turn it is.
        turn: so far.
        near: time up to which nobody else does anything.
        far: time up to which nothing happens that what others cannot see has to wait for.

    Returns:
        The turn: LATER, or GOES_ON where the next access is of another kind.
    """
    stream, sight, fixes = clock.stream, sight_of(state, clock, vcpu), may_fix_ahead(state)
    work = scaled(clock, vcpu, clock.price[layout.FAST])
    why, time, position, fixed = GOES_ON, turn.time, turn.position, 0
    here = open_bin(clock, time)
    while position < stream[vcpu, program.ACCESSES]:
        access = look(state, clock, vcpu, position)
        if not access.enough and not (fixes and is_fixable(state, access)):
            break
        unseen = sight.low <= access.gfn < sight.high or (sight.anywhere and access.enough)
        limit = far if unseen else near
        if time != turn.popped and time >= limit:
            why = LATER
            break
        here = bin_at(clock, vcpu, here, time, work)
        fetch_ahead(state, clock, vcpu, position)
        run = 1
        if access.enough:
            run = retiring(state, clock, vcpu, position, access, sight)
        else:
            fix_ahead(state, vcpu, access.gfn)
            here = Bin(here.number, here.end, here.retired, here.fixed + 1)
            fixed += 1
            time += work
            clock.outside[vcpu] = time
            if time >= limit or log_is_low(state):
                why = LATER
                break
            here = bin_at(clock, vcpu, here, time, work)
        took = pace_ps(clock, vcpu, kind_of(state, access.gfn, access.write))
        if time + (run - 1) * took >= limit:
            run = max((limit - time - 1) // took, 0) + 1
        here = with_run(clock, vcpu, here, time, run, took, work)
        time += run * took
        position += run
    close_bin(clock, vcpu, here, work)
    count_fixes(state, fixed)
    return Turn(why, time, position, turn.popped)
