"""The vCPUs in time: each executes its stream, and what it meets in the tables costs it.

The order inside a step is written in engine/run.py.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge_rarely, drop_first, next_of_others, note_tables, sift_down
from mmuviz.engine.fault_time import Access, carry_out, scaled
from mmuviz.engine.lock import (
    enqueue,
    grant_next,
    hold_for_read,
    hold_for_write,
    line_visit,
    open_to_readers,
    open_to_writers,
)
from mmuviz.ground.compiled import compiled, inlined, woven
from mmuviz.ground.pages import PAGES_PER_1G, SHIFT_1G, SHIFT_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.dirty_ring import flush_pml_buffer, ring_soft_full, write_to_clean
from mmuviz.mmu.events import log_is_low
from mmuviz.mmu.memslot import gfn_to_memslot
from mmuviz.mmu.state import I64, MmuState
from mmuviz.mmu.touch import is_4k, leaf_word
from mmuviz.workloads import stream as program
from mmuviz.workloads.stream import gfn_at, is_write_at

# What run_guests() stopped for.
REACHED: Final = 0
QUIET: Final = 1
LOG_LOW: Final = 2
STOPPED_RING: Final = 3

# What a turn ends with.
GOES_ON: Final = 0
LATER: Final = 1
QUEUED: Final = 2
ENDS: Final = 3
HAS_LOCK: Final = 4

SHARED_SPEED: Final = 2
"""Two threads that never sleep share a CPU: each runs half the time."""


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


@woven
def retiring(state: MmuState, stream: I64, vcpu: int, position: int, access: Access) -> int:
    """How many accesses from one that retires on surely do: those of its leaf, or of its 4K table.

    Of what is drawn, a page or whether an access writes, only the one access.
    """
    share = stream[vcpu, program.WRITE_PERMILLE]
    if stream[vcpu, program.KIND] != program.STEPS or 0 < share < program.ALWAYS:
        return 1
    gfn, huge = access.gfn, not is_4k(state, access.gfn)
    need = (mmu.WRITABLE | mmu.DIRTY) if access.write else mmu.PRESENT
    stride = stream[vcpu, program.STRIDE]
    shift = SHIFT_1G if huge and state.l3[state.row_of[gfn >> SHIFT_1G]] & mmu.PRESENT else SHIFT_2M
    left = stream[vcpu, program.FIRST_GFN] + stream[vcpu, program.PAGES] - gfn
    room = min(left, (((gfn >> shift) + 1) << shift) - gfn)
    most = min((room + stride - 1) // stride, stream[vcpu, program.ACCESSES] - position)
    if huge:
        return int(max(most, 1))
    at = (int(state.row_of[gfn >> SHIFT_1G]) << SHIFT_1G) | (gfn & (PAGES_PER_1G - 1))
    run = 1
    while run < most and state.l1[at + run * stride] & need == need:
        run += 1
    return run


@inlined
def step_ps(state: MmuState, clock: Clock, vcpu: int, access: Access) -> int:
    """What a retiring access takes, at the pace that the workload asks for."""
    small = is_4k(state, access.gfn)
    if access.write:
        kind = layout.WRITE_4K if small else layout.WRITE_HUGE
    else:
        kind = layout.READ_4K if small else layout.READ_HUGE
    return int(max(clock.price[kind], clock.stream[vcpu, program.PERIOD], 1))


@inlined
def set_dirty(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int) -> tuple[int, int]:
    """A write through a writable leaf whose dirty bit is clear, or the exit that a full PML buffer makes of it.

    Returns:
        The time after it, and accesses that retired: 1 or 0.
    """
    if write_to_clean(state, vcpu, access.gfn):
        logs = state.pml_count[vcpu] > 0
        extra = scaled(clock, vcpu, clock.price[layout.DIRTY_LOGGED]) if logs else 0
        return time + step_ps(state, clock, vcpu, access) + extra, 1
    entries = mmu.PML_ENTITY_NUM * clock.price[layout.PML_ENTRY]
    took = scaled(clock, vcpu, clock.price[layout.PML_FULL] + entries)
    charge_rarely(clock, vcpu, layout.PML, time, took)
    return time + took, 0


@compiled
def empty_pml(state: MmuState, clock: Clock, vcpu: int, time: int) -> int:
    """KVM empties the PML buffer at every exit; returns the time after it."""
    if state.pml_count[vcpu] == 0:
        return time
    took = scaled(clock, vcpu, state.pml_count[vcpu] * clock.price[layout.PML_ENTRY])
    flush_pml_buffer(state, vcpu)
    charge_rarely(clock, vcpu, layout.PML, time, took)
    return time + took


@compiled
def finish(state: MmuState, clock: Clock, vcpu: int, at: int) -> None:
    """The pass is over: the vCPU exits to userspace."""
    clock.now[vcpu] = empty_pml(state, clock, vcpu, at)
    clock.phase[vcpu] = layout.FINISHED
    clock.at[layout.RUNNING_VCPUS] -= 1
    drop_first(clock.heap, clock.now, clock.at)


@inlined
def take_part(clock: Clock, vcpu: int, since: int, now: int) -> int:
    """The end of a stretch of work where the vCPU shares its CPU with the spinning ioctl thread for a while."""
    shared_until = clock.at[layout.SHARED_UNTIL]
    if vcpu != clock.now.shape[0] - 1 or since >= shared_until:
        return now
    done = now - since
    left = (shared_until - since) // SHARED_SPEED
    return since + SHARED_SPEED * done if done <= left else now + left


@compiled
def wait_for_lock(clock: Clock, vcpu: int, reads: int) -> None:
    """Queue up for mmu_lock, out of time."""
    clock.phase[vcpu] = layout.WAITING
    enqueue(clock, vcpu, reads)
    drop_first(clock.heap, clock.now, clock.at)
    grant_next(clock)


@compiled
def spurious_fault(state: MmuState, clock: Clock, vcpu: int, now: int) -> int:
    """A vCPU that waited for the lock finds that another one has mapped the page; returns when it is over."""
    state.stat[mmu.STAT_PF_TAKEN] += 1
    state.stat[mmu.STAT_PF_SPURIOUS] += 1
    took = scaled(clock, vcpu, clock.price[layout.SPURIOUS])
    charge_rarely(clock, vcpu, layout.LOCK_WAIT, clock.began[vcpu], now - clock.asked[vcpu])
    charge_rarely(clock, vcpu, layout.EXIT, now, took)
    leave_lock(clock, vcpu, now, took)
    return now + took


@inlined
def leave_lock(clock: Clock, vcpu: int, now: int, took: int) -> None:
    """A vCPU that has mmu_lock since `now` keeps it for what it does, and lets the next one in."""
    granted = clock.phase[vcpu] == layout.GRANTED
    clock.phase[vcpu] = layout.RUNNING
    if clock.at[layout.WRITE_LOCKS] != 0:
        hold_for_write(clock, now, took)
    else:
        hold_for_read(clock, now + took)
        if granted:
            clock.at[layout.READERS_GRANTED] -= 1
            grant_next(clock)


@compiled
def pay_debt(clock: Clock, vcpu: int) -> None:
    """The first vCPU loses the time of kicks that came meanwhile, and with it perhaps its turn."""
    owed = clock.debt[vcpu]
    charge_rarely(clock, vcpu, layout.FLUSH, clock.now[vcpu], owed)
    clock.now[vcpu] += owed
    clock.debt[vcpu] = 0
    sift_down(clock.heap, clock.now, clock.at[layout.HEAP_SIZE])


@inlined
def note_turn(state: MmuState, clock: Clock, vcpu: int, began: int, retired: int) -> None:
    """Note what a turn did: accesses that retired, and the tables and leaves there are."""
    clock.stream[vcpu, program.POSITION] += retired
    clock.retired[vcpu] += retired
    clock.at[layout.RETIRED_ALL] += retired
    index = bin_of(clock, began)
    clock.series[index, layout.RETIRED] += retired
    note_tables(clock.series, index, state.stat)


@inlined
def enter_lock(clock: Clock, vcpu: int, time: int) -> int:
    """Take mmu_lock for a slow fault, as it is held on this MMU.

    Where it is held for write, the vCPU first exits and asks when it gets there.

    Returns:
        HAS_LOCK; LATER to ask at `clock.asked`; QUEUED where it has to wait.
    """
    phase, writes = clock.phase[vcpu], clock.at[layout.WRITE_LOCKS] != 0
    if phase == layout.GRANTED:
        return HAS_LOCK
    if phase == layout.RUNNING:
        clock.began[vcpu] = time
        clock.asked[vcpu] = time
        if writes:
            clock.asked[vcpu] = time + scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK])
            clock.phase[vcpu] = layout.ASKING
            return LATER
    if open_to_writers(clock, time) if writes else open_to_readers(clock, time):
        return HAS_LOCK
    wait_for_lock(clock, vcpu, 0 if writes else 1)
    return QUEUED


@woven
def fault(state: MmuState, clock: Clock, vcpu: int, access: Access, time: int, lockless: int) -> int:
    """A fault: under mmu_lock, which the vCPU has, or fixed without; returns when it is over."""
    wait, begin = 0, time
    if not lockless:
        wait, begin = time - clock.asked[vcpu], clock.began[vcpu]
        if clock.at[layout.WRITE_LOCKS] == 0:
            ahead = scaled(clock, vcpu, clock.price[layout.BEFORE_LOCK])
            comes = line_visit(clock, vcpu, time + ahead) - ahead
            wait += comes - time
            time = comes
    took = carry_out(state, clock, vcpu, access, begin, wait)
    if not lockless:
        leave_lock(clock, vcpu, time, took)
    return time + took


class Turn(NamedTuple):
    """A vCPU's turn so far.

    Attributes:
        why: GOES_ON, or what it ends with.
        time: of the vCPU now.
        position: of its next access.
        popped: the time at which it is its turn, whatever the others do.
    """

    why: int
    time: int
    position: int
    popped: int


@compiled
def use_big_lock(clock: Clock, vcpu: int, asked: int) -> int:
    """An exit to userspace is served under the program's big lock; returns when the vCPU is in the guest again."""
    at, took = clock.at, scaled(clock, vcpu, clock.price[layout.USERSPACE])
    begin = max(asked, at[layout.BIG_LOCK_FREE])
    at[layout.BIG_LOCK_FREE] = begin + took
    charge_rarely(clock, vcpu, layout.USERSPACE_LOCK, asked, begin - asked)
    charge_rarely(clock, vcpu, layout.EXIT, begin, took)
    clock.exit_at[vcpu] = begin + took + clock.stream[vcpu, program.EXIT_PERIOD]
    return int(begin + took)


@inlined
def userspace_exit(state: MmuState, clock: Clock, vcpu: int, turn: Turn, others: int) -> Turn:
    """The vCPU exits to userspace, which empties its PML buffer; while an ioctl is under way there it waits."""
    if turn.time != turn.popped and turn.time >= others:
        return Turn(LATER, turn.time, turn.position, turn.popped)
    time = empty_pml(state, clock, vcpu, turn.time)
    if clock.at[layout.BIG_LOCK_HELD] == 0:
        return Turn(GOES_ON, use_big_lock(clock, vcpu, time), turn.position, turn.popped)
    clock.now[vcpu] = time
    clock.phase[vcpu] = layout.BLOCKED
    drop_first(clock.heap, clock.now, clock.at)
    return Turn(QUEUED, time, turn.position, turn.popped)


@woven
def retire(state: MmuState, clock: Clock, vcpu: int, access: Access, turn: Turn, limit: int) -> Turn:
    """An access that retires, and those after it that surely do too, up to a time."""
    if turn.time >= limit and turn.time != turn.popped:
        return Turn(LATER, turn.time, turn.position, turn.popped)
    took = step_ps(state, clock, vcpu, access)
    run = min(retiring(state, clock.stream, vcpu, turn.position, access), max((limit - turn.time - 1) // took, 0) + 1)
    return Turn(GOES_ON, turn.time + run * took, turn.position + run, turn.popped)


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
    at, time = clock.at, turn.time
    running = clock.phase[vcpu] == layout.RUNNING
    access = look(state, clock, vcpu, turn.position)
    # Who runs ahead must not pass the moment at which the ioctl thread gets a lock that it waits for.
    alone = at[layout.EXCLUSIVE] != 0 and at[layout.VMM_WAITS] == 0
    unseen = alone or (at[layout.ZAPS] == 0 and at[layout.VMM_WAITS] == 0)
    if running and access.enough:
        return retire(state, clock, vcpu, access, turn, min(stop if unseen else others, clock.exit_at[vcpu]))
    lockless = running and fixed_without_lock(state, access)
    clean = running and access.write != 0 and access.word & mmu.WRITABLE != 0
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
    if turn.position >= clock.stream[vcpu, program.ACCESSES] or ring_soft_full(state, vcpu):
        return Turn(ENDS, turn.time, turn.position, turn.popped)
    stop = min(until, clock.at[layout.VMM_GRANT])
    others = min(next_of_others(clock), stop)
    if clock.phase[vcpu] == layout.RUNNING and turn.time >= clock.exit_at[vcpu]:
        return userspace_exit(state, clock, vcpu, turn, others)
    return access_step(state, clock, vcpu, turn, stop, others)


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
    while clock.at[layout.HEAP_SIZE] > 0:
        vcpu = clock.heap[0]
        began = clock.now[vcpu]
        if began >= min(until, clock.at[layout.VMM_GRANT]):
            return REACHED
        if log_is_low(state):
            return LOG_LOW
        if clock.debt[vcpu] > 0:
            pay_debt(clock, vcpu)
            continue
        turn = Turn(GOES_ON, began, clock.stream[vcpu, program.POSITION], began)
        while turn.why == GOES_ON:
            turn = step(state, clock, vcpu, turn, until)
            if turn.why == GOES_ON and log_is_low(state):
                turn = Turn(LATER, turn.time, turn.position, turn.popped)
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
