"""What one fault costs: page_fault() is carried out, and what it changed in KVM's own counters is priced."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import SPEED_SHIFT, Clock, bin_of, charge, note_faults
from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SPTE_ENT_PER_PAGE
from mmuviz.mmu import state as mmu
from mmuviz.mmu.fault import page_fault
from mmuviz.mmu.state import I64, MmuState


class Access(NamedTuple):
    """One access as the tables stand.

    Attributes:
        gfn: the page.
        write: 1 for a write.
        word: bits of the leaf that maps it.
        enough: whether it simply retires.
    """

    gfn: int
    write: int
    word: int
    enough: bool


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
def scaled(clock: Clock, vcpu: int, ps: int) -> int:
    """A time on this vCPU's core."""
    return int((ps * clock.slow[vcpu]) >> SPEED_SHIFT)


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
        if other != vcpu and clock.phase[other] == layout.RUNNING and clock.outside[other] <= time:
            clock.debt[other] += clock.price[layout.KICK]
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
        free = max(clock.at[layout.TLBI_FREE], asked) + (now.tlbis - was.tlbis) * price[layout.TLBI]
        clock.at[layout.TLBI_FREE] = free
        took += free - asked
    return int(took)


@woven
def carry_out(
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
    page_fault(state, vcpu, access.gfn, access.word, access.write)
    now = counts_of(state.stat)
    work = scaled(clock, vcpu, price_of_work(price, was, now) + logged * price[layout.PML_ENTRY])
    change, alloc = scaled(clock, vcpu, price_of_change(price, was, now)), 0
    tables = now.tables - was.tables
    if tables > 0:
        filled = max(state.cache[vcpu] + tables - cache, 0)
        alloc = scaled(clock, vcpu, tables * price[layout.TABLE_LINK] + filled * price[layout.REFILL])
    flushed = flushed_ps(clock, vcpu, was, now, begin + before + wait + work)
    index = bin_of(clock, begin)
    charge(clock, vcpu, layout.EXIT, index, before + work)
    charge(clock, vcpu, layout.LOCK_WAIT, index, wait)
    charge(clock, vcpu, layout.SPLIT, index, change)
    charge(clock, vcpu, layout.ALLOC, index, alloc)
    charge(clock, vcpu, layout.FLUSH, index, flushed)
    took = work + change + alloc + flushed
    note_faults(clock, index, before + wait + took, 1)
    return took
