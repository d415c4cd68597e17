"""vCPUs that map one 4K page after the other and meet nowhere but at mmu_lock's cache line.

What faults do most of the time once the huge pages are gone. The same is done here as in a slow fault
of engine/slow_fault.py, in the same order; a law compares the two.
"""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge, note_faults, note_retired, note_stalls, note_tables, sift_down
from mmuviz.engine.fault_cost import price_of_map, scaled
from mmuviz.engine.lock import hold_for_read, line_visit, open_to_readers
from mmuviz.engine.touch_time import has_own_cpu, is_free, leaves_stay, own_part, pace_ps, zaps_kick
from mmuviz.ground.compiled import inlined, woven
from mmuviz.ground.pages import PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.counting import count_map_4k
from mmuviz.mmu.dirty_ring import mark_word
from mmuviz.mmu.fault import CACHE_MINIMUM
from mmuviz.mmu.host import is_host_page_had
from mmuviz.mmu.memslot import gfn_to_memslot, host_page_of
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as program
from mmuviz.workloads.stream import gfn_at


@inlined
def may_take_turns(state: MmuState, clock: Clock) -> bool:
    """Whether faults of this VM hold mmu_lock for read, and leave nothing but an SPTE, a bit and counters."""
    conf, unlogged = state.conf, state.log.shape[0] == 0
    plain = conf[mmu.CONF_PML] == 0 and conf[mmu.CONF_RING] == 0 and conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K
    tdp = conf[mmu.CONF_TDP_MMU] != 0 and conf[mmu.CONF_STAGE2] == 0 and conf[mmu.CONF_LINEAR] != mmu.NOT_LINEAR
    return bool(unlogged and plain and tdp and clock.at[layout.EXCLUSIVE] != 0)


@inlined
def runs_on(clock: Clock, vcpu: int, time: int) -> bool:
    """Whether nothing but its stream decides what a vCPU does next, and that is a write where the stream is."""
    row = clock.stream[vcpu]
    writes = row[program.KIND] == program.STEPS and row[program.WRITE_PERMILLE] >= program.ALWAYS
    goes_on = clock.phase[vcpu] == layout.RUNNING and clock.debt[vcpu] == 0 and time < clock.exit_at[vcpu]
    return bool(writes and goes_on and has_own_cpu(clock, vcpu) and row[program.POSITION] < row[program.ACCESSES])


class Part(NamedTuple):
    """A memslot, as the faults that map its pages need it.

    Attributes:
        slot: its index, -1 for none.
        base: first gfn; `end` the gfn behind the last.
        words_at: first word of its dirty bitmap.
        ps: of such a fault on a core of its own.
    """

    slot: int
    base: int
    end: int
    words_at: int
    ps: int


@inlined
def part_of(state: MmuState, clock: Clock, gfn: int) -> Part:
    """The memslot of a gfn; one that is not logged has no such faults."""
    slot = gfn_to_memslot(state, gfn)
    if slot < 0 or state.slots[slot, mmu.SLOT_LOGGING] == 0:
        return Part(-1, 0, 0, 0, 0)
    row = state.slots[slot]
    took = price_of_map(state, clock.price, slot)
    return Part(slot, row[mmu.SLOT_BASE], row[mmu.SLOT_END], row[mmu.SLOT_DIRTY_AT], took)


@inlined
def is_missing_4k(state: MmuState, vcpu: int, part: Part, gfn: int) -> bool:
    """Whether a fault maps one 4K page of a logged slot, in a table that stands, and fills no cache."""
    page = gfn - state.conf[mmu.CONF_LINEAR]
    tables = state.l3[page >> SHIFT_1G] & mmu.TABLE != 0 and state.l2[page >> SHIFT_2M] & mmu.TABLE != 0
    if not tables or state.l1[page] & mmu.PRESENT != 0 or state.cache[vcpu] < CACHE_MINIMUM:
        return False
    return is_host_page_had(state, part.slot, host_page_of(state, part.slot, gfn))


@inlined
def map_missing_4k(state: MmuState, part: Part, gfn: int) -> None:
    """page_fault() of such a page, but for the counters."""
    state.l1[gfn - state.conf[mmu.CONF_LINEAR]] = mmu.SPTE_WRITABLE
    mark_word(state, part.words_at, gfn - part.base)


class Mapped(NamedTuple):
    """Pages that were mapped in one bin of time, and accesses that retired in it, that are not noted yet.

    Attributes:
        number: of the bin.
        end: time at which the next one begins.
        pages: mapped.
        waited: as many of their faults waited for the lock's cache line, or took another time, and are noted.
        retired: accesses.
    """

    number: int
    end: int
    pages: int
    waited: int
    retired: int


@inlined
def open_mapped(clock: Clock, time: int) -> Mapped:
    """The bin of a time, with nothing in it."""
    number = bin_of(clock, time)
    return Mapped(number, (number + 1) << clock.at[layout.BIN_SHIFT], 0, 0, 0)


@inlined
def close_mapped(state: MmuState, clock: Clock, part: Part, here: Mapped) -> None:
    """Note what happened in a bin; each fault that is not noted waited for nobody, on a core of its own."""
    if here.pages == 0:
        return
    state.stat[mmu.STAT_PAGES + PG_LEVEL_4K] += here.pages
    state.stat[mmu.STAT_PF_TAKEN] += here.pages
    state.stat[mmu.STAT_PF_FIXED] += here.pages
    count_map_4k(state, part.slot, int(state.slots[part.slot, mmu.SLOT_HOST_LEVEL]), here.pages)
    alike = here.pages - here.waited
    if alike > 0:
        note_stalls(clock, layout.EXIT, here.number, part.ps, alike)
        note_faults(clock, here.number, part.ps, alike)
    clock.series[here.number, layout.RETIRED] += here.retired
    clock.at[layout.RETIRED_ALL] += here.retired
    note_tables(clock.series, here.number, state.stat)


@inlined
def with_map(here: Mapped, waited: int, retired: int) -> Mapped:
    """The bin with one more page in it."""
    return Mapped(here.number, here.end, here.pages + 1, here.waited + waited, here.retired + retired)


@inlined
def time_of_map(clock: Clock, vcpu: int, time: int, index: int, alike: int) -> tuple[int, int]:
    """The time of such a fault under mmu_lock.

    Returns:
        When it is over, and 1 where it waited or took another time than most, and is noted therefore.
    """
    ahead, work = scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK]), scaled(clock, vcpu, alike)
    wait = line_visit(clock, vcpu, time + ahead) - ahead - time
    clock.stall[vcpu, layout.EXIT] += work
    end = time + wait + work
    hold_for_read(clock, end)
    clock.outside[vcpu] = end
    if wait <= 0 and work == alike:
        return end, 0
    note_stalls(clock, layout.EXIT, index, work, 1)
    charge(clock, vcpu, layout.LOCK_WAIT, index, wait)
    note_faults(clock, index, wait + work, 1)
    return end, 1


@inlined
def retire(clock: Clock, vcpu: int, time: int) -> int:
    """The access retires; returns when the next one follows."""
    clock.stream[vcpu, program.POSITION] += 1
    clock.retired[vcpu] += 1
    return time + pace_ps(clock, vcpu, layout.WRITE_4K)


@woven
def map_in_turns(state: MmuState, clock: Clock, stop: int) -> None:
    """Let vCPUs map page after page, in the order of time, until the next event is any other.

    Args:
        state: tables, changed in place; see may_take_turns().
        clock: changed in place.
        stop: time that no event reaches.
    """
    heap, now, stream, size = clock.heap, clock.now, clock.stream, clock.at[layout.HEAP_SIZE]
    if not is_free(state, clock) or (zaps_kick(state, clock) and not leaves_stay(state)):
        return
    here, part = Mapped(0, 0, 0, 0, 0), Part(-1, 0, 0, 0, 0)
    while size > 0:
        vcpu = heap[0]
        time = now[vcpu]
        if time >= stop or not open_to_readers(clock, time) or not runs_on(clock, vcpu, time):
            break
        gfn = gfn_at(stream, clock.listed, vcpu, stream[vcpu, program.POSITION])
        low, high = own_part(clock, vcpu)
        if not part.base <= gfn < part.end:
            close_mapped(state, clock, part, here)
            here, part = Mapped(0, 0, 0, 0, 0), part_of(state, clock, gfn)
        if not low <= gfn < high or part.slot < 0 or not is_missing_4k(state, vcpu, part, gfn):
            break
        if time >= here.end:
            close_mapped(state, clock, part, here)
            here = open_mapped(clock, time)
        map_missing_4k(state, part, gfn)
        after, waited = time_of_map(clock, vcpu, time, here.number, part.ps)
        goes_on = after < min(stop, clock.exit_at[vcpu])
        if goes_on and after >= here.end:  # it retires in a later bin, which may make all bins wider
            close_mapped(state, clock, part, with_map(here, waited, 0))
            note_retired(clock, after, 1, 1)
            clock.at[layout.RETIRED_ALL] += 1
            here = open_mapped(clock, time)
        else:
            here = with_map(here, waited, 1 if goes_on else 0)
        now[vcpu] = retire(clock, vcpu, after) if goes_on else after
        sift_down(heap, now, size)
    close_mapped(state, clock, part, here)
