"""The access at a position of a vCPU's stream, and how far those that take no fault go on."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock
from mmuviz.engine.fault_cost import Access
from mmuviz.ground.compiled import inlined, woven
from mmuviz.ground.pages import PAGES_PER_1G, PG_LEVEL_1G, PG_LEVEL_2M, SHIFT_1G, SHIFT_2M, WORD_SHIFT
from mmuviz.ground.prefetch import prefetch
from mmuviz.mmu import state as mmu
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.touch import is_4k, leaf_word
from mmuviz.workloads import stream as program
from mmuviz.workloads.stream import gfn_at, is_write_at

FETCHED_AHEAD: Final = 16
"""Accesses from the one at hand to that whose leaf is asked for: about what memory takes, in faults.

It changes how fast the model runs and no result, as does the next: found by trying, with `make bench`."""
CACHED_LEAVES: Final = 1 << 24
"""Up to so many, at a byte each, a server's last-level cache holds them all, and asking is in vain."""
LONGEST_RUN: Final = 4096
"""Pages that are looked at ahead of one another; what lies behind the time up to which a vCPU may run is in vain."""


@inlined
def fixed_without_lock(state: MmuState, access: Access) -> bool:
    """Whether fast_page_fault() will fix this access."""
    if access.write == 0 or access.word & mmu.MMU_WRITABLE == 0 or state.conf[mmu.CONF_FAST_FAULT] == 0:
        return False
    if is_4k(state, access.gfn):
        return True
    logged = state.slots[gfn_to_memslot(state, access.gfn), mmu.SLOT_LOGGING] != 0
    return not logged and state.conf[mmu.CONF_FAST_FIXES_HUGE] != 0


@inlined
def look(state: MmuState, clock: Clock, vcpu: int, position: int) -> Access:
    """The access at a position, as the tables stand."""
    gfn, write = gfn_at(clock.stream, clock.listed, vcpu, position), is_write_at(clock.stream, vcpu, position)
    word = leaf_word(state, gfn)
    need = (mmu.WRITABLE | mmu.DIRTY) if write else mmu.PRESENT
    return Access(gfn, write, word, word & need == need)


@inlined
def fetch_ahead(state: MmuState, clock: Clock, vcpu: int, position: int) -> None:
    """Ask memory for what an access some way behind a position will need, where pages are drawn or listed."""
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    later = position + FETCHED_AHEAD
    if stream[vcpu, program.KIND] == program.STEPS or linear == mmu.NOT_LINEAR:
        return
    if later < stream[vcpu, program.ACCESSES]:
        gfn = gfn_at(stream, clock.listed, vcpu, later)
        prefetch(state.l1, gfn - linear)
        prefetch(state.dirty, state.slots[0, mmu.SLOT_DIRTY_AT] + ((gfn - state.slots[0, mmu.SLOT_BASE]) >> WORD_SHIFT))


@inlined
def own_part(clock: Clock, vcpu: int) -> tuple[int, int]:
    """The first gfn, and the one behind the last, of the leaves that surely belong to this vCPU alone.

    The largest leaf that may map a page counts: into one at the border the next vCPU's part reaches.
    """
    if clock.at[layout.EXCLUSIVE] == 0:
        return 0, 0
    first, shift = clock.stream[vcpu, program.FIRST_GFN], clock.at[layout.LEAF_SHIFT]
    end = first + clock.stream[vcpu, program.PAGES]
    return int(((first + (1 << shift) - 1) >> shift) << shift), int((end >> shift) << shift)


@inlined
def leaves_stay(state: MmuState) -> bool:
    """Whether no fault changes the leaf of another page: it splits or zaps huge pages of slots that are logged."""
    if state.stat[mmu.STAT_PAGES + PG_LEVEL_2M] + state.stat[mmu.STAT_PAGES + PG_LEVEL_1G] == 0:
        return True
    logged = 0
    for slot in range(state.slots.shape[0]):
        logged |= state.slots[slot, mmu.SLOT_LOGGING]
    return bool(logged == 0)


class Sight(NamedTuple):
    """Where a vCPU may run on without looking at the others.

    Attributes:
        low: first gfn of what belongs to it alone, if no kick may come meanwhile; else low equals high.
        high: the gfn behind the last.
        anywhere: whether accesses that retire may run on in the parts of others too.
    """

    low: int
    high: int
    anywhere: bool


@inlined
def is_free(state: MmuState, clock: Clock) -> bool:
    """Whether anybody may run on: not while an ioctl waits for mmu_lock, nor with rings; one that is full stops all."""
    rings, waits = state.conf[mmu.CONF_RING] != 0, clock.at[layout.VMM_WAITS] != 0
    return not rings and not waits and clock.at[layout.ONE_BY_ONE] == 0


@inlined
def has_own_cpu(clock: Clock, vcpu: int) -> bool:
    """Whether a vCPU shares its CPU with nobody now; else it is later than it looks."""
    return bool(vcpu != clock.now.shape[0] - 1 or clock.now[vcpu] >= clock.at[layout.SHARED_UNTIL])


@inlined
def zaps_kick(state: MmuState, clock: Clock) -> bool:
    """Whether a fault on a huge page kicks: who zaps does, but on arm64, which broadcasts."""
    return bool(clock.at[layout.ZAPS] != 0 and state.conf[mmu.CONF_STAGE2] == 0)


@inlined
def sight_of(state: MmuState, clock: Clock, vcpu: int) -> Sight:
    """A vCPU's sight, as the tables stand."""
    free, stay = is_free(state, clock) and has_own_cpu(clock, vcpu), leaves_stay(state)
    low, high = own_part(clock, vcpu)
    if not free or (zaps_kick(state, clock) and not stay):
        high = low
    return Sight(low, high, free and stay)


@inlined
def retiring_drawn(state: MmuState, clock: Clock, vcpu: int, position: int, need: int, sight: Sight) -> int:
    """How many accesses to pages that are drawn or listed retire through 4K leaves, one after the other."""
    stream, linear = clock.stream, state.conf[mmu.CONF_LINEAR]
    most = min(stream[vcpu, program.ACCESSES] - position, LONGEST_RUN)
    far = most - FETCHED_AHEAD if state.l1.shape[0] > CACHED_LEAVES else 0
    run = 1
    while run < most:
        gfn = gfn_at(stream, clock.listed, vcpu, position + run)
        if run < far:
            prefetch(state.l1, gfn_at(stream, clock.listed, vcpu, position + run + FETCHED_AHEAD) - linear)
        if not sight.anywhere and not sight.low <= gfn < sight.high:
            break
        if state.l1[np.uint64(gfn - linear)] & need != need:
            break
        run += 1
    return run


@woven
def retiring_steps(state: MmuState, stream: I64, vcpu: int, position: int, access: Access, need: int) -> int:
    """How many accesses of a sweep retire through one leaf, or through leaves of one 4K table."""
    gfn, huge, stride = access.gfn, not is_4k(state, access.gfn), stream[vcpu, program.STRIDE]
    shift = SHIFT_1G if huge and state.l3[state.row_of[gfn >> SHIFT_1G]] & mmu.PRESENT else SHIFT_2M
    left = stream[vcpu, program.FIRST_GFN] + stream[vcpu, program.PAGES] - gfn
    room = min(left, (((gfn >> shift) + 1) << shift) - gfn)
    steps = room if stride == 1 else (room + stride - 1) // stride  # a division costs more than all the rest
    most = min(steps, stream[vcpu, program.ACCESSES] - position)
    if huge:
        return int(max(most, 1))
    at = (int(state.row_of[gfn >> SHIFT_1G]) << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))
    run = 1
    while run < most and state.l1[np.uint64(at + run * stride)] & need == need:
        run += 1
    return run


@woven
def retiring(state: MmuState, clock: Clock, vcpu: int, position: int, access: Access, sight: Sight) -> int:
    """How many accesses from one that retires on surely do, all at the same pace.

    Where it is drawn whether an access writes, only the one.
    """
    share = clock.stream[vcpu, program.WRITE_PERMILLE]
    if 0 < share < program.ALWAYS:
        return 1
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    if clock.stream[vcpu, program.KIND] == program.STEPS:
        return retiring_steps(state, clock.stream, vcpu, position, access, need)
    if state.conf[mmu.CONF_LINEAR] == mmu.NOT_LINEAR or not is_4k(state, access.gfn):
        return 1
    return retiring_drawn(state, clock, vcpu, position, need, sight)


@inlined
def pace_ps(clock: Clock, vcpu: int, kind: int) -> int:
    """What a retiring access of a kind takes, at the pace that the workload asks for."""
    return int(max(clock.price[kind], clock.stream[vcpu, program.PERIOD], 1))


@inlined
def kind_of(state: MmuState, gfn: int, write: int) -> int:
    """The price of a retiring access: by whether it writes, and through a leaf of 4K or a huge one."""
    small = is_4k(state, gfn)
    if write:
        return layout.WRITE_4K if small else layout.WRITE_HUGE
    return layout.READ_4K if small else layout.READ_HUGE
