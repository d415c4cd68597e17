"""vCPUs that map one 4K page after the other and meet nowhere but at mmu_lock's cache line.

What faults do most of the time once the huge pages are gone. The same is done here as in a slow fault
of engine/slow_fault.py, in the same order; a law compares the two.
"""

from __future__ import annotations

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge, note_faults, note_tables, sift_down
from mmuviz.engine.fault_time import scaled
from mmuviz.engine.lock import hold_for_read, line_visit, open_to_readers
from mmuviz.engine.touch_time import has_own_cpu, is_free, leaves_stay, own_part, pace_ps, zaps_kick
from mmuviz.ground.compiled import inlined, woven
from mmuviz.ground.pages import PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import mark_page
from mmuviz.mmu.fault import topup_memory_caches
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


@inlined
def is_missing_4k(state: MmuState, slot: int, gfn: int) -> bool:
    """Whether a fault maps one 4K page of a logged slot, in a table that stands."""
    page = gfn - state.conf[mmu.CONF_LINEAR]
    tables = state.l3[page >> SHIFT_1G] & mmu.TABLE != 0 and state.l2[page >> SHIFT_2M] & mmu.TABLE != 0
    if not tables or state.l1[page] & mmu.PRESENT != 0 or slot < 0 or state.slots[slot, mmu.SLOT_LOGGING] == 0:
        return False
    return is_host_page_had(state, slot, host_page_of(state, slot, gfn))


@inlined
def map_missing_4k(state: MmuState, vcpu: int, slot: int, gfn: int) -> None:
    """page_fault() of such a page."""
    topup_memory_caches(state, vcpu)
    state.l1[gfn - state.conf[mmu.CONF_LINEAR]] = mmu.SPTE_WRITABLE
    mark_page(state, slot, gfn - state.slots[slot, mmu.SLOT_BASE])
    state.stat[mmu.STAT_PAGES + PG_LEVEL_4K] += 1
    state.stat[mmu.STAT_PF_TAKEN] += 1
    state.stat[mmu.STAT_PF_FIXED] += 1


@inlined
def time_of_map(clock: Clock, vcpu: int, time: int) -> int:
    """The time of such a fault under mmu_lock; returns when it is over."""
    clock.began[vcpu] = time
    clock.asked[vcpu] = time
    ahead = scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK])
    wait = line_visit(clock, vcpu, time + ahead) - ahead - time
    work = scaled(clock, vcpu, clock.price[layout.MAP_4K])
    index = bin_of(clock, time)
    charge(clock, vcpu, layout.EXIT, index, work)
    charge(clock, vcpu, layout.LOCK_WAIT, index, wait)
    note_faults(clock, index, wait + work, 1)
    hold_for_read(clock, time + wait + work)
    clock.outside[vcpu] = time + wait + work
    return time + wait + work


@woven
def map_in_turns(state: MmuState, clock: Clock, stop: int) -> None:
    """Let vCPUs map page after page, in the order of time, until the next event is any other.

    Args:
        state: tables, changed in place; see may_take_turns().
        clock: changed in place.
        stop: time that no event reaches.
    """
    heap, now, stream = clock.heap, clock.now, clock.stream
    if not is_free(state, clock) or (zaps_kick(state, clock) and not leaves_stay(state)):
        return
    last = -1  # when the last page was mapped whose tables are not noted yet
    while clock.at[layout.HEAP_SIZE] > 0:
        vcpu = heap[0]
        time = now[vcpu]
        if time >= stop or not open_to_readers(clock, time) or not runs_on(clock, vcpu, time):
            break
        gfn = gfn_at(stream, clock.listed, vcpu, stream[vcpu, program.POSITION])
        low, high = own_part(clock, vcpu)
        slot = gfn_to_memslot(state, gfn)
        if not low <= gfn < high or not is_missing_4k(state, slot, gfn):
            break
        if last >= 0 and bin_of(clock, last) != bin_of(clock, time):
            note_tables(clock.series, bin_of(clock, last), state.stat)
        last = time
        map_missing_4k(state, vcpu, slot, gfn)
        time = time_of_map(clock, vcpu, time)
        if time < min(stop, clock.exit_at[vcpu]):
            clock.series[bin_of(clock, time), layout.RETIRED] += 1
            stream[vcpu, program.POSITION] += 1
            clock.retired[vcpu] += 1
            clock.at[layout.RETIRED_ALL] += 1
            time += pace_ps(clock, vcpu, layout.WRITE_4K)
        now[vcpu] = time
        sift_down(heap, now, clock.at[layout.HEAP_SIZE])
    if last >= 0:
        note_tables(clock.series, bin_of(clock, last), state.stat)
