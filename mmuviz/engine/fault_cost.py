"""What one fault costs: page_fault() is carried out, and what it changed in KVM's own counters is priced."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.account import add_stretch, bin_of, charge, is_top, note_fault, note_length, note_top
from mmuviz.engine.clock import SPEED_SHIFT, Clock
from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_ENT_PER_PAGE
from mmuviz.mmu import state as mmu
from mmuviz.mmu.examples import EX_PATH, EX_SEEN, EX_STALL, EX_STAMP, EX_WHO, LONGEST, NO_PATH, write_example
from mmuviz.mmu.fault import page_fault
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


class Counts(NamedTuple):
    """KVM's counters that a fault can change, see mmuviz/mmu/state.py."""

    small: int
    mid: int
    large: int
    tables: int
    fast: int
    flushes: int
    tlbis: int
    local: int


@inlined
def on_core_ps(clock: Clock, vcpu: int, ps: int) -> int:
    """A time on this vCPU's core."""
    return int((ps * clock.slowdown_1024[vcpu]) >> SPEED_SHIFT)


@inlined
def counts_of(stat: I64) -> Counts:
    """The counters now."""
    return Counts(
        stat[mmu.STAT_PAGES + PG_LEVEL_4K],
        stat[mmu.STAT_PAGES + PG_LEVEL_2M],
        stat[mmu.STAT_PAGES + PG_LEVEL_1G],
        stat[mmu.STAT_TABLE_PAGES] + stat[mmu.STAT_TABLES_ABOVE],
        stat[mmu.STAT_PF_FAST],
        stat[mmu.STAT_TLB_FLUSHES],
        stat[mmu.STAT_TLBIS],
        stat[mmu.STAT_LOCAL_TLBIS],
    )


@compiled
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


@inlined
def price_of_work(price: I64, was: Counts, now: Counts) -> int:
    """The path that the fault took, without what it split, zapped and allocated."""
    small = now.small - was.small
    if now.fast != was.fast:
        return int(price[layout.FAST])
    if 0 < small < SPTE_ENT_PER_PAGE:
        return int(price[layout.MAP_4K])
    if now.mid - was.mid == 1 or now.large - was.large == 1:
        return int(price[layout.MAP_HUGE])
    return int(price[layout.FIX])


@inlined
def price_of_change(price: I64, was: Counts, now: Counts) -> int:
    """Huge pages that the fault split or zapped."""
    small, mid, large = now.small - was.small, now.mid - was.mid, now.large - was.large
    change = price[layout.SPLIT_2M] if small >= SPTE_ENT_PER_PAGE else 0
    if large < 0:
        change -= large * price[layout.SPLIT_1G if mid > 0 else layout.ZAP_1G]
    elif mid < 0 and small < SPTE_ENT_PER_PAGE:
        change -= mid * price[layout.ZAP_2M]
    return change


@inlined
def flushed_ps(clock: Clock, vcpu: int, was: Counts, now: Counts, asked: int) -> int:
    """TLB flushes of the fault; arm64 broadcasts them, and the whole machine does one at a time."""
    price = clock.price
    took = (now.local - was.local) * price[layout.LOCAL_TLBI]
    if now.flushes != was.flushes:
        kicked = kick_others(clock, vcpu, asked)
        took += (now.flushes - was.flushes) * (price[layout.FLUSH_BASE] + kicked * price[layout.FLUSH_VCPU])
    if now.tlbis != was.tlbis:
        free = max(clock.regs[layout.TLBI_FREE], asked) + (now.tlbis - was.tlbis) * price[layout.TLBI]
        clock.regs[layout.TLBI_FREE] = free
        took += free - asked
    return int(took)


@woven
def handle_fault(
    state: MmuState, clock: Clock, vcpu: int, access: Access, begin: int, before: int, wait: int
) -> int:  # fmt: skip
    """Carry out page_fault() and price what it did.

    Args:
        state: tables, changed in place.
        clock: stalls are charged here.
        vcpu: who faulted.
        access: what it touched.
        begin: when the fault began.
        before: from then until it asked for mmu_lock, where that is held for write, ps.
        wait: for mmu_lock and its cache line, ps.

    Returns:
        How long the rest of the handling takes, ps.
    """
    price, was = clock.price, counts_of(state.stat)
    cache, logged = state.cache[vcpu], state.pml_count[vcpu]
    splits, zaps, examples = state.stat[mmu.STAT_SPLITS], state.stat[mmu.STAT_ZAPS], state.stat[mmu.STAT_EXAMPLES]
    page_fault(state, vcpu, access.gfn, access.word, access.write)
    now = counts_of(state.stat)
    work = on_core_ps(clock, vcpu, price_of_work(price, was, now) + logged * price[layout.PML_ENTRY])
    change, alloc = on_core_ps(clock, vcpu, price_of_change(price, was, now)), 0
    tables = now.tables - was.tables
    if tables > 0:
        filled = max(state.cache[vcpu] + tables - cache, 0)
        alloc = on_core_ps(clock, vcpu, tables * price[layout.TABLE_LINK] + filled * price[layout.REFILL])
    flushed = flushed_ps(clock, vcpu, was, now, begin + before + wait + work)
    path = path_of(access, was, now)
    at = begin + before + wait
    charge_exit(clock, vcpu, begin, before, at, work)
    charge(clock, vcpu, layout.LOCK_WAIT, begin + before, wait)
    charge(clock, vcpu, layout.SPLIT, at + work, change)
    charge(clock, vcpu, layout.ALLOC, at + work + change, alloc)
    charge(clock, vcpu, layout.FLUSH, at + work + change + alloc, flushed)
    index = bin_of(clock, begin)  # only now: a stall that lasts into later bins may make all wider
    clock.series[index, layout.SPLITS + layout.IN_FAULT] += state.stat[mmu.STAT_SPLITS] - splits
    clock.series[index, layout.ZAPS] += state.stat[mmu.STAT_ZAPS] - zaps
    clock.series[index, layout.FLUSHES] += now.flushes - was.flushes
    took = work + change + alloc + flushed
    note_fault(clock, vcpu, path, begin, before + wait + took)
    cause = cause_of(before + work, wait, change, alloc, flushed)
    note_whole_fault(state, clock, vcpu, access, Whole(path, cause, begin, before + wait + took, examples))
    return took


@inlined
def charge_exit(clock: Clock, vcpu: int, begin: int, before: int, at: int, work: int) -> None:
    """One stall in two parts: before mmu_lock is asked for, and from when it is had."""
    clock.stall[vcpu, layout.EXIT] += before + work
    note_length(clock, layout.EXIT, before + work, 1)
    if before > 0:
        add_stretch(clock, vcpu, layout.EXIT, begin, before)
    add_stretch(clock, vcpu, layout.EXIT, at, work)


@inlined
def path_of(access: Access, was: Counts, now: Counts) -> int:
    """A fault's path, as `Clock.faults` counts them."""
    if access.word & mmu.PRESENT == 0:
        return layout.NOT_PRESENT
    return layout.FAST_FIX if now.fast != was.fast else layout.SLOW_PROTECTED


@inlined
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


@inlined
def note_whole_fault(state: MmuState, clock: Clock, vcpu: int, access: Access, whole: Whole) -> None:
    """Keep a fault among the longest stalls and among the examples, where it belongs there."""
    if is_top(clock.top, clock.regs, whole.took, whole.begin, vcpu):
        note_top(clock.top, clock.regs, whole.took, (whole.begin, vcpu, access.gfn, whole.cause))
    if state.examples.shape[0] > 0:
        if state.stat[mmu.STAT_EXAMPLES] != whole.examples:
            tell_examples(state.examples, vcpu, state.stat[mmu.STAT_STAMP], whole.path, whole.took)
        if is_longest(state.examples, whole.took, state.stat[mmu.STAT_STAMP], vcpu):
            keep_longest(state.examples, state.stat, access.word, access.gfn, (whole.path, whole.took))


@inlined
def is_longest(examples: I64, took: int, stamp: int, vcpu: int) -> bool:
    """Whether a fault stalled longer than the one that is kept; of equal ones the earlier, the lower vCPU."""
    row = examples[LONGEST]
    if row[EX_SEEN] == 0 or took > row[EX_STALL]:
        return True
    earlier = stamp < row[EX_STAMP] or (stamp == row[EX_STAMP] and vcpu < row[EX_WHO])
    return bool(took == row[EX_STALL] and earlier)


@compiled
def keep_longest(examples: I64, stat: I64, word: int, gfn: int, what: tuple[int, int]) -> None:
    """Keep a fault (path, stall) as the longest."""
    write_example(examples, stat, LONGEST, 0, word, word, gfn)
    examples[LONGEST, EX_PATH], examples[LONGEST, EX_STALL] = what[0], what[1]


@compiled
def tell_examples(examples: I64, vcpu: int, stamp: int, path: int, took: int) -> None:
    """Fill in a fault's path and stall where events of it are kept."""
    for kind in range(LONGEST):
        row = examples[kind]
        if row[EX_SEEN] != 0 and row[EX_STAMP] == stamp and row[EX_WHO] == vcpu and row[EX_PATH] == NO_PATH:
            row[EX_PATH], row[EX_STALL] = path, took


@inlined
def tell_example(state: MmuState, kind: int, vcpu: int, stamp: int, took: int) -> None:
    """Fill in the stall of an exit that is no fault."""
    if state.examples.shape[0] > 0:
        row = state.examples[kind]
        if row[EX_STAMP] == stamp and row[EX_WHO] == vcpu:
            row[EX_STALL] = took
