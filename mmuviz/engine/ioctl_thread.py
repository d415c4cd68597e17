"""The thread that calls ioctls, in compiled code: its time, mmu_lock, TLB flushes, and walks over time."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.jit import jit, jit_inline_source
from mmuviz.core.pages import PAGES_PER_1G, PAGES_PER_2M, PG_LEVEL_2M, SHIFT_2M
from mmuviz.costs.ledger import SCALE
from mmuviz.engine import clock as layout
from mmuviz.engine.account import spread_column, widen_bins
from mmuviz.engine.clock import FOREVER, Clock
from mmuviz.engine.cost_table import CostTable
from mmuviz.engine.frame_buffer import NOWHERE as NO_GFN
from mmuviz.engine.frame_buffer import WALK, WALK_GFN, FrameBuffer, next_stop, take_frames_compiled
from mmuviz.engine.ioctl_cost import LINE_BYTES, MOVED_BYTES
from mmuviz.engine.lock import enqueue, grant_next, open_to_readers, open_to_writers
from mmuviz.engine.throttle import next_throttle, throttle_vcpus
from mmuviz.engine.vcpu import LOG_LOW, STOPPED_RING, WANTS_TRACE, ZAP_OTHERS, run_guests
from mmuviz.mmu import state as mmu
from mmuviz.mmu import walks, work
from mmuviz.mmu.state import I64, USERSPACE, MmuState
from mmuviz.mmu.walks import Walk

# Modes of mmu_lock.
FREE: Final = 0
READS: Final = 1
WRITES: Final = 2

# Entries of `IoctlThread.at`. Times are ps.
TIME: Final = 0
WANTED: Final = 1
"""Mode in which the current path holds mmu_lock, FREE if it does not take it."""
HELD: Final = 2
SINCE: Final = 3
"""Time at which it got mmu_lock."""
WAITED: Final = 4
"""Its waits for locks in the call, summed."""
LONGEST_HOLD: Final = 5
MISS: Final = 6
"""Cost of a cache line that the call's own footprint has evicted, in hundredths of a ps."""
TOPUP: Final = 7
"""Cost of filling a VM-wide split cache that the call frees again."""
DUMMY_FAULT: Final = 8
"""Cost of one call of the pre-split's fault handler, all of it."""
PLACE: Final = 9
"""Column of the series where splits are counted, NOWHERE for none."""
PHASE: Final = 10
LOCKS_EACH: Final = 11
"""Whether mmu_lock is taken again for each part of a walk."""
WITH_SPINNER: Final = 12
"""Whether its core's other thread is a vCPU that spins in userspace."""
THREAD_ENTRIES: Final = 13
NOWHERE: Final = -1
LAST_TIME: Final = FOREVER - 1
"""Value of a time to run to: until the pass is over, or until the awaited event."""

# Phases of a walk.
TO_LOCK: Final = 0
TO_CHANGE: Final = 1
TO_RETAKE: Final = 2
IN_TIME: Final = 3

# Results of walk_in_time(), in addition to those of run_guests(), which are below 10.
STOP: Final = 10
"""Python must be called."""
WAITS: Final = 11
"""Another thread has mmu_lock."""
LOG_IS_LOW: Final = 12
"""The event log of the tables that the walk changes must be emptied."""
ENDED: Final = 13
TIME_CAME: Final = 14


class IoctlThread(NamedTuple):
    """Arrays of the thread that calls ioctls, changed in place.

    Attributes:
        at: int64[THREAD_ENTRIES].
        seen: int64[WORK_ENTRIES], the machine's work that is charged already.
        steps: int64[WORK_ENTRIES], cost of each entry in an ioctl, in hundredths of a ps.
        with_spinner: int64[WORK_ENTRIES], the same while its core's other thread spins.
        moved: int64[WORK_ENTRIES], bytes that each entry moves between memory and cache.
    """

    at: I64
    seen: I64
    steps: I64
    with_spinner: I64
    moved: I64


def new_thread(costs: CostTable, counts: I64) -> IoctlThread:
    """A thread at time 0 with nothing to charge.

    Args:
        costs: costs of its VM.
        counts: int64[WORK_ENTRIES], the machine's work so far.
    """
    at = np.zeros(THREAD_ENTRIES, dtype=np.int64)
    at[PLACE] = NOWHERE
    return IoctlThread(at, counts.copy(), costs.steps, costs.with_spinner, MOVED_BYTES)


# mmu_lock


@jit
def acquire(clock: Clock, at: I64) -> int:
    """Request mmu_lock in the current path's mode; 1 if the thread has it at once or does not take it."""
    time, reads = at[TIME], 1 if at[WANTED] == READS else 0
    if at[WANTED] == FREE:
        return 1
    is_open = open_to_readers(clock, time) if reads else open_to_writers(clock, time)
    if clock.regs[layout.RUNNING_VCPUS] != 0 and not is_open:
        clock.regs[layout.THREAD_WAITS] = 1
        enqueue(clock, clock.now.shape[0], reads)
        grant_next(clock)
        return 0
    hold(clock, at)
    return 1


@jit
def hold(clock: Clock, at: I64) -> None:
    """Give mmu_lock to the thread from now on."""
    if at[WANTED] == READS:
        clock.regs[layout.THREAD_READS] = 1
    else:
        clock.regs[layout.WRITER_PENDING] = 0
        clock.regs[layout.FREE_AT] = FOREVER
    at[HELD], at[SINCE] = at[WANTED], at[TIME]


@jit
def release(clock: Clock, at: I64) -> None:
    """Release mmu_lock, if the thread has it."""
    if at[HELD] == FREE:
        return
    regs, time = clock.regs, at[TIME]
    took = time - at[SINCE]
    at[LONGEST_HOLD] = max(at[LONGEST_HOLD], took)
    if at[HELD] == READS:
        regs[layout.THREAD_READS] = 0
        regs[layout.READERS_END] = max(regs[layout.READERS_END], time)
    else:
        regs[layout.FREE_AT] = time
    at[HELD] = FREE
    grant_next(clock)


# The work of the thread, and its time


@jit
def note(clock: Clock, time: int, column: int, count: int) -> None:
    """Add to a column of the sums over time."""
    if time >> clock.regs[layout.BIN_SHIFT] >= layout.BINS:
        widen_bins(clock.series, clock.lanes, clock.regs, time)
    clock.series[time >> clock.regs[layout.BIN_SHIFT], column] += count


@jit
def advance(clock: Clock, at: I64, took: int) -> None:
    """Let the thread work for a time; the vCPUs have still to run up to its end."""
    spread_column(clock.series, clock.lanes, clock.regs, layout.IOCTL, at[TIME], took)
    at[TIME] += took


@jit
def work_ps(thread: IoctlThread, counts: I64, first: int) -> int:
    """Time of the machine's work that is not charged yet, and charge it.

    Faults of vCPUs during this work count in other entries.

    Args:
        thread: changed in place.
        counts: int64[WORK_ENTRIES], the machine's work so far.
        first: entry to begin with: WORK_GUEST_END, or 0 if the thread itself did work that counts as a fault's.
    """
    cost, moved, spins = 0, 0, thread.at[WITH_SPINNER] != 0
    for entry in range(first, work.WORK_ENTRIES):
        did = counts[entry] - thread.seen[entry]
        cost += did * (thread.with_spinner[entry] if spins else thread.steps[entry])
        moved += did * thread.moved[entry]
    for entry in range(work.WORK_ENTRIES):
        thread.seen[entry] = counts[entry]
    return int(cost // SCALE + moved // LINE_BYTES * thread.at[MISS] // SCALE)


@jit
def broadcast_ps(clock: Clock, time: int, times: int) -> int:
    """Time of arm64's TLBIs; the whole machine does one at a time."""
    free = max(clock.regs[layout.TLBI_FREE], time) + times * clock.price[layout.TLBI]
    clock.regs[layout.TLBI_FREE] = free
    return int(free - time)


@jit
def kick_ps(clock: Clock, time: int, times: int) -> int:
    """Time to kick every vCPU in the guest; each leaves it, which empties its PML buffer.

    An IPI without waiting is assumed to cost as much as one of a flush.
    """
    kicked = 0
    for vcpu in range(clock.phase.shape[0]):
        if clock.phase[vcpu] == layout.RUNNING and clock.in_kernel_until[vcpu] <= time:
            clock.pending_kick_ps[vcpu] += times * clock.price[layout.KICK]
            kicked += 1
    return int(times * kicked * clock.price[layout.FLUSH_VCPU])


@jit
def flush_ps(clock: Clock, time: int, times: int, broadcasts: int) -> int:
    """Time of TLB flushes; every vCPU in the guest is kicked, except on arm64, which broadcasts."""
    note(clock, time, layout.FLUSHES, times)
    if broadcasts != 0:
        return broadcast_ps(clock, time, times)
    return int(times * clock.price[layout.FLUSH_BASE] + kick_ps(clock, time, times))


@jit
def run_vcpus_until(guests: MmuState, clock: Clock, buffer: FrameBuffer, until: int, reaps: int) -> int:
    """Let the vCPUs run up to a time, or until the thread gets the lock that it waits for; take frames meanwhile.

    Args:
        guests: the tables that the vCPUs run on, changed in place.
        clock: changed in place.
        buffer: changed in place.
        until: the time, or LAST_TIME.
        reaps: 1 if the thread can reap a full ring; otherwise the ring's vCPU waits and the others continue.

    Returns:
        TIME_CAME; STOP if Python must be called; LOG_LOW, ZAP_OTHERS, WANTS_TRACE or STOPPED_RING.
    """
    regs = clock.regs
    while True:
        stop, tick = next_stop(clock, buffer.at), next_throttle(clock)
        while regs[layout.RUNNING_VCPUS] != 0:
            why = run_guests(guests, clock, min(until, stop, tick))
            if why in (LOG_LOW, ZAP_OTHERS, WANTS_TRACE) or (why == STOPPED_RING and reaps != 0):
                return why
            if why != STOPPED_RING:
                break
        throttles = tick <= min(until, stop) and regs[layout.THREAD_GRANTED_AT] == FOREVER
        if throttles and regs[layout.RUNNING_VCPUS] != 0:
            throttle_vcpus(guests, clock, tick)
            continue
        # Nothing is recorded after the guest's last moment.
        over = regs[layout.RUNNING_VCPUS] == 0 and (reaps != 0 or until == LAST_TIME)
        if stop > until or over or regs[layout.THREAD_GRANTED_AT] != FOREVER:
            return TIME_CAME
        if not take_frames_compiled(guests, clock, buffer, stop):
            return STOP


# Walks over time


@jit_inline_source
def after_change(clock: Clock, at: I64, walk: I64) -> None:
    """Count a part of a walk that has changed the tables; release mmu_lock if the part dropped it for memory."""
    if at[PLACE] != NOWHERE and walk[walks.GROWTH + walks.SPLITS] != 0:
        note(clock, at[TIME], at[PLACE], walk[walks.GROWTH + walks.SPLITS])
    if walk[walks.GROWTH + walks.ZAPS] != 0:
        note(clock, at[TIME], layout.ZAPS, walk[walks.GROWTH + walks.ZAPS])
    if walk[walks.KIND] == walks.PRE_SPLIT and walk[walks.FLUSHES] != 0:  # the price of its faults includes them
        note(clock, at[TIME], layout.FLUSHES, walk[walks.FLUSHES])
        walk[walks.FLUSHES] = 0
    if walk[walks.DROPS] != 0:
        release(clock, at)


@jit_inline_source
def part_ps(tables: MmuState, clock: Clock, thread: IoctlThread, walk: I64) -> int:
    """Time of a part of a walk."""
    at, took, kind = thread.at, 0, walk[walks.KIND]
    if kind in (walks.SPLIT, walks.CLEAR_WORDS) and walk[walks.GROWTH + walks.TLBIS] != 0:
        took += broadcast_ps(clock, at[TIME], walk[walks.GROWTH + walks.TLBIS])
    if kind == walks.PRE_SPLIT:
        spanned = walk[walks.HIGH] - walk[walks.LOW]
        if walk[walks.LEVEL] == PG_LEVEL_2M:
            spanned = ((walk[walks.HIGH] - 1) >> SHIFT_2M) - (walk[walks.LOW] >> SHIFT_2M) + 1
        took += spanned * at[DUMMY_FAULT]
    if kind == walks.CLEAR_WORDS:  # the caches of an enable are kept as long as its walks run
        took += walk[walks.GROWTH + walks.TOPUPS] * at[TOPUP]
    return int(took + work_ps(thread, tables.work, work.WORK_GUEST_END))


@jit_inline_source
def change_part(tables: MmuState, clock: Clock, at: I64, walk: Walk) -> int:
    """Change the tables for the next part of a walk; 0, or the reason to stop first: ENDED, WAITS or LOG_IS_LOW."""
    if at[PHASE] == TO_LOCK:
        if walk.at[walks.AT] >= walk.at[walks.END]:
            return ENDED
        if at[LOCKS_EACH] != 0 and at[HELD] == FREE and acquire(clock, at) == 0:
            return WAITS
        at[PHASE] = TO_CHANGE
    if at[PHASE] == TO_CHANGE:
        unit = PAGES_PER_1G if clock.regs[layout.RUNNING_VCPUS] == 0 else PAGES_PER_2M
        if walks.change_next(tables, walk, unit) == walks.LOG_LOW:
            return LOG_IS_LOW
        after_change(clock, at, walk.at)
        at[PHASE] = TO_RETAKE
    if walk.at[walks.DROPS] != 0 and at[HELD] == FREE and acquire(clock, at) == 0:
        return WAITS
    return 0


@jit_inline_source
def end_of_part(tables: MmuState, clock: Clock, at: I64, walk: I64) -> None:
    """End a part when its time has come: it flushes, which takes time again; otherwise the next part follows."""
    tables.stat[mmu.STAT_STAMP], tables.stat[mmu.STAT_WHO] = at[TIME], USERSPACE
    if walk[walks.FLUSHES] != 0:
        flushes = walk[walks.FLUSHES]
        walk[walks.FLUSHES] = 0
        advance(clock, at, flush_ps(clock, at[TIME], flushes, tables.conf[mmu.CONF_STAGE2]))
        return
    if at[LOCKS_EACH] != 0:
        release(clock, at)
    at[PHASE] = TO_LOCK


@jit
def walk_in_time(
    tables: MmuState, guests: MmuState, clock: Clock, thread: IoctlThread, frames: FrameBuffer, walk: Walk
) -> int:  # fmt: skip
    """Run a walk: each part changes the tables at its beginning and then takes its time.

    A part spans 2 MiB while vCPUs run, else 1 GiB.

    Args:
        tables: tables that the walk changes.
        guests: tables that the vCPUs run on.
        clock: changed in place.
        thread: changed in place; its phase is TO_LOCK at first.
        frames: changed in place.
        walk: changed in place.

    Returns:
        ENDED; or the reason to stop before it continues: STOP, WAITS, LOG_IS_LOW, LOG_LOW, ZAP_OTHERS or WANTS_TRACE.
    """
    at = thread.at
    while True:
        if at[PHASE] != IN_TIME:
            why = change_part(tables, clock, at, walk)
            if why == ENDED:
                frames.at[WALK], frames.at[WALK_GFN] = 0, NO_GFN
            if why != 0:
                return why
            advance(clock, at, part_ps(tables, clock, thread, walk.at))
            at[PHASE] = IN_TIME
        frames.at[WALK], frames.at[WALK_GFN] = walk.at[walks.KIND] + 1, walks.gfn_of(tables, walk.at)
        why = run_vcpus_until(guests, clock, frames, at[TIME], 0)
        if why != TIME_CAME:
            return why
        end_of_part(tables, clock, at, walk.at)
