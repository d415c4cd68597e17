"""The access at a position of a vCPU's stream, and the number of hits that follow it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.jit import jit_inline_llvm, jit_inline_source
from mmuviz.core.pages import PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G, SHIFT_2M, WORD_SHIFT
from mmuviz.core.prefetch import prefetch
from mmuviz.engine import clock as layout
from mmuviz.engine.clock import FOREVER, Clock
from mmuviz.engine.fault_cost import Access
from mmuviz.mmu import state as mmu
from mmuviz.mmu.guest_access import is_4k, leaf_spte
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at, is_write_at, ram_row_of_gfn

FETCHED_AHEAD: Final = 16
"""Prefetch distance in accesses: about the latency of memory, in faults.

This constant and the next one affect the model's speed, not its results; both were found by trial with `make bench`."""
CACHED_LEAVES: Final = 1 << 24
"""Up to this many leaves, at a byte each, fit in a server's last-level cache, and prefetching gains nothing."""


@jit_inline_llvm
def fixed_without_lock(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() will fix this access."""
    if access.write == 0 or access.spte & mmu.MMU_WRITABLE == 0 or state.conf[mmu.CONF_FAST_FAULT] == 0:
        return False
    if is_4k(state, access.gfn):
        return True
    logged = state.slots[gfn_to_memslot(state, access.gfn), mmu.SLOT_LOGGING] != 0
    return not logged and state.conf[mmu.CONF_FAST_FIXES_HUGE] != 0


@jit_inline_llvm
def peek_access(state: MmuState, clock: Clock, vcpu: int, position: int) -> Access:
    """The access at a position, with its leaf as it is now."""
    gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
    write = is_write_at(clock.stream, clock.listed, vcpu, position)
    spte = leaf_spte(state, gfn)
    need = (mmu.WRITABLE | mmu.DIRTY) if write else mmu.PRESENT
    return Access(gfn, write, spte, spte & need == need)


@jit_inline_llvm
def prefetch_leaf(state: MmuState, clock: Clock, vcpu: int, position: int) -> None:
    """Prefetch the leaf and the bitmap word of a later access, in streams of random or listed pages."""
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    later = position + FETCHED_AHEAD
    if stream[vcpu, columns.KIND] == columns.STEPS or linear == mmu.NOT_LINEAR:
        return
    if later < stream[vcpu, columns.ACCESSES]:
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, later)
        prefetch(state.l1, gfn - linear)
        if state.slots.shape[0] == 1:
            word = (gfn - state.slots[0, mmu.SLOT_BASE]) >> WORD_SHIFT
            prefetch(state.dirty, state.slots[0, mmu.SLOT_DIRTY_AT] + word)


@jit_inline_llvm
def slot_end(clock: Clock, row: int) -> int:
    """The gfn after the last one of a row of `Clock.ram`."""
    if row + 1 >= clock.ram.shape[0]:
        return FOREVER
    return int(clock.ram[row + 1, columns.RAM_FIRST] + clock.ram[row, columns.RAM_MOVE])


@jit_inline_llvm
def own_pages(clock: Clock, vcpu: int, gfn: int) -> tuple[int, int]:
    """The pages around a gfn that only this vCPU touches: first gfn, and the gfn after the last."""
    if clock.regs[layout.EXCLUSIVE] == 0:
        return 0, 0
    row = ram_row_of_gfn(clock.ram, gfn)
    move = clock.ram[row, columns.RAM_MOVE]
    part = clock.stream[vcpu, columns.FIRST_PAGE] + move
    first = max(part, clock.ram[row, columns.RAM_FIRST] + move)
    return int(first), int(min(part + clock.stream[vcpu, columns.PAGES], slot_end(clock, row)))


@jit_inline_llvm
def private_range(clock: Clock, vcpu: int, gfn: int) -> tuple[int, int]:
    """The leaves around a gfn that certainly belong to this vCPU only: first gfn, and the gfn after the last.

    The largest leaf that may map a page sets the bounds: one at the border may reach into the next vCPU's part.
    """
    first, end = own_pages(clock, vcpu, gfn)
    shift = clock.regs[layout.LEAF_SHIFT]
    return int(((first + (1 << shift) - 1) >> shift) << shift), int((end >> shift) << shift)


@jit_inline_llvm
def tables_give_way(state: MmuState, slot: int) -> bool:
    """Whether a fault may replace a table of a slot by a huge page: the slot is not logged, its backing is huge."""
    row = state.slots[slot]
    level = min(row[mmu.SLOT_ALIGNED_LEVEL], row[mmu.SLOT_HOST_LEVEL])
    smaller = state.stat[mmu.STAT_PAGES + PG_LEVEL_4K]
    if level == PG_LEVEL_1G:
        smaller += state.stat[mmu.STAT_PAGES + PG_LEVEL_2M]
    return bool(row[mmu.SLOT_LOGGING] == 0 and level > PG_LEVEL_4K and smaller != 0)


class Change(NamedTuple):
    """Changes that faults of other vCPUs may make to the leaves that a vCPU uses.

    Attributes:
        splits: they may split or zap huge pages of a logged slot.
        replaces: they may replace tables of a slot that is not logged by huge pages.
    """

    splits: bool
    replaces: bool


@jit_inline_llvm
def changes_by_others(state: MmuState) -> Change:
    """The changes that faults may make to leaves of other pages than the faulting one."""
    huge = state.stat[mmu.STAT_PAGES + PG_LEVEL_2M] + state.stat[mmu.STAT_PAGES + PG_LEVEL_1G] != 0
    splits, replaces = False, False
    for slot in range(state.slots.shape[0]):
        splits = splits or (huge and state.slots[slot, mmu.SLOT_LOGGING] != 0)
        replaces = replaces or tables_give_way(state, slot)
    return Change(splits, replaces)


@jit_inline_llvm
def kick_may_come(state: MmuState, clock: Clock, change: Change) -> bool:
    """Whether a fault may flush other vCPUs' TLBs: a zap, or a huge page in place of a table; arm64 broadcasts."""
    zaps = change.splits and clock.regs[layout.FAULT_ZAPS] != 0
    return bool(state.conf[mmu.CONF_STAGE2] == 0 and (zaps or change.replaces))


class Lookahead(NamedTuple):
    """The range in which a vCPU may run without synchronising with the others.

    Attributes:
        low: first gfn of the vCPU's private leaves; `high` the gfn after them.
        part_low: first gfn of a range whose 4K leaves are private too: the pages that only this vCPU touches, where no
            table may be replaced by a huge page; `part_high` the gfn after them.
        anywhere: whether hits at any other gfn are unobservable too; `writes` whether those of writes are.
        exits: whether it may leave the guest at a private leaf: not if a kick may come, since a kick reaches only
            vCPUs that are in the guest.
    """

    low: int
    high: int
    part_low: int
    part_high: int
    anywhere: bool
    writes: bool
    exits: bool


@jit_inline_llvm
def hits_anywhere(lookahead: Lookahead, access: Access) -> bool:
    """Whether a hit of this access is unobservable at any gfn.

    A write hits through a writable leaf, and no fault of another vCPU changes such a leaf.
    """
    return bool(lookahead.anywhere or (lookahead.writes and access.write != 0))


@jit_inline_llvm
def lookahead_allowed(state: MmuState, clock: Clock) -> bool:
    """Whether any vCPU may look ahead: not while an ioctl waits for mmu_lock, nor with rings (a full one stops all)."""
    return bool(state.conf[mmu.CONF_RING] == 0 and clock.regs[layout.THREAD_WAITS] == 0)


@jit_inline_llvm
def has_own_cpu(clock: Clock, vcpu: int) -> bool:
    """Whether a vCPU has its CPU to itself now; otherwise its elapsed time must be stretched."""
    return bool(vcpu != clock.now.shape[0] - 1 or clock.now[vcpu] >= clock.regs[layout.SHARED_UNTIL])


@jit_inline_llvm
def lookahead_of(state: MmuState, clock: Clock, vcpu: int, gfn: int) -> Lookahead:
    """A vCPU's lookahead around a gfn, by the current tables."""
    allowed, change = lookahead_allowed(state, clock) and has_own_cpu(clock, vcpu), changes_by_others(state)
    first, end = own_pages(clock, vcpu, gfn)
    low, high = private_range(clock, vcpu, gfn)
    if not allowed:
        high = low
    if not allowed or change.replaces:
        end = first
    stay, kicks = not change.splits and not change.replaces, kick_may_come(state, clock, change)
    writes = allowed and not kicks and not change.replaces
    return Lookahead(low, high, first, end, allowed and stay, writes, allowed and not kicks)


@jit_inline_llvm
def is_private(state: MmuState, lookahead: Lookahead, gfn: int) -> bool:
    """Whether no other vCPU can change or observe the leaf of a gfn."""
    if lookahead.low <= gfn < lookahead.high:
        return True
    return bool(lookahead.part_low <= gfn < lookahead.part_high and is_4k(state, gfn))


@jit_inline_llvm
def count_hits_random(
    state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, lookahead: Lookahead, room: int
) -> int:  # fmt: skip
    """Number of successive hits of 4K leaves among accesses to drawn or listed pages, at most `room`."""
    anywhere = hits_anywhere(lookahead, access)
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    most = min(stream[vcpu, columns.ACCESSES] - position, room)
    far = most - FETCHED_AHEAD if state.l1.shape[0] > CACHED_LEAVES else 0
    run = 1
    while run < most:
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, position + run)
        if run < far:
            later = gfn_at(stream, clock.ram, clock.listed, vcpu, position + run + FETCHED_AHEAD)
            prefetch(state.l1, later - linear)
        if not anywhere and not is_private(state, lookahead, gfn):
            break
        if state.l1[np.uint64(gfn - linear)] & need != need:
            break
        run += 1
    return run


@jit_inline_source
def count_hits_in_leaf(
    state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, need: int, room: int
) -> int:  # fmt: skip
    """Number of successive accesses of a sweep that hit one leaf, or leaves of one 4K table, at most `room`."""
    stream, gfn = clock.stream, access.gfn
    huge, stride, row = not is_4k(state, gfn), stream[vcpu, columns.STRIDE], ram_row_of_gfn(clock.ram, gfn)
    shift = SHIFT_1G if huge and state.l3[state.row_of[gfn >> SHIFT_1G]] & mmu.PRESENT else SHIFT_2M
    part = stream[vcpu, columns.FIRST_PAGE] + clock.ram[row, columns.RAM_MOVE]
    end = min(part + stream[vcpu, columns.PAGES], slot_end(clock, row))
    pages = min(end - gfn, (((gfn >> shift) + 1) << shift) - gfn)
    steps = pages if stride == 1 else (pages + stride - 1) // stride  # a division costs more than the rest of the loop
    most = min(steps, room, stream[vcpu, columns.ACCESSES] - position)
    if huge:
        return int(max(most, 1))
    at = (int(state.row_of[gfn >> SHIFT_1G]) << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))
    run = 1
    while run < most and state.l1[np.uint64(at + run * stride)] & need == need:
        run += 1
    return run


@jit_inline_source
def count_hits(
    state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, lookahead: Lookahead, room: int
) -> int:  # fmt: skip
    """Number of certain hits at the same pace, beginning with the given access, at most `room`.

    The result is 1 if reads and writes are drawn.
    """
    share = clock.stream[vcpu, columns.WRITE_PERMILLE]
    if room == 1 or 0 < share < columns.ALWAYS:
        return 1
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    if clock.stream[vcpu, columns.KIND] == columns.STEPS:
        return count_hits_in_leaf(state, clock, vcpu, position, access, need, room)
    if state.conf[mmu.CONF_LINEAR] == mmu.NOT_LINEAR or not is_4k(state, access.gfn):
        return 1
    return count_hits_random(state, clock, vcpu, position, access, lookahead, room)


@jit_inline_llvm
def access_ps(clock: Clock, vcpu: int, kind: int) -> int:
    """Time of a hit of a kind, ps, at the workload's pace."""
    return int(max(clock.price[kind], clock.stream[vcpu, columns.PERIOD], 1))


@jit_inline_llvm
def kind_of(state: MmuState, gfn: int, write: int) -> int:
    """Kind of a hit, which decides its price: a read or a write, through a 4K or a huge leaf."""
    small = is_4k(state, gfn)
    if write:
        return layout.WRITE_4K if small else layout.WRITE_HUGE
    return layout.READ_4K if small else layout.READ_HUGE
