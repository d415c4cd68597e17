"""What one fault costs: page_fault() is carried out, and the path that it took and its work are priced."""

from __future__ import annotations

from typing import NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import SPEED_SHIFT, Clock, bin_of, charge, note_faults
from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.mmu import state as mmu
from mmuviz.mmu import work
from mmuviz.mmu.counting import count_map_4k
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


class Spent(NamedTuple):
    """The machine's work in faults so far, priced: all that it ever did, so that two of them tell of one fault.

    Attributes:
        path: ps of the paths.
        beside: ps of host faults, PML entries and ring entries.
        split: ps of what was split or zapped.
        alloc: ps of tables linked and objects allocated.
    """

    path: int
    beside: int
    split: int
    alloc: int


@inlined
def scaled(clock: Clock, vcpu: int, ps: int) -> int:
    """A time on this vCPU's core."""
    return int((ps * clock.slow[vcpu]) >> SPEED_SHIFT)


@inlined
def priced(counts: I64, price: I64, first: int, end: int) -> int:
    """The work of entries [first, end), priced."""
    found = 0
    for entry in range(first, end):
        found += counts[entry] * price[layout.PRICES + entry]
    return found


@inlined
def spent_now(counts: I64, price: I64) -> Spent:
    """The work in faults so far."""
    return Spent(
        priced(counts, price, 0, work.WORK_MORE_END),
        priced(counts, price, work.WORK_MORE_END, work.WORK_BESIDE_END),
        priced(counts, price, work.WORK_BESIDE_END, work.WORK_SPLITS_END),
        priced(counts, price, work.WORK_SPLITS_END, work.WORK_FAULTS_END),
    )


@inlined
def exits_now(counts: I64, price: I64) -> int:
    """The work so far of exits that are no faults: of PML buffers, and what their pages go to."""
    return priced(counts, price, work.WORK_PML_FULL, work.WORK_BESIDE_END)


@inlined
def price_of_map(state: MmuState, price: I64, slot: int) -> int:
    """A fault that maps 4K of a slot whose host pages stand, in a table that stands: counted once, and taken back."""
    level = int(state.slots[slot, mmu.SLOT_HOST_LEVEL])
    before = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, 1)
    after = priced(state.work, price, 0, work.WORK_MORE_END)
    count_map_4k(state, slot, level, -1)
    return after - before


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


class Flushes(NamedTuple):
    """KVM's counters of TLB flushes, see mmuviz/mmu/state.py."""

    all: int
    broadcast: int
    local: int


@inlined
def flushes_now(stat: I64) -> Flushes:
    """The counters now."""
    return Flushes(stat[mmu.STAT_TLB_FLUSHES], stat[mmu.STAT_TLBIS], stat[mmu.STAT_LOCAL_TLBIS])


@inlined
def flushed_ps(clock: Clock, vcpu: int, was: Flushes, now: Flushes, asked: int) -> int:
    """TLB flushes of the fault; arm64 broadcasts them, and the whole machine does one at a time."""
    price = clock.price
    took = (now.local - was.local) * price[layout.LOCAL_TLBI]
    if now.all != was.all:
        kicked = kick_others(clock, vcpu, asked)
        took += (now.all - was.all) * (price[layout.FLUSH_BASE] + kicked * price[layout.FLUSH_VCPU])
    if now.broadcast != was.broadcast:
        free = max(clock.at[layout.TLBI_FREE], asked) + (now.broadcast - was.broadcast) * price[layout.TLBI]
        clock.at[layout.TLBI_FREE] = free
        took += free - asked
    return int(took)


@woven
def carry_out(
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
        before: from then until it asked for mmu_lock, where that is held for write, ps.
        wait: for mmu_lock and its cache line, ps.

    Returns:
        How long the rest of the handling takes, ps.
    """
    was, flushes = spent_now(state.work, clock.price), flushes_now(state.stat)
    path = page_fault(state, vcpu, access.gfn, access.word, access.write)
    now = spent_now(state.work, clock.price)
    of_path = now.path - was.path
    if path != work.PATH_FAST and clock.at[layout.WRITE_LOCKS] != 0:
        of_path = clock.price[layout.HOLD]
    handling = scaled(clock, vcpu, of_path + now.beside - was.beside)
    change, alloc = scaled(clock, vcpu, now.split - was.split), scaled(clock, vcpu, now.alloc - was.alloc)
    flushed = flushed_ps(clock, vcpu, flushes, flushes_now(state.stat), begin + before + wait + handling)
    index = bin_of(clock, begin)
    charge(clock, vcpu, layout.EXIT, index, before + handling)
    charge(clock, vcpu, layout.LOCK_WAIT, index, wait)
    charge(clock, vcpu, layout.SPLIT, index, change)
    charge(clock, vcpu, layout.ALLOC, index, alloc)
    charge(clock, vcpu, layout.FLUSH, index, flushed)
    took = handling + change + alloc + flushed
    note_faults(clock, index, before + wait + took, 1)
    return took
