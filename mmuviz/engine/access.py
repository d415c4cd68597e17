"""The access at a position of a vCPU's stream, and how many that need no exit follow it."""

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
from mmuviz.mmu.guest_access import is_4k, leaf_word
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as program
from mmuviz.workloads.accesses import gfn_at, is_write_at, ram_row_of_gfn

FETCHED_AHEAD: Final = 16
"""Accesses from the one at hand to that whose leaf is asked for: about what memory takes, in faults.

It changes how fast the model runs and no result, as does the next: found by trying, with `make bench`."""
CACHED_LEAVES: Final = 1 << 24
"""Up to so many, at a byte each, a server's last-level cache holds them all, and prefetching gains nothing."""


@jit_inline_llvm
def fixed_without_lock(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() will fix this access."""
    if access.write == 0 or access.word & mmu.MMU_WRITABLE == 0 or state.conf[mmu.CONF_FAST_FAULT] == 0:
        return False
    if is_4k(state, access.gfn):
        return True
    logged = state.slots[gfn_to_memslot(state, access.gfn), mmu.SLOT_LOGGING] != 0
    return not logged and state.conf[mmu.CONF_FAST_FIXES_HUGE] != 0


@jit_inline_llvm
def peek_access(state: MmuState, clock: Clock, vcpu: int, position: int) -> Access:
    """The access at a position, as the tables are now."""
    gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
    write = is_write_at(clock.stream, vcpu, position)
    word = leaf_word(state, gfn)
    need = (mmu.WRITABLE | mmu.DIRTY) if write else mmu.PRESENT
    return Access(gfn, write, word, word & need == need)


@jit_inline_llvm
def prefetch_leaf(state: MmuState, clock: Clock, vcpu: int, position: int) -> None:
    """Ask memory for what an access some way behind a position will need, where pages are drawn or listed."""
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    later = position + FETCHED_AHEAD
    if stream[vcpu, program.KIND] == program.STEPS or linear == mmu.NOT_LINEAR:
        return
    if later < stream[vcpu, program.ACCESSES]:
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, later)
        prefetch(state.l1, gfn - linear)
        if state.slots.shape[0] == 1:
            word = (gfn - state.slots[0, mmu.SLOT_BASE]) >> WORD_SHIFT
            prefetch(state.dirty, state.slots[0, mmu.SLOT_DIRTY_AT] + word)


@jit_inline_llvm
def slot_end(clock: Clock, row: int) -> int:
    """The gfn behind the last of a row of `Clock.ram`."""
    if row + 1 >= clock.ram.shape[0]:
        return FOREVER
    return int(clock.ram[row + 1, program.RAM_FIRST] + clock.ram[row, program.RAM_MOVE])


@jit_inline_llvm
def private_range(clock: Clock, vcpu: int, gfn: int) -> tuple[int, int]:
    """The leaves around a gfn that surely belong to this vCPU alone: the first gfn, and the one behind the last.

    The largest leaf that may map a page counts: into one at the border the next vCPU's part reaches.
    """
    if clock.regs[layout.EXCLUSIVE] == 0:
        return 0, 0
    row, shift = ram_row_of_gfn(clock.ram, gfn), clock.regs[layout.LEAF_SHIFT]
    move = clock.ram[row, program.RAM_MOVE]
    part = clock.stream[vcpu, program.FIRST_GFN] + move
    first = max(part, clock.ram[row, program.RAM_FIRST] + move)
    end = min(part + clock.stream[vcpu, program.PAGES], slot_end(clock, row))
    return int(((first + (1 << shift) - 1) >> shift) << shift), int((end >> shift) << shift)


@jit_inline_llvm
def tables_give_way(state: MmuState, slot: int) -> bool:
    """Whether a fault may map a huge page over a table of a slot: it is not logged, and its backing is huge."""
    row = state.slots[slot]
    level = min(row[mmu.SLOT_ALIGNED_LEVEL], row[mmu.SLOT_HOST_LEVEL])
    smaller = state.stat[mmu.STAT_PAGES + PG_LEVEL_4K]
    if level == PG_LEVEL_1G:
        smaller += state.stat[mmu.STAT_PAGES + PG_LEVEL_2M]
    return bool(row[mmu.SLOT_LOGGING] == 0 and level > PG_LEVEL_4K and smaller != 0)


class Change(NamedTuple):
    """What faults of others may change under a vCPU.

    Attributes:
        splits: they may split or zap huge pages of a slot that is logged.
        replaces: they may map huge pages over tables of one that is not.
    """

    splits: bool
    replaces: bool


@jit_inline_llvm
def changes_by_others(state: MmuState) -> Change:
    """What faults may change of leaves that map other pages than the faulting one."""
    huge = state.stat[mmu.STAT_PAGES + PG_LEVEL_2M] + state.stat[mmu.STAT_PAGES + PG_LEVEL_1G] != 0
    splits, replaces = False, False
    for slot in range(state.slots.shape[0]):
        splits = splits or (huge and state.slots[slot, mmu.SLOT_LOGGING] != 0)
        replaces = replaces or tables_give_way(state, slot)
    return Change(splits, replaces)


@jit_inline_llvm
def kick_may_come(state: MmuState, clock: Clock, change: Change) -> bool:
    """Whether a fault may flush the TLBs of other vCPUs: a zap, or a huge page over a table; arm64 broadcasts."""
    zaps = change.splits and clock.regs[layout.FAULT_ZAPS] != 0
    return bool(state.conf[mmu.CONF_STAGE2] == 0 and (zaps or change.replaces))


class Lookahead(NamedTuple):
    """Where a vCPU may run without looking at the others.

    Attributes:
        low: first gfn of the leaves that belong to it alone; `high` the gfn behind them.
        anywhere: whether hits anywhere else are seen by nobody either; `writes` whether those of writes are.
        exits: whether it may leave the guest inside [low, high): not where a kick may come, which reaches only who
            is in the guest.
    """

    low: int
    high: int
    anywhere: bool
    writes: bool
    exits: bool


@jit_inline_llvm
def hits_anywhere(lookahead: Lookahead, access: Access) -> bool:
    """Whether an access that hits is seen by nobody wherever it is.

    A write hits through a leaf that is writable: no fault of another vCPU is there to change that leaf.
    """
    return bool(lookahead.anywhere or (lookahead.writes and access.write != 0))


@jit_inline_llvm
def lookahead_allowed(state: MmuState, clock: Clock) -> bool:
    """Whether any vCPU may: not while an ioctl waits for mmu_lock, nor with rings, of which a full one stops all."""
    return bool(state.conf[mmu.CONF_RING] == 0 and clock.regs[layout.VMM_WAITS] == 0)


@jit_inline_llvm
def has_own_cpu(clock: Clock, vcpu: int) -> bool:
    """Whether a vCPU shares its CPU with nobody now; else its elapsed time must be stretched."""
    return bool(vcpu != clock.now.shape[0] - 1 or clock.now[vcpu] >= clock.regs[layout.SHARED_UNTIL])


@jit_inline_llvm
def lookahead_of(state: MmuState, clock: Clock, vcpu: int, gfn: int) -> Lookahead:
    """A vCPU's lookahead around a gfn, as the tables are now."""
    allowed, change = lookahead_allowed(state, clock) and has_own_cpu(clock, vcpu), changes_by_others(state)
    low, high = private_range(clock, vcpu, gfn)
    if not allowed:
        high = low
    stay, kicks = not change.splits and not change.replaces, kick_may_come(state, clock, change)
    return Lookahead(low, high, allowed and stay, allowed and not kicks and not change.replaces, allowed and not kicks)


@jit_inline_llvm
def count_hits_random(
    state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, lookahead: Lookahead, room: int
) -> int:  # fmt: skip
    """How many accesses to pages that are drawn or listed are hits of 4K leaves, one after the other, up to `room`."""
    anywhere = hits_anywhere(lookahead, access)
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    most = min(stream[vcpu, program.ACCESSES] - position, room)
    far = most - FETCHED_AHEAD if state.l1.shape[0] > CACHED_LEAVES else 0
    run = 1
    while run < most:
        gfn = gfn_at(stream, clock.ram, clock.listed, vcpu, position + run)
        if run < far:
            later = gfn_at(stream, clock.ram, clock.listed, vcpu, position + run + FETCHED_AHEAD)
            prefetch(state.l1, later - linear)
        if not anywhere and not lookahead.low <= gfn < lookahead.high:
            break
        if state.l1[np.uint64(gfn - linear)] & need != need:
            break
        run += 1
    return run


@jit_inline_source
def count_hits_in_leaf(
    state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, need: int, room: int
) -> int:  # fmt: skip
    """How many accesses of a sweep are hits of one leaf, or of leaves of one 4K table, up to `room`."""
    stream, gfn = clock.stream, access.gfn
    huge, stride, row = not is_4k(state, gfn), stream[vcpu, program.STRIDE], ram_row_of_gfn(clock.ram, gfn)
    shift = SHIFT_1G if huge and state.l3[state.row_of[gfn >> SHIFT_1G]] & mmu.PRESENT else SHIFT_2M
    part = stream[vcpu, program.FIRST_GFN] + clock.ram[row, program.RAM_MOVE]
    end = min(part + stream[vcpu, program.PAGES], slot_end(clock, row))
    pages = min(end - gfn, (((gfn >> shift) + 1) << shift) - gfn)
    steps = pages if stride == 1 else (pages + stride - 1) // stride  # a division costs more than all the rest
    most = min(steps, room, stream[vcpu, program.ACCESSES] - position)
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
    """How many accesses from one that hits on surely do, all at the same pace, up to `room`.

    Where it is drawn whether an access writes, only the one.
    """
    share = clock.stream[vcpu, program.WRITE_PERMILLE]
    if room == 1 or 0 < share < program.ALWAYS:
        return 1
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    if clock.stream[vcpu, program.KIND] == program.STEPS:
        return count_hits_in_leaf(state, clock, vcpu, position, access, need, room)
    if state.conf[mmu.CONF_LINEAR] == mmu.NOT_LINEAR or not is_4k(state, access.gfn):
        return 1
    return count_hits_random(state, clock, vcpu, position, access, lookahead, room)


@jit_inline_llvm
def access_ps(clock: Clock, vcpu: int, kind: int) -> int:
    """What a hit of a kind takes, at the pace that the workload asks for."""
    return int(max(clock.price[kind], clock.stream[vcpu, program.PERIOD], 1))


@jit_inline_llvm
def kind_of(state: MmuState, gfn: int, write: int) -> int:
    """The price of a hit: by whether it writes, and through a leaf of 4K or a huge one."""
    small = is_4k(state, gfn)
    if write:
        return layout.WRITE_4K if small else layout.WRITE_HUGE
    return layout.READ_4K if small else layout.READ_HUGE
