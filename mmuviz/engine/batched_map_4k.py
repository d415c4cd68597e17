"""Batches of faults that install one 4K leaf each and interact only at mmu_lock's cache line.

Most faults are of this kind once the huge pages are gone. Each has the result of a slow fault of
engine/slow_fault.py, in the same order; a law compares the two.
"""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.core.jit import jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.engine import clock as layout
from mmuviz.engine.access import access_ps, has_own_cpu, lookahead_allowed, private_range
from mmuviz.engine.account import add_stretch, bin_of, note_hits, note_length
from mmuviz.engine.clock import Clock, sift_down
from mmuviz.engine.fault_cost import (
    Access,
    WholeFault,
    keep_long_and_exemplary,
    on_core_ps,
    price_of_map,
    price_of_slow_fix,
)
from mmuviz.engine.lock import hold_for_read, line_visit, open_to_readers
from mmuviz.engine.repeated_periods import (
    Periods,
    Repeated,
    SlotRange,
    begins_period,
    note_period,
    repeat_periods,
)
from mmuviz.mmu import state as mmu
from mmuviz.mmu.cells import count_4k
from mmuviz.mmu.counting import count_map_4k, count_slow
from mmuviz.mmu.dirty_bitmap import mark_bit
from mmuviz.mmu.events import (
    FAST_DECLINED,
    log_is_low,
    trace_fast_page_fault,
    trace_page_fault,
    trace_spte_changed,
)
from mmuviz.mmu.examples import MAP_4K, SLOW_FIX, note_example
from mmuviz.mmu.fault import CACHE_MINIMUM
from mmuviz.mmu.host import host_backs_writable_huge_page
from mmuviz.mmu.memslot import gfn_to_memslot, host_page_of
from mmuviz.mmu.state import I64, MmuState
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at


@jit_inline_llvm
def can_batch_map_4k(state: MmuState, clock: Clock) -> bool:
    """Whether faults of this VM hold mmu_lock for read, and change only an SPTE, a bit and counters."""
    conf = state.conf
    plain = conf[mmu.CONF_RING] == 0 and conf[mmu.CONF_TRACK_LEVEL] == PG_LEVEL_4K
    tdp = conf[mmu.CONF_TDP_MMU] != 0 and conf[mmu.CONF_STAGE2] == 0 and conf[mmu.CONF_LINEAR] != mmu.NOT_LINEAR
    return bool(plain and tdp and clock.regs[layout.EXCLUSIVE] != 0 and clock.regs[layout.ONE_BY_ONE] == 0)


@jit_inline_llvm
def is_plain_writer(state: MmuState, clock: Clock, vcpu: int, time: int) -> bool:
    """Whether the vCPU's next action is simply the next write of a sweep: no kick, exit, lock or PML entry pending."""
    row = clock.stream[vcpu]
    writes = row[columns.KIND] == columns.STEPS and row[columns.WRITE_PERMILLE] >= columns.ALWAYS
    continues = clock.phase[vcpu] == layout.RUNNING and clock.pending_kick_ps[vcpu] == 0 and time < clock.exit_at[vcpu]
    ready = continues and has_own_cpu(clock, vcpu) and state.pml_count[vcpu] == 0
    return bool(writes and ready and row[columns.POSITION] < row[columns.ACCESSES])


@jit_inline_llvm
def slot_range_of(state: MmuState, price: I64, gfn: int) -> SlotRange:
    """Return the memslot of a gfn, with slot -1 if it is not logged or is read-only: it has no such faults."""
    slot = gfn_to_memslot(state, gfn)
    if slot < 0 or state.slots[slot, mmu.SLOT_LOGGING] == 0:
        return SlotRange(-1, 0, 0, 0, 0, 0)
    row = state.slots[slot]
    mapping, fixing = price_of_map(state, price, slot), price_of_slow_fix(state, price, slot)
    return SlotRange(slot, row[mmu.SLOT_BASE], row[mmu.SLOT_END], row[mmu.SLOT_DIRTY_AT], mapping, fixing)


@jit_inline_llvm
def installs_4k(state: MmuState, vcpu: int, part: SlotRange, gfn: int, spte: int) -> bool:
    """Whether a write fault installs one 4K leaf of a logged slot in an existing table, and refills no cache.

    The page is not mapped, or is mapped by a leaf that is not MMU-writable, which fast_page_fault() declines.
    """
    page = gfn - state.conf[mmu.CONF_LINEAR]
    tables = state.l3[page >> SHIFT_1G] & mmu.TABLE != 0 and state.l2[page >> SHIFT_2M] & mmu.TABLE != 0
    if not tables or state.cache[vcpu] < CACHE_MINIMUM or spte & (mmu.WRITABLE | mmu.MMU_WRITABLE) != 0:
        return False
    return host_backs_writable_huge_page(state, part.slot, host_page_of(state, part.slot, gfn))


@jit_inline_llvm
def install_4k(state: MmuState, vcpu: int, part: SlotRange, gfn: int, spte: int) -> None:
    """Do what page_fault() does for such a page, except for KVM's counters."""
    present = spte & mmu.PRESENT
    state.stat[mmu.STAT_WHO] = vcpu
    trace_page_fault(state, vcpu, 2 * present + 1, gfn)
    if present:
        trace_fast_page_fault(state, vcpu, FAST_DECLINED, gfn)
    count_4k(state, gfn, 1, spte, mmu.SPTE_WRITABLE)
    note_example(state, SLOW_FIX if present else MAP_4K, PG_LEVEL_4K, spte, mmu.SPTE_WRITABLE, gfn)
    trace_spte_changed(state, PG_LEVEL_4K, spte, mmu.SPTE_WRITABLE, gfn)
    state.l1[gfn - state.conf[mmu.CONF_LINEAR]] = mmu.SPTE_WRITABLE
    mark_bit(state, part.slot, part.words_at, gfn - part.base)


class BinTotals(NamedTuple):
    """Faults and hits of one bin of time that are not added to the sums yet.

    Attributes:
        end: begin of the next bin, ps, as it was: bins may have become wider since.
        pages: faults; `mapped` those of them that mapped an unmapped page.
        hits: number of accesses that hit.
    """

    end: int
    pages: int
    mapped: int
    hits: int


@jit_inline_llvm
def open_totals(clock: Clock, time: int) -> BinTotals:
    """Empty totals for the bin of a time."""
    return BinTotals((bin_of(clock, time) + 1) << clock.regs[layout.BIN_SHIFT], 0, 0, 0)


@jit_inline_llvm
def close_totals(state: MmuState, clock: Clock, part: SlotRange, here: BinTotals) -> None:
    """Add a bin's totals to the sums."""
    if here.pages == 0:
        return
    index = (here.end - 1) >> clock.regs[layout.BIN_SHIFT]
    state.stat[mmu.STAT_PAGES + PG_LEVEL_4K] += here.mapped
    state.stat[mmu.STAT_PF_TAKEN] += here.pages
    state.stat[mmu.STAT_PF_FIXED] += here.pages
    level = int(state.slots[part.slot, mmu.SLOT_HOST_LEVEL])
    count_map_4k(state, part.slot, level, here.mapped)
    count_slow(state, level, here.pages - here.mapped)
    clock.series[index, layout.FAULTS + layout.NOT_PRESENT] += here.mapped
    clock.series[index, layout.FAULTS + layout.SLOW_PROTECTED] += here.pages - here.mapped
    clock.series[index, layout.ACCESSES] += here.hits
    clock.regs[layout.RETIRED_ALL] += here.hits


@jit_inline_llvm
def with_fault(here: BinTotals, mapped: int, hits: int) -> BinTotals:
    """The totals with one more fault."""
    return BinTotals(here.end, here.pages + 1, here.mapped + mapped, here.hits + hits)


@jit_inline_llvm
def time_of_fault(
    state: MmuState, clock: Clock, vcpu: int, access: Access, time: int, what: tuple[int, int]
) -> int:  # fmt: skip
    """Charge such a fault under mmu_lock, except for the sums of close_totals(); returns its end, ps.

    `what`: its time on a core of its own, ps, and the number of rows of examples written before it.
    """
    price, examples = what
    mapped = access.spte & mmu.PRESENT == 0
    ahead, work = on_core_ps(clock, vcpu, clock.price[layout.BEFORE_LOCK]), on_core_ps(clock, vcpu, price)
    wait = line_visit(clock, vcpu, time + ahead) - ahead - time
    end, whole = time + wait + work, wait + work
    note_period(clock, vcpu, wait, access.spte)
    hold_for_read(clock, end)
    clock.in_kernel_until[vcpu] = end
    path = layout.NOT_PRESENT if mapped else layout.SLOW_PROTECTED
    clock.stall[vcpu, layout.EXIT] += work
    clock.faults[vcpu, path] += 1
    clock.worst_ps[vcpu] = max(clock.worst_ps[vcpu], whole)
    add_stretch(clock, vcpu, layout.EXIT, time + wait, work)
    note_length(clock, layout.EXIT, work, 1)
    note_length(clock, layout.CAUSES, whole, 1)
    if wait > 0:
        clock.stall[vcpu, layout.LOCK_WAIT] += wait
        add_stretch(clock, vcpu, layout.LOCK_WAIT, time, wait)
        note_length(clock, layout.LOCK_WAIT, wait, 1)
    cause = layout.LOCK_WAIT if wait > work else layout.EXIT
    keep_long_and_exemplary(state, clock, vcpu, access, WholeFault(path, cause, time, whole, examples))
    return end


@jit_inline_llvm
def hit(clock: Clock, vcpu: int, time: int) -> int:
    """Execute a hit; returns the time of the next access."""
    clock.stream[vcpu, columns.POSITION] += 1
    clock.accesses[vcpu] += 1
    return time + access_ps(clock, vcpu, layout.WRITE_4K)


@jit_inline_llvm
def with_periods(here: BinTotals, done: Repeated) -> BinTotals:
    """The totals with faults, each of whose accesses hits in the same bin."""
    return BinTotals(here.end, here.pages + done.faults, here.mapped + done.mapped, here.hits + done.faults)


@jit_inline_source
def batch_map_4k_faults(state: MmuState, clock: Clock, stop: int) -> None:
    """Let vCPUs map page after page, in order of time, until the next event is of another kind.

    Args:
        state: tables, changed in place; see can_batch_map_4k().
        clock: changed in place.
        stop: time that no event may reach, ps.
    """
    heap, now, stream, size = clock.heap, clock.now, clock.stream, clock.regs[layout.HEAP_SIZE]
    if not lookahead_allowed(state, clock):
        return
    here, part, periods = BinTotals(0, 0, 0, 0), SlotRange(-1, 0, 0, 0, 0, 0), Periods(-1, 0)
    while size > 0 and not log_is_low(state):
        vcpu = heap[0]
        time = now[vcpu]
        if time >= stop or not open_to_readers(clock, time) or not is_plain_writer(state, clock, vcpu, time):
            break
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, stream[vcpu, columns.POSITION])
        low, high = private_range(clock, vcpu, gfn)
        if not part.base <= gfn < part.end:
            close_totals(state, clock, part, here)
            here, part, periods = BinTotals(0, 0, 0, 0), slot_range_of(state, clock.price, gfn), Periods(-1, 0)
        spte = int(state.l1[gfn - state.conf[mmu.CONF_LINEAR]])
        if not low <= gfn < high or part.slot < 0 or not installs_4k(state, vcpu, part, gfn, spte):
            break
        if time >= here.end:
            close_totals(state, clock, part, here)
            here = open_totals(clock, time)
        if begins_period(clock, vcpu, periods):
            done = repeat_periods(state, clock, part, vcpu, periods, min(stop, here.end))
            here, periods = with_periods(here, done), Periods(vcpu, 0)
            if done.faults > 0:
                continue
        state.stat[mmu.STAT_STAMP] = time
        examples, mapped = state.stat[mmu.STAT_EXAMPLES], 0 if spte & mmu.PRESENT else 1
        install_4k(state, vcpu, part, gfn, spte)
        took = part.map_ps if mapped else part.fix_ps
        after = time_of_fault(state, clock, vcpu, Access(gfn, 1, spte, hits=False), time, (took, examples))
        continues = after < min(stop, clock.exit_at[vcpu])
        inside = after < here.end
        here, periods = (
            with_fault(here, mapped, 1 if continues and inside else 0),
            Periods(periods.leader, periods.faults + 1),
        )
        if continues and not inside:  # its hit is in a later bin
            note_hits(clock, after, 1, 1)
            clock.regs[layout.RETIRED_ALL] += 1
        now[vcpu] = hit(clock, vcpu, after) if continues else after
        sift_down(heap, now, size)
    close_totals(state, clock, part, here)
