"""The clock's state as flat arrays: each vCPU's position in time, the prices, and the sums.

Times are int64 picoseconds from the start of the run.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.mmu.state import I64

FOREVER: Final = 1 << 62
SPEED_SHIFT: Final = 10
FULL_SPEED: Final = 1 << SPEED_SHIFT
"""`Clock.slowdown_1024` of a vCPU with a core of its own; at twice this value its work takes twice as long."""

# Values of `Clock.phase`.
RUNNING: Final = 0
ASKING: Final = 1
GRANTED: Final = 2
WAITING: Final = 3
FINISHED: Final = 4
RING_FULL: Final = 5
BLOCKED: Final = 6

# Causes of a stall: columns of `Clock.stall`, and the first columns of `Clock.series`.
EXIT: Final = 0
LOCK_WAIT: Final = 1
SPLIT: Final = 2
ALLOC: Final = 3
FLUSH: Final = 4
RING: Final = 5
PML: Final = 6
USERSPACE_LOCK: Final = 7
CAUSES: Final = 8
CAUSE_NAMES: Final = (
    "exit_and_fault",
    "lock_wait",
    "split_or_zap",
    "allocation",
    "tlb_flush",
    "ring_full",
    "pml_full",
    "userspace_lock",
)

# Further columns of `Clock.series`: sums over a bin.
SLOW_WRITE: Final = CAUSES
ACCESSES: Final = CAUSES + 1
FAULTS: Final = CAUSES + 2
"""FAULTS plus an index of FAULT_PATHS: the faults of that path."""
SPLITS: Final = CAUSES + 6
"""SPLITS plus an index of SPLIT_PLACES: the splits in that place."""
ZAPS: Final = CAUSES + 10
FLUSHES: Final = CAUSES + 11
PML_FULLS: Final = CAUSES + 12
RING_FULLS: Final = CAUSES + 13
USERSPACE_EXITS: Final = CAUSES + 14
IOCTL: Final = CAUSES + 15
THROTTLED: Final = CAUSES + 16
"""Time that throttled vCPUs sleep during a migration; not a stall."""
BYTES_SENT: Final = CAUSES + 17
SERIES_COLUMNS: Final = CAUSES + 18
BINS: Final = 512

# Paths of a fault: columns of `Clock.faults`.
NOT_PRESENT: Final = 0
FAST_FIX: Final = 1
SLOW_PROTECTED: Final = 2
SPURIOUS_FAULT: Final = 3
FAULT_PATHS: Final = ("not_present", "fast", "slow_protected", "spurious")

# Places of splits.
AT_ENABLE: Final = 0
IN_CLEAR: Final = 1
IN_FAULT: Final = 2
IN_PRE_SPLIT: Final = 3
SPLIT_PLACES: Final = ("enable", "clear", "fault", "pre_split")

# Uses of a vCPU's time while it does not run: columns of `Clock.lanes`.
LANE_FAULT: Final = 0
LANE_LOCK: Final = 1
LANE_BLOCKED: Final = 2
LANE_IDLE: Final = 3
LANES: Final = 4

TOP: Final = 100
"""Number of stalls that are kept one by one: the longest."""
# Columns of `Clock.top`.
TOP_STALL: Final = 0
TOP_TIME: Final = 1
TOP_VCPU: Final = 2
TOP_GFN: Final = 3
TOP_CAUSE: Final = 4
TOP_COLUMNS: Final = 5

BUCKETS: Final = 512
SUB_BITS: Final = 3
"""A histogram's bucket spans an eighth of an octave."""

# Entries of `Clock.regs`.
HEAP_SIZE: Final = 0
"""vCPUs in `Clock.heap`."""
BIN_SHIFT: Final = 1
"""A bin is 2 ** BIN_SHIFT ps wide."""
EXCLUSIVE: Final = 2
"""1 where each vCPU accesses a part of memory of its own."""
FAULT_ZAPS: Final = 3
"""1 where a write fault zaps the huge page instead of splitting it."""
CORES: Final = 4
"""Cores of the host."""
RUNNING_VCPUS: Final = 5
"""vCPUs that have not finished their streams."""
LINE_FREE: Final = 6
"""Time at which mmu_lock's cache line can leave the core that has it."""
LINE_OWNER: Final = 7
"""That core, -1 for none."""
TLBI_FREE: Final = 8
"""Time at which the machine has done all broadcast TLBIs requested so far (arm64)."""
FREE_AT: Final = 9
"""Time at which the last writer releases mmu_lock, FOREVER while the ioctl thread holds it for write."""
READERS_END: Final = 10
"""Time at which the last of the vCPUs that hold it for read releases it."""
WRITER_PENDING: Final = 11
"""1 while a waiter has been granted mmu_lock for write and does not hold it yet."""
QUEUE_HEAD: Final = 12
"""Place in `Clock.queue` of the first waiter."""
QUEUE_COUNT: Final = 13
"""Waiters in `Clock.queue`."""
READERS_GRANTED: Final = 14
"""vCPUs that have been granted mmu_lock for read and do not hold it yet."""
THREAD_GRANTED_AT: Final = 15
"""Time at which the ioctl thread gets mmu_lock that it waits for, FOREVER while that is unknown."""
THREAD_READS: Final = 16
"""1 while the ioctl thread holds mmu_lock for read."""
WRITE_LOCKS: Final = 17
"""1 where faults take mmu_lock for write; see PERMISSIONS_READ."""
RETIRED_ALL: Final = 18
"""Accesses of all vCPUs that retired."""
SHARED_UNTIL: Final = 19
"""Time up to which the last vCPU shares its core with dirty_log_perf_test's main thread."""
THREAD_WAITS: Final = 20
"""1 while the ioctl thread waits for mmu_lock."""
BIG_LOCK_HELD: Final = 21
"""1 while the ioctl thread holds userspace's big lock."""
BIG_LOCK_FREE: Final = 22
"""Time at which that lock is free again for the next exit to userspace."""
LEAF_SHIFT: Final = 23
"""log2 of the pages of the largest leaf that backs memory."""
ONE_BY_ONE: Final = 24
"""1 disables lookahead, which is slow; used by the test that compares both."""
TOP_COUNT: Final = 25
"""Rows of `Clock.top` in use."""
PERIOD_LINE_FREE: Final = 26
"""LINE_FREE when the last period began; the next entry is LINE_OWNER then: see `Clock.period`."""
PERIOD_LINE_OWNER: Final = 27
ZERO_FREE: Final = 28
"""Time at which the machine has zeroed all pages requested so far."""
THROTTLE_AT: Final = 29
"""Time of the next throttle tick, FOREVER for none; next come THROTTLE_SLEEP and THROTTLE_PERIOD, ps."""
THROTTLE_SLEEP: Final = 30
THROTTLE_PERIOD: Final = 31
THROTTLE_RETRY: Final = 32
"""Time of the next retry for vCPUs that could not sleep yet, FOREVER for none."""
PERMISSIONS_READ: Final = 33
"""1 where a write fault that makes a 4K leaf of a logged slot writable again takes mmu_lock for read all the same."""
REGS: Final = 34
KEPT: Final = (EXCLUSIVE, FAULT_ZAPS, WRITE_LOCKS, PERMISSIONS_READ, LEAF_SHIFT, ONE_BY_ONE)
"""Entries that describe the VM and its host, not the run so far."""

# Columns of `Clock.period`.
PERIOD_NOW: Final = 0
PERIOD_LINE: Final = 1
PERIOD_WAIT: Final = 2
PERIOD_SPTE: Final = 3
PERIOD_COLUMNS: Final = 4

# Entries of `Clock.price`, ps each; after them, the price in a fault of each entry of the machine's work.
READ_4K: Final = 0
READ_HUGE: Final = 1
WRITE_4K: Final = 2
WRITE_HUGE: Final = 3
FAST: Final = 4
SPURIOUS: Final = 5
HOLD: Final = 6
BEFORE_LOCK: Final = 7
ENTER: Final = 8
DIRTY_LOGGED: Final = 9
LINE: Final = 10
HANDOFF: Final = 11
FLUSH_BASE: Final = 12
FLUSH_VCPU: Final = 13
KICK: Final = 14
TLBI: Final = 15
LOCAL_TLBI: Final = 16
USERSPACE: Final = 17
ZERO: Final = 18
"""Zeroing a 4K page; the machine's memory zeroes one page at a time, so other vCPUs' zeroing waits."""
HANDOFF_FEW: Final = 19
PRICES: Final = 20


class Clock(NamedTuple):
    """Arrays of a run, changed in place.

    Attributes:
        now: int64[vcpus], time of each vCPU's next action.
        phase: int64[vcpus], kind of that action.
        began: int64[vcpus], begin of the current fault; `asked` its request for mmu_lock.
        host_ps: int64[vcpus], the host's time for the memory of the current fault.
        pending_kick_ps: int64[vcpus], time of kicks that the vCPU has not been charged yet.
        in_kernel_until: int64[vcpus], end of its time in KVM or userspace, where no kick reaches it.
        idle_since: int64[vcpus], time at which it last finished a pass; FOREVER while it has one.
        slowdown_1024: int64[vcpus], its time relative to a core of its own, in 1/1024.
        stream: int64[vcpus, columns], see mmuviz/workloads/stream.py; `listed` int64[n], gfns of its lists.
        ram: int64[slots, 2], see mmuviz/workloads/stream.py.
        heap: int64[vcpus], vCPUs by (now, number), a binary heap.
        queue: int64[vcpus + 1], the FIFO queue for mmu_lock; the last number is the ioctl thread's. `reads`
            int64[vcpus + 1] is 1 for a request, or a vCPU's current fault, that takes it for read.
        exit_at: int64[vcpus], time of each vCPU's next exit to userspace.
        core: int64[vcpus], the core of the host that each vCPU runs on.
        line_arrival: int64[cores], time at which the lock's cache line next reaches a core.
        period: int64[vcpus, PERIOD_COLUMNS], `now` and `line_arrival` of its core when the last period began, and the
            wait and leaf of its last fault: see mmuviz/engine/repeated_periods.py.
        regs: int64[REGS]; `price` int64[PRICES + WORK_ENTRIES].
        stall: int64[vcpus, CAUSES], ps; `slow_write_ps`, `accesses`, `worst_ps` int64[vcpus].
        throttled_ps: int64[vcpus], total sleep of each; `sleep_from` and `sleep_until` int64[vcpus], its last sleep;
            `sleep_owed` 1 if its sleep was postponed because it could not sleep.
        faults: int64[vcpus, 4], by path.
        hist: int64[CAUSES + 1, BUCKETS] stalls by length, the last row for whole faults.
        longest: int64[CAUSES + 1], the longest stall.
        top: int64[TOP, TOP_COLUMNS], the longest stalls, a heap with the shortest of them first.
        series: int64[BINS, SERIES_COLUMNS], over time.
        lanes: int64[BINS, vcpus, LANES], ps.
    """

    now: I64
    phase: I64
    began: I64
    asked: I64
    host_ps: I64
    pending_kick_ps: I64
    in_kernel_until: I64
    idle_since: I64
    slowdown_1024: I64
    stream: I64
    listed: I64
    ram: I64
    heap: I64
    queue: I64
    reads: I64
    exit_at: I64
    core: I64
    line_arrival: I64
    period: I64
    regs: I64
    price: I64
    stall: I64
    slow_write_ps: I64
    throttled_ps: I64
    sleep_from: I64
    sleep_until: I64
    sleep_owed: I64
    accesses: I64
    worst_ps: I64
    faults: I64
    hist: I64
    longest: I64
    top: I64
    series: I64
    lanes: I64


def new_clock(stream: I64, ram: I64, price: I64, slowdown_1024: I64, cores: int, bin_shift: int) -> Clock:
    """A clock at 0, every vCPU finished with an empty stream.

    Args:
        stream: int64[vcpus, columns].
        ram: int64[slots, 2], see mmuviz/workloads/stream.py.
        price: int64[PRICES + WORK_ENTRIES], ps.
        slowdown_1024: int64[vcpus].
        cores: number of cores of the host.
        bin_shift: a bin is 2 ** bin_shift ps wide at first.

    Returns:
        The clock.
    """
    vcpus = len(stream)
    regs = np.zeros(REGS, dtype=np.int64)
    regs[BIN_SHIFT] = bin_shift
    regs[CORES] = cores
    regs[LINE_OWNER] = -1
    regs[[THREAD_GRANTED_AT, THROTTLE_AT, THROTTLE_RETRY]] = FOREVER
    zero = np.zeros(vcpus, dtype=np.int64)
    return Clock(
        now=zero.copy(),
        phase=np.full(vcpus, FINISHED, dtype=np.int64),
        began=zero.copy(),
        asked=zero.copy(),
        host_ps=zero.copy(),
        pending_kick_ps=zero.copy(),
        in_kernel_until=zero.copy(),
        idle_since=zero.copy(),
        slowdown_1024=slowdown_1024,
        stream=stream,
        listed=np.zeros(0, dtype=np.int64),
        ram=ram,
        heap=zero.copy(),
        queue=np.zeros(vcpus + 1, dtype=np.int64),
        reads=np.zeros(vcpus + 1, dtype=np.int64),
        exit_at=np.full(vcpus, FOREVER, dtype=np.int64),
        core=np.arange(vcpus) % cores,
        line_arrival=np.zeros(cores, dtype=np.int64),
        period=np.zeros((vcpus, PERIOD_COLUMNS), dtype=np.int64),
        regs=regs,
        price=price,
        stall=np.zeros((vcpus, CAUSES), dtype=np.int64),
        slow_write_ps=zero.copy(),
        throttled_ps=zero.copy(),
        sleep_from=zero.copy(),
        sleep_until=zero.copy(),
        sleep_owed=zero.copy(),
        accesses=zero.copy(),
        worst_ps=zero.copy(),
        faults=np.zeros((vcpus, len(FAULT_PATHS)), dtype=np.int64),
        hist=np.zeros((CAUSES + 1, BUCKETS), dtype=np.int64),
        longest=np.zeros(CAUSES + 1, dtype=np.int64),
        top=np.zeros((TOP, TOP_COLUMNS), dtype=np.int64),
        series=np.zeros((BINS, SERIES_COLUMNS), dtype=np.int64),
        lanes=np.zeros((BINS, vcpus, LANES), dtype=np.int64),
    )


@jit_inline_llvm
def before(now: I64, first: int, second: int) -> bool:
    """Whether one vCPU's next action precedes another's; ties by number."""
    early, late = now[first], now[second]
    return early < late or (early == late and first < second)


@jit
def sift_from(heap: I64, now: I64, size: int, at: int) -> None:
    """Restore the heap's order after the time of one entry grew."""
    while True:
        child = 2 * at + 1
        if child >= size:
            return
        if child + 1 < size and before(now, heap[child + 1], heap[child]):
            child += 1
        if not before(now, heap[child], heap[at]):
            return
        heap[at], heap[child] = heap[child], heap[at]
        at = child


@jit_inline_llvm
def sift_down(heap: I64, now: I64, size: int) -> None:
    """Restore the heap's order after the time of its first entry grew."""
    sift_from(heap, now, size, 0)


@jit
def push(heap: I64, now: I64, regs: I64, vcpu: int) -> None:
    """Insert a vCPU in the heap."""
    place = regs[HEAP_SIZE]
    regs[HEAP_SIZE] = place + 1
    heap[place] = vcpu
    while place > 0:
        parent = (place - 1) >> 1
        if not before(now, heap[place], heap[parent]):
            return
        heap[place], heap[parent] = heap[parent], heap[place]
        place = parent


@jit
def drop_first(heap: I64, now: I64, regs: I64) -> None:
    """Remove the first vCPU from the heap: it waits, or it is done."""
    size = regs[HEAP_SIZE] - 1
    regs[HEAP_SIZE] = size
    heap[0] = heap[size]
    sift_down(heap, now, size)


@jit_inline_llvm
def next_of_others(clock: Clock) -> int:
    """Time of the next action of any vCPU but the first."""
    size, heap = clock.regs[HEAP_SIZE], clock.heap
    at = FOREVER
    if size > 1:
        at = clock.now[heap[1]]
    if size > 2:
        at = min(at, clock.now[heap[2]])
    return at
