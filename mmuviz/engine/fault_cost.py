"""What one fault costs: page_fault() is carried out, and what the machine counted of its work is priced."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.engine import clock as layout
from mmuviz.engine.account import add_stretch, bin_of, charge, is_top, note_fault, note_length, note_top
from mmuviz.engine.clock import SPEED_SHIFT, Clock
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.counting import count_map_4k, count_slow
from mmuviz.mmu.examples import EX_PATH, EX_SEEN, EX_STALL, EX_STAMP, EX_WHO, LONGEST, NO_PATH, write_example
from mmuviz.mmu.fault import page_fault
from mmuviz.mmu.host import allocate_host_page
from mmuviz.mmu.memslot import gfn_to_memslot, host_page_of
from mmuviz.mmu.state import I64, MmuState


class Access(NamedTuple):
    """One access as the tables stand.

    Attributes:
        gfn: the page.
        write: 1 for a write.
        word: bits of the leaf that maps it.
        hits: whether it needs no exit and changes nothing.
    """

    gfn: int
    write: int
    word: int
    hits: bool


class Spent(NamedTuple):
    """What the work in all faults so far costs; the difference of two, before and after a fault, is that fault's.

    Attributes:
        path: ps of the paths.
        beside: ps of host faults, PML entries and ring entries.
        change: ps of what was split or zapped.
        alloc: ps of tables linked and objects allocated.
    """

    path: int
    beside: int
    change: int
    alloc: int


@jit_inline_llvm
def on_core_ps(clock: Clock, vcpu: int, ps: int) -> int:
    """A time on this vCPU's core."""
    return int((ps * clock.slowdown_1024[vcpu]) >> SPEED_SHIFT)


@jit_inline_llvm
def priced(counts: I64, price: I64, first: int, end: int) -> int:
    """The work of entries [first, end), priced."""
    found = 0
    for entry in range(first, end):
        found += counts[entry] * price[layout.PRICES + entry]
    return found


@jit_inline_llvm
def spent_now(counts: I64, price: I64) -> Spent:
    """The work in faults so far."""
    return Spent(
        priced(counts, price, 0, work.WORK_MORE_END),
        priced(counts, price, work.WORK_MORE_END, work.WORK_BESIDE_END),
        priced(counts, price, work.WORK_BESIDE_END, work.WORK_SPLITS_END),
        priced(counts, price, work.WORK_SPLITS_END, work.WORK_FAULTS_END),
    )


@jit_inline_llvm
def exits_now(counts: I64, price: I64) -> int:
    """The work so far of exits that are no faults: of PML buffers, and what their pages go to."""
    return priced(counts, price, work.WORK_PML_FULL, work.WORK_BESIDE_END)


@jit_inline_llvm
def price_of_map(state: MmuState, price: I64, slot: int) -> int:
    """The price of a fault that maps a 4K page whose host page and table are there already.

    It is counted as if it happened, priced, and taken out of the counts again.
    """
    level = int(state.slots[slot, mmu.SLOT_HOST_LEVEL])
    before = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, 1)
    after = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, -1)
    return after - before


@jit_inline_llvm
def price_of_slow_fix(state: MmuState, price: I64, slot: int) -> int:
    """The price of a fault that makes a 4K leaf of such a slot writable, found in the same way."""
    level = int(state.slots[slot, mmu.SLOT_HOST_LEVEL])
    before = priced(state.work, price, 0, work.WORK_MORE_END)
    count_slow(state, level, 1)
    after = priced(state.work, price, 0, work.WORK_MORE_END)
    count_slow(state, level, -1)
    return after - before


@jit
def kick_others(clock: Clock, vcpu: int, time: int) -> int:
    """A remote TLB flush: every other vCPU in the guest loses the time of a kick. Returns how many there are.

    Who handles a fault, waits for mmu_lock or is in userspace is not kicked: it flushes when it enters the guest.

    Kernel: kvm_request_needs_ipi(), virt/kvm/kvm_main.c
    """
    kicked = 0
    for other in range(clock.phase.shape[0]):
        if other != vcpu and clock.phase[other] == layout.RUNNING and clock.in_kernel_until[other] <= time:
            clock.pending_kick_ps[other] += clock.price[layout.KICK]
            kicked += 1
    return kicked


class Flushes(NamedTuple):
    """KVM's counters of TLB flushes, see mmuviz/mmu/state.py."""

    all: int
    broadcast: int
    local: int


@jit_inline_llvm
def flushes_now(stat: I64) -> Flushes:
    """The counters now."""
    return Flushes(stat[mmu.STAT_TLB_FLUSHES], stat[mmu.STAT_TLBIS], stat[mmu.STAT_LOCAL_TLBIS])


@jit_inline_llvm
def flushed_ps(clock: Clock, vcpu: int, was: Flushes, now: Flushes, asked: int) -> int:
    """TLB flushes of the fault; arm64 broadcasts them, and the whole machine does one at a time."""
    price = clock.price
    took = (now.local - was.local) * price[layout.LOCAL_TLBI]
    if now.all != was.all:
        kicked = kick_others(clock, vcpu, asked)
        took += (now.all - was.all) * (price[layout.FLUSH_BASE] + kicked * price[layout.FLUSH_VCPU])
    if now.broadcast != was.broadcast:
        free = max(clock.regs[layout.TLBI_FREE], asked) + (now.broadcast - was.broadcast) * price[layout.TLBI]
        clock.regs[layout.TLBI_FREE] = free
        took += free - asked
    return int(took)


@jit_inline_source
def handle_fault(
    state: MmuState, clock: Clock, vcpu: int, access: Access, begin: int, before: int, wait: int
) -> int:  # fmt: skip
    """Carry out page_fault() and price what it did.

    Where mmu_lock is held for write, a slow path takes the time of the host's own constant, whatever it is.

    Args:
        state: tables, changed in place.
        clock: stalls are charged here.
        vcpu: who faulted.
        access: what it touched.
        begin: when the fault began.
        before: from then until it asked for mmu_lock: for host memory, and for the exit where that is held for
            write, ps.
        wait: for mmu_lock and its cache line, ps.

    Returns:
        How long the rest of the handling takes, ps.
    """
    was, flushes = spent_now(state.work, clock.price), flushes_now(state.stat)
    splits, zaps, examples = state.stat[mmu.STAT_SPLITS], state.stat[mmu.STAT_ZAPS], state.stat[mmu.STAT_EXAMPLES]
    ended = page_fault(state, vcpu, access.gfn, access.word, access.write)
    now, flushes_after = spent_now(state.work, clock.price), flushes_now(state.stat)
    of_path = now.path - was.path
    if ended != work.PATH_FAST and clock.regs[layout.WRITE_LOCKS] != 0:
        of_path = clock.price[layout.HOLD]
    handling = on_core_ps(clock, vcpu, of_path + now.beside - was.beside)
    change, alloc = on_core_ps(clock, vcpu, now.change - was.change), on_core_ps(clock, vcpu, now.alloc - was.alloc)
    at, host = begin + before + wait, take_host_ps(clock, vcpu)
    flushed = flushed_ps(clock, vcpu, flushes, flushes_after, at + handling)
    path = path_of(access, ended)
    charge(clock, vcpu, layout.ALLOC, begin, host)
    charge_exit(clock, vcpu, begin + host, before - host, at, handling)
    charge(clock, vcpu, layout.LOCK_WAIT, begin + before, wait)
    charge(clock, vcpu, layout.SPLIT, at + handling, change)
    charge(clock, vcpu, layout.ALLOC, at + handling + change, alloc)
    charge(clock, vcpu, layout.FLUSH, at + handling + change + alloc, flushed)
    index = bin_of(clock, begin)  # only now: a stall that lasts into later bins may make all wider
    clock.series[index, layout.SPLITS + layout.IN_FAULT] += state.stat[mmu.STAT_SPLITS] - splits
    clock.series[index, layout.ZAPS] += state.stat[mmu.STAT_ZAPS] - zaps
    clock.series[index, layout.FLUSHES] += flushes_after.all - flushes.all
    took = handling + change + alloc + flushed
    note_fault(clock, vcpu, path, begin, before + wait + took)
    cause = cause_of(before - host + handling, wait, change, host + alloc, flushed)
    note_whole_fault(state, clock, vcpu, access, Whole(path, cause, begin, before + wait + took, examples))
    return took


@jit_inline_llvm
def take_host_ps(clock: Clock, vcpu: int) -> int:
    """How long the host took for the memory of the fault under way; from now on it is accounted for."""
    took = clock.host_ps[vcpu]
    clock.host_ps[vcpu] = 0
    return int(took)


@jit
def host_memory_ps(state: MmuState, clock: Clock, vcpu: int, gfn: int, write: int, time: int) -> int:
    """Allocate the host page behind a fault, where there is none: how long that takes, and mmu_lock is not held.

    The processor is busy with a page for as long as its instructions or the zeroing take, whichever is longer. The
    memory of the machine zeroes one page after the other, in the order in which they are asked for.

    Args:
        state: host pages, changed in place.
        clock: changed in place.
        vcpu: who faulted.
        gfn: what it touched.
        write: 1 for a write.
        time: when the fault begins.

    Returns:
        ps, 0 where the page is there or nothing is allocated.
    """
    slot = gfn_to_memslot(state, gfn)
    if state.slots[slot, mmu.SLOT_HOST_PRESENT] != 0:
        return 0
    was = priced(state.work, clock.price, work.WORK_HOST_FAULT_4K, work.WORK_PML_FULL)
    pages = allocate_host_page(state, slot, host_page_of(state, slot, gfn), write)
    if pages == 0:
        return 0
    now = priced(state.work, clock.price, work.WORK_HOST_FAULT_4K, work.WORK_PML_FULL)
    own = on_core_ps(clock, vcpu, now - was)
    free = max(clock.regs[layout.ZERO_FREE], time) + pages * clock.price[layout.ZERO]
    clock.regs[layout.ZERO_FREE] = free
    return int(max(own, free - time))


@jit_inline_llvm
def charge_exit(clock: Clock, vcpu: int, begin: int, before: int, at: int, handling: int) -> None:
    """One stall in two parts: before mmu_lock is asked for, and from when it is had."""
    clock.stall[vcpu, layout.EXIT] += before + handling
    note_length(clock, layout.EXIT, before + handling, 1)
    if before > 0:
        add_stretch(clock, vcpu, layout.EXIT, begin, before)
    add_stretch(clock, vcpu, layout.EXIT, at, handling)


@jit_inline_llvm
def path_of(access: Access, ended: int) -> int:
    """A fault's path, as `Clock.faults` counts them; `ended` is what page_fault() said."""
    if access.word & mmu.PRESENT == 0:
        return layout.NOT_PRESENT
    return layout.FAST_FIX if ended == work.PATH_FAST else layout.SLOW_PROTECTED


@jit_inline_llvm
def cause_of(work: int, wait: int, change: int, alloc: int, flushed: int) -> int:
    """What a fault took most of its time for."""
    most = max(work, wait, change, alloc, flushed)
    if most == work:
        return layout.EXIT
    if most == wait:
        return layout.LOCK_WAIT
    if most == change:
        return layout.SPLIT
    return layout.ALLOC if most == alloc else layout.FLUSH


class Whole(NamedTuple):
    """A fault from exit to entry.

    Attributes:
        path: see `Clock.faults`.
        cause: what it took most of its time for.
        begin: when the vCPU left the guest.
        took: until it is back, ps.
        examples: rows of examples that were written before it.
    """

    path: int
    cause: int
    begin: int
    took: int
    examples: int


@jit_inline_llvm
def note_whole_fault(state: MmuState, clock: Clock, vcpu: int, access: Access, whole: Whole) -> None:
    """Keep a fault among the longest stalls and among the examples, where it belongs there."""
    note_long_fault(clock, vcpu, access.gfn, whole)
    note_exemplary_fault(state, vcpu, access, whole)


@jit_inline_llvm
def note_long_fault(clock: Clock, vcpu: int, gfn: int, whole: Whole) -> bool:
    """Keep a fault among the longest stalls, where it belongs there; whether it does."""
    belongs = is_top(clock.top, clock.regs, whole.took, whole.begin, vcpu)
    if belongs:
        note_top(clock.top, clock.regs, whole.took, (whole.begin, vcpu, gfn, whole.cause))
    return belongs


@jit_inline_llvm
def note_exemplary_fault(state: MmuState, vcpu: int, access: Access, whole: Whole) -> None:
    """Fill in path and stall of the examples that a fault wrote, and keep it as the longest fault where it is."""
    if state.examples.shape[0] > 0:
        if state.stat[mmu.STAT_EXAMPLES] != whole.examples:
            tell_examples(state.examples, vcpu, state.stat[mmu.STAT_STAMP], whole.path, whole.took)
        if is_longest(state.examples, whole.took, state.stat[mmu.STAT_STAMP], vcpu):
            keep_longest(state.examples, state.stat, access.word, access.gfn, (whole.path, whole.took))


@jit_inline_llvm
def is_longest(examples: I64, took: int, stamp: int, vcpu: int) -> bool:
    """Whether a fault stalled longer than the one that is kept; of equal ones the earlier, the lower vCPU."""
    row = examples[LONGEST]
    if row[EX_SEEN] == 0 or took > row[EX_STALL]:
        return True
    earlier = stamp < row[EX_STAMP] or (stamp == row[EX_STAMP] and vcpu < row[EX_WHO])
    return bool(took == row[EX_STALL] and earlier)


@jit
def keep_longest(examples: I64, stat: I64, word: int, gfn: int, what: tuple[int, int]) -> None:
    """Keep a fault (path, stall) as the longest."""
    write_example(examples, stat, LONGEST, 0, word, word, gfn)
    examples[LONGEST, EX_PATH], examples[LONGEST, EX_STALL] = what[0], what[1]


@jit
def tell_examples(examples: I64, vcpu: int, stamp: int, path: int, took: int) -> None:
    """Fill in a fault's path and stall where events of it are kept."""
    for kind in range(LONGEST):
        row = examples[kind]
        if row[EX_SEEN] != 0 and row[EX_STAMP] == stamp and row[EX_WHO] == vcpu and row[EX_PATH] == NO_PATH:
            row[EX_PATH], row[EX_STALL] = path, took


@jit_inline_llvm
def tell_example(state: MmuState, kind: int, vcpu: int, stamp: int, took: int) -> None:
    """Fill in the stall of an exit that is no fault."""
    if state.examples.shape[0] > 0:
        row = state.examples[kind]
        if row[EX_STAMP] == stamp and row[EX_WHO] == vcpu:
            row[EX_STALL] = took
