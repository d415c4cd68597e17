"""The cost of one fault: runs page_fault() and prices the work that the machine counted."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.core.jit import jit, jit_inline_llvm, jit_inline_source
from mmuviz.engine import clock as layout
from mmuviz.engine.account import add_stretch, bin_of, charge, count_fault, is_top, note_length, note_top
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
    """One access, with the leaf as it is in the tables now.

    Attributes:
        gfn: the page.
        write: 1 for a write.
        spte: bits of the leaf that maps it.
        hits: whether it needs no exit and changes nothing.
    """

    gfn: int
    write: int
    spte: int
    hits: bool


class Spent(NamedTuple):
    """Price of the work in all faults so far; the difference before and after a fault is that fault's.

    Attributes:
        path: ps of the paths.
        other: ps of host faults, PML entries and ring entries.
        change: ps of splits and zaps.
        alloc: ps of tables linked and objects allocated.
    """

    path: int
    other: int
    change: int
    alloc: int


@jit_inline_llvm
def on_core_ps(clock: Clock, vcpu: int, ps: int) -> int:
    """A time as it elapses on this vCPU's core."""
    return int((ps * clock.slowdown_1024[vcpu]) >> SPEED_SHIFT)


@jit_inline_llvm
def priced(counts: I64, price: I64, first: int, end: int) -> int:
    """Price of the work of entries [first, end)."""
    found = 0
    for entry in range(first, end):
        found += counts[entry] * price[layout.PRICES + entry]
    return found


@jit_inline_llvm
def spent_now(counts: I64, price: I64) -> Spent:
    """Price of the work in faults so far."""
    return Spent(
        priced(counts, price, 0, work.WORK_MORE_END),
        priced(counts, price, work.WORK_MORE_END, work.WORK_OTHER_END),
        priced(counts, price, work.WORK_OTHER_END, work.WORK_SPLITS_END),
        priced(counts, price, work.WORK_SPLITS_END, work.WORK_FAULTS_END),
    )


@jit_inline_llvm
def exits_now(counts: I64, price: I64) -> int:
    """Price so far of exits that are not faults: PML buffers, and where their pages are logged."""
    return priced(counts, price, work.WORK_PML_FULL, work.WORK_OTHER_END)


@jit_inline_llvm
def price_of_map(state: MmuState, price: I64, slot: int) -> int:
    """Price of a fault that maps a 4K page whose host page and table exist already.

    The fault is counted as if it happened, priced, and removed from the counts again.
    """
    level = int(state.slots[slot, mmu.SLOT_HOST_LEVEL])
    before = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, 1)
    after = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, -1)
    return after - before


@jit_inline_llvm
def price_of_slow_fix(state: MmuState, price: I64, slot: int) -> int:
    """Price of a fault that makes a 4K leaf of such a slot writable, computed in the same way."""
    level = int(state.slots[slot, mmu.SLOT_HOST_LEVEL])
    before = priced(state.work, price, 0, work.WORK_MORE_END)
    count_slow(state, level, 1)
    after = priced(state.work, price, 0, work.WORK_MORE_END)
    count_slow(state, level, -1)
    return after - before


@jit
def kick_others(clock: Clock, vcpu: int, time: int) -> int:
    """Flush TLBs remotely: every other vCPU in the guest loses the time of a kick. Returns the number of these.

    A vCPU that handles a fault, waits for mmu_lock or is in userspace is not kicked: it flushes at guest entry.

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
    """Time of the fault's TLB flushes; arm64 broadcasts them, and the whole machine does one at a time."""
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


@jit_inline_llvm
def slow_path_ps(state: MmuState, clock: Clock, vcpu: int, path_ps: int) -> int:
    """Time of a slow fault's path that is left after its request for mmu_lock.

    Held for read, that is all of it: it has no part of its own before the request. Held for write it is the rest:
    on arm64 without BEFORE_LOCK; in the shadow MMU, of any path, the host's own constant.
    """
    if clock.reads[vcpu] != 0:
        return path_ps
    return int(path_ps - clock.price[layout.BEFORE_LOCK] if state.conf[mmu.CONF_STAGE2] else clock.price[layout.HOLD])


@jit_inline_source
def handle_fault(
    state: MmuState, clock: Clock, vcpu: int, access: Access, begin: int, before: int, wait: int
) -> int:  # fmt: skip
    """Run page_fault() and price its work.

    Args:
        state: tables, changed in place.
        clock: stalls are charged here.
        vcpu: the vCPU that faulted.
        access: the access that faulted.
        begin: begin of the fault.
        before: time from then to its request for mmu_lock, ps: host memory, and the exit if mmu_lock is held for
            write.
        wait: wait for mmu_lock and its cache line, ps.

    Returns:
        Time of the rest of the handling, ps.
    """
    was, flushes = spent_now(state.work, clock.price), flushes_now(state.stat)
    splits, zaps, examples = state.stat[mmu.STAT_SPLITS], state.stat[mmu.STAT_ZAPS], state.stat[mmu.STAT_EXAMPLES]
    ended = page_fault(state, vcpu, access.gfn, access.spte, access.write)
    now, flushes_after = spent_now(state.work, clock.price), flushes_now(state.stat)
    of_path = now.path - was.path
    if ended != work.PATH_FAST:
        of_path = slow_path_ps(state, clock, vcpu, of_path)
    handling = on_core_ps(clock, vcpu, of_path + now.other - was.other)
    change, alloc = on_core_ps(clock, vcpu, now.change - was.change), on_core_ps(clock, vcpu, now.alloc - was.alloc)
    at, host = begin + before + wait, take_host_ps(clock, vcpu)
    flushed = flushed_ps(clock, vcpu, flushes, flushes_after, at + handling)
    path = path_of(access, ended)
    charge(clock, vcpu, layout.ALLOC, begin, host)
    charge_exit_and_fault(clock, vcpu, begin + host, before - host, at, handling)
    charge(clock, vcpu, layout.LOCK_WAIT, begin + before, wait)
    charge(clock, vcpu, layout.SPLIT, at + handling, change)
    charge(clock, vcpu, layout.ALLOC, at + handling + change, alloc)
    charge(clock, vcpu, layout.FLUSH, at + handling + change + alloc, flushed)
    index = bin_of(clock, begin)  # only now: a stall that reaches into later bins may widen all bins
    clock.series[index, layout.SPLITS + layout.IN_FAULT] += state.stat[mmu.STAT_SPLITS] - splits
    clock.series[index, layout.ZAPS] += state.stat[mmu.STAT_ZAPS] - zaps
    clock.series[index, layout.FLUSHES] += flushes_after.all - flushes.all
    took = handling + change + alloc + flushed
    count_fault(clock, vcpu, path, begin, before + wait + took)
    cause = cause_of(before - host + handling, wait, change, host + alloc, flushed)
    keep_long_and_exemplary(state, clock, vcpu, access, WholeFault(path, cause, begin, before + wait + took, examples))
    return took


@jit_inline_llvm
def take_host_ps(clock: Clock, vcpu: int) -> int:
    """The host's time for the memory of the current fault; it counts as accounted for from now on."""
    took = clock.host_ps[vcpu]
    clock.host_ps[vcpu] = 0
    return int(took)


@jit
def host_memory_ps(state: MmuState, clock: Clock, vcpu: int, gfn: int, write: int, time: int) -> int:
    """Allocate the host page of a fault if there is none; returns the time, during which mmu_lock is not held.

    The processor is busy with a page for as long as its instructions or the zeroing take, whichever is longer. The
    memory of the machine zeroes one page after the other, in the order of the requests.

    Args:
        state: host pages, changed in place.
        clock: changed in place.
        vcpu: the vCPU that faulted.
        gfn: the page touched.
        write: 1 for a write.
        time: begin of the fault.

    Returns:
        ps, 0 if the page exists or nothing is allocated.
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
def charge_exit_and_fault(clock: Clock, vcpu: int, begin: int, before: int, at: int, handling: int) -> None:
    """Charge one stall in two parts: before the request for mmu_lock, and after it is acquired."""
    clock.stall[vcpu, layout.EXIT] += before + handling
    note_length(clock, layout.EXIT, before + handling, 1)
    if before > 0:
        add_stretch(clock, vcpu, layout.EXIT, begin, before)
    add_stretch(clock, vcpu, layout.EXIT, at, handling)


@jit_inline_llvm
def path_of(access: Access, ended: int) -> int:
    """A fault's path, as `Clock.faults` counts them; `ended` is the result of page_fault()."""
    if access.spte & mmu.PRESENT == 0:
        return layout.NOT_PRESENT
    return layout.FAST_FIX if ended == work.PATH_FAST else layout.SLOW_PROTECTED


@jit_inline_llvm
def cause_of(work: int, wait: int, change: int, alloc: int, flushed: int) -> int:
    """The cause that took most of a fault's time."""
    most = max(work, wait, change, alloc, flushed)
    if most == work:
        return layout.EXIT
    if most == wait:
        return layout.LOCK_WAIT
    if most == change:
        return layout.SPLIT
    return layout.ALLOC if most == alloc else layout.FLUSH


class WholeFault(NamedTuple):
    """A fault from exit to entry.

    Attributes:
        path: see `Clock.faults`.
        cause: the cause that took most of its time.
        begin: time at which the vCPU left the guest.
        took: time until it is back, ps.
        examples: number of rows of examples written before it.
    """

    path: int
    cause: int
    begin: int
    took: int
    examples: int


@jit_inline_llvm
def keep_long_and_exemplary(state: MmuState, clock: Clock, vcpu: int, access: Access, whole: WholeFault) -> None:
    """Keep a fault among the longest stalls and among the examples, if it qualifies."""
    note_long_fault(clock, vcpu, access.gfn, whole)
    note_exemplary_fault(state, vcpu, access, whole)


@jit_inline_llvm
def note_long_fault(clock: Clock, vcpu: int, gfn: int, whole: WholeFault) -> bool:
    """Keep a fault among the longest stalls, if it qualifies; returns whether it does."""
    belongs = is_top(clock.top, clock.regs, whole.took, whole.begin, vcpu)
    if belongs:
        note_top(clock.top, clock.regs, whole.took, (whole.begin, vcpu, gfn, whole.cause))
    return belongs


@jit_inline_llvm
def note_exemplary_fault(state: MmuState, vcpu: int, access: Access, whole: WholeFault) -> None:
    """Fill in path and stall of the examples that a fault wrote, and keep it as the longest fault if it is."""
    if state.examples.shape[0] > 0:
        if state.stat[mmu.STAT_EXAMPLES] != whole.examples:
            fill_examples(state.examples, vcpu, state.stat[mmu.STAT_STAMP], whole.path, whole.took)
        if is_longest(state.examples, whole.took, state.stat[mmu.STAT_STAMP], vcpu):
            keep_longest(state.examples, state.stat, access.spte, access.gfn, (whole.path, whole.took))


@jit_inline_llvm
def is_longest(examples: I64, took: int, stamp: int, vcpu: int) -> bool:
    """Whether a fault stalled longer than the kept one; if equal, the earlier one wins, then the lower vCPU's."""
    row = examples[LONGEST]
    if row[EX_SEEN] == 0 or took > row[EX_STALL]:
        return True
    earlier = stamp < row[EX_STAMP] or (stamp == row[EX_STAMP] and vcpu < row[EX_WHO])
    return bool(took == row[EX_STALL] and earlier)


@jit
def keep_longest(examples: I64, stat: I64, spte: int, gfn: int, what: tuple[int, int]) -> None:
    """Keep a fault (path, stall) as the longest."""
    write_example(examples, stat, LONGEST, 0, spte, spte, gfn)
    examples[LONGEST, EX_PATH], examples[LONGEST, EX_STALL] = what[0], what[1]


@jit
def fill_examples(examples: I64, vcpu: int, stamp: int, path: int, took: int) -> None:
    """Fill in a fault's path and stall in the examples of its events."""
    for kind in range(LONGEST):
        row = examples[kind]
        if row[EX_SEEN] != 0 and row[EX_STAMP] == stamp and row[EX_WHO] == vcpu and row[EX_PATH] == NO_PATH:
            row[EX_PATH], row[EX_STALL] = path, took


@jit_inline_llvm
def fill_example(state: MmuState, kind: int, vcpu: int, stamp: int, took: int) -> None:
    """Fill in the stall of an exit that is not a fault."""
    if state.examples.shape[0] > 0:
        row = state.examples[kind]
        if row[EX_STAMP] == stamp and row[EX_WHO] == vcpu:
            row[EX_STALL] = took
