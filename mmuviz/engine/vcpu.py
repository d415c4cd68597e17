"""The vCPUs in time: each executes its stream, and what it meets in the tables costs it.

The order inside a step is written in engine/run.py.
"""

from __future__ import annotations

from typing import Final

from mmuviz.engine import clock as layout
from mmuviz.engine.ahead import may_fix_ahead, run_ahead
from mmuviz.engine.clock import Clock, drop_first, next_of_others, sift_down
from mmuviz.engine.exits import finish, set_dirty, userspace_exit
from mmuviz.engine.fault_cost import Access
from mmuviz.engine.in_turns import map_in_turns, may_take_turns
from mmuviz.engine.slow_fault import enter_lock, fault, spurious_fault
from mmuviz.engine.touch_time import fixed_without_lock, look, sight_of
from mmuviz.engine.turn import ENDS, GOES_ON, HAS_LOCK, LATER, QUEUED, Turn, note_turn, pay_debt, take_part
from mmuviz.ground.compiled import compiled, woven
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import ring_soft_full
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.state import MmuState
from mmuviz.mmu.touch import is_4k
from mmuviz.workloads import stream as program

# What run_guests() stopped for.
REACHED: Final = 0
QUIET: Final = 1
LOG_LOW: Final = 2
STOPPED_RING: Final = 3


@woven
def get_lock(state: MmuState, clock: Clock, vcpu: int, access: Access, turn: Turn, others: int) -> Turn:
    """Ask for mmu_lock, or find once it is there that another vCPU was faster.

    Returns:
        The turn: HAS_LOCK, or it goes on at another time, or ends.
    """
    if clock.phase[vcpu] == layout.GRANTED and access.enough:
        return Turn(GOES_ON, spurious_fault(state, clock, vcpu, turn.time), turn.position, turn.popped)
    why = enter_lock(clock, vcpu, turn.time)
    if why == LATER:
        asked = clock.asked[vcpu]
        return Turn(GOES_ON, asked, turn.position, asked if asked < others else turn.popped)
    return Turn(why, turn.time, turn.position, turn.popped)


@woven
def access_step(state: MmuState, clock: Clock, vcpu: int, turn: Turn, stop: int, others: int) -> Turn:
    """The next access: `stop` is when the ioctl thread does something, `others` when any other vCPU or it does."""
    time = turn.time
    running = clock.phase[vcpu] == layout.RUNNING
    access = look(state, clock, vcpu, turn.position)
    lockless = running and not access.enough and fixed_without_lock(state, access)
    if running and (access.enough or (lockless and may_fix_ahead(state) and is_4k(state, access.gfn))):
        exit_at = clock.exit_at[vcpu]
        return run_ahead(state, clock, vcpu, turn, min(others, exit_at), min(stop, exit_at))
    clean = running and access.write != 0 and access.word & mmu.WRITABLE != 0
    # Who runs ahead must not pass the moment at which the ioctl thread gets a lock that it waits for.
    sight = sight_of(state, clock, vcpu)
    alone = sight.low <= access.gfn < sight.high
    if time != turn.popped and time >= (stop if alone and (clean or lockless) else others):
        return Turn(LATER, time, turn.position, turn.popped)
    if clean:
        time, retired = set_dirty(state, clock, vcpu, access, time)
        return Turn(GOES_ON, time, turn.position + retired, turn.popped)
    if not lockless:
        turn = get_lock(state, clock, vcpu, access, turn, others)
        if turn.why != HAS_LOCK:
            return turn
    return Turn(GOES_ON, fault(state, clock, vcpu, access, time, 1 if lockless else 0), turn.position, turn.popped)


@woven
def step(state: MmuState, clock: Clock, vcpu: int, turn: Turn, until: int) -> Turn:
    """One access, or a run of accesses that retire, or one fault.

    Args:
        state: the tables, changed in place.
        clock: changed in place.
        vcpu: whose turn it is.
        turn: so far.
        until: see run_guests().

    Returns:
        The turn after it.
    """
    stop = min(until, clock.at[layout.VMM_GRANT])
    others = min(next_of_others(clock), stop)
    if turn.position >= clock.stream[vcpu, program.ACCESSES] or ring_soft_full(state, vcpu):
        why = ENDS if turn.time < others or turn.time == turn.popped else LATER
        return Turn(why, turn.time, turn.position, turn.popped)
    if clock.phase[vcpu] == layout.RUNNING and turn.time >= clock.exit_at[vcpu]:
        return userspace_exit(state, clock, vcpu, turn, others)
    return access_step(state, clock, vcpu, turn, stop, others)


@woven
def turn_of(state: MmuState, clock: Clock, vcpu: int, began: int, until: int) -> Turn:
    """What a vCPU does until somebody else goes on; see run_guests()."""
    turn = Turn(GOES_ON, began, clock.stream[vcpu, program.POSITION], began)
    while turn.why == GOES_ON:
        turn = step(state, clock, vcpu, turn, until)
        if turn.why == GOES_ON and log_is_low(state):
            turn = Turn(LATER, turn.time, turn.position, turn.popped)
    return turn


@compiled
def run_guests(state: MmuState, clock: Clock, until: int) -> int:
    """Let the vCPUs run, each event at its time, ties by vCPU.

    Args:
        state: the tables that the vCPUs run on, changed in place.
        clock: changed in place.
        until: time that no event reaches; what may retire unseen runs ahead of it no further.

    Returns:
        REACHED: every vCPU stands at or behind `until`, or the ioctl thread has mmu_lock.
        QUIET: no vCPU has anything to do. LOG_LOW: the event log wants emptying.
        STOPPED_RING: a vCPU's ring is full, and its phase says whose.

    Kernel: vcpu_enter_guest(), arch/x86/kvm/x86.c; direct_page_fault(), arch/x86/kvm/mmu/mmu.c
    """
    takes_turns = may_take_turns(state, clock)
    while clock.at[layout.HEAP_SIZE] > 0:
        if takes_turns:
            map_in_turns(state, clock, min(until, clock.at[layout.VMM_GRANT]))
        vcpu = clock.heap[0]
        began = clock.now[vcpu]
        if began >= min(until, clock.at[layout.VMM_GRANT]):
            return REACHED
        if log_is_low(state):
            return LOG_LOW
        if clock.debt[vcpu] > 0:
            pay_debt(clock, vcpu)
            continue
        turn = turn_of(state, clock, vcpu, began, until)
        note_turn(state, clock, vcpu, began, turn.position - clock.stream[vcpu, program.POSITION])
        if turn.why == QUEUED:
            continue
        clock.now[vcpu] = take_part(clock, vcpu, began, turn.time)
        if turn.why == LATER:
            sift_down(clock.heap, clock.now, clock.at[layout.HEAP_SIZE])
        elif turn.position < clock.stream[vcpu, program.ACCESSES]:
            clock.phase[vcpu] = layout.RING_FULL
            drop_first(clock.heap, clock.now, clock.at)
            return STOPPED_RING
        else:
            finish(state, clock, vcpu, clock.now[vcpu])
    return QUIET
