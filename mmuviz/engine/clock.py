"""The clock's state: who is where in time, what it costs, and what it added up to, as flat arrays.

Times are int64 picoseconds from the start of the run.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.compiled import compiled, exported, inlined
from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu.state import I64, STAT_PAGES, STAT_TABLE_PAGES

FOREVER: Final = 1 << 62
SPEED_SHIFT: Final = 10
FULL_SPEED: Final = 1 << SPEED_SHIFT
"""`Clock.slow` of a vCPU with a core of its own; twice that takes twice as long."""

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

# Further columns of `Clock.series`; the first three are sums over a bin, the others are as they were at its end.
RETIRED: Final = CAUSES
FAULTS: Final = CAUSES + 1
IOCTL: Final = CAUSES + 2
TABLES: Final = CAUSES + 3
PAGES: Final = CAUSES + 3
"""Of this column and the level is that of leaves by level."""
SERIES_COLUMNS: Final = CAUSES + 7
BINS: Final = 1024

BUCKETS: Final = 512
SUB_BITS: Final = 3
"""A histogram's bucket spans an eighth of an octave."""
FRACTION_BITS: Final = 52
EXPONENT_BIAS: Final = 1023
"""Of a 64-bit float (IEEE 754)."""

# Entries of `Clock.at`.
HEAP_SIZE: Final = 0
BIN_SHIFT: Final = 1
EXCLUSIVE: Final = 2
ZAPS: Final = 3
CORES: Final = 4
RUNNING_VCPUS: Final = 5
LINE_FREE: Final = 6
LINE_OWNER: Final = 7
TLBI_FREE: Final = 8
FREE_AT: Final = 9
READERS_END: Final = 10
PENDING: Final = 11
QUEUE_HEAD: Final = 12
QUEUE_COUNT: Final = 13
READERS_GRANTED: Final = 14
VMM_GRANT: Final = 15
VMM_READS: Final = 16
WRITE_LOCKS: Final = 17
HOLD_MAX: Final = 18
HOLD_SUM: Final = 19
RETIRED_ALL: Final = 20
SHARED_UNTIL: Final = 21
VMM_WAITS: Final = 22
BIG_LOCK_HELD: Final = 23
BIG_LOCK_FREE: Final = 24
LEAF_SHIFT: Final = 25
ONE_BY_ONE: Final = 26
"""Nobody runs on unseen: slow, for the law that compares."""
AT_ENTRIES: Final = 27

# Entries of `Clock.price`, ps each; behind them comes what each entry of the machine's work costs in a fault.
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
PRICES: Final = 18


class Clock(NamedTuple):
    """Arrays of a run, changed in place.

    Attributes:
        now: int64[vcpus], when each vCPU goes on.
        phase: int64[vcpus], what it goes on with.
        began: int64[vcpus], when the fault under way began; `asked` when it asked for mmu_lock.
        debt: int64[vcpus], time that kicks took and that the vCPU has still to lose.
        outside: int64[vcpus], until when it is in KVM or in userspace: no kick reaches it there.
        slow: int64[vcpus], its time against that of a core of its own, in 1/1024.
        stream: int64[vcpus, columns], see mmuviz/workloads/stream.py; `listed` int64[n], gfns of its lists.
        heap: int64[vcpus], vCPUs by (now, number), a binary heap.
        queue: int64[vcpus + 1], who waits for mmu_lock, first come first served; the last number is the thread
            that calls ioctls. `reads` int64[vcpus + 1] is 1 for who asks for read.
        exit_at: int64[vcpus], when each vCPU next exits to userspace.
        visit: int64[cores], when the lock's cache line next comes to a core.
        at: int64[AT_ENTRIES]; `price` int64[PRICES + WORK_ENTRIES].
        stall: int64[vcpus, CAUSES]; `retired` int64[vcpus].
        hist: int64[CAUSES + 1, BUCKETS] stalls by length, the last row of whole faults.
        longest: int64[CAUSES + 1], the longest stall.
        series: int64[BINS, SERIES_COLUMNS], over time.
    """

    now: I64
    phase: I64
    began: I64
    asked: I64
    debt: I64
    outside: I64
    slow: I64
    stream: I64
    listed: I64
    heap: I64
    queue: I64
    reads: I64
    exit_at: I64
    visit: I64
    at: I64
    price: I64
    stall: I64
    retired: I64
    hist: I64
    longest: I64
    series: I64


def new_clock(stream: I64, price: I64, slow: I64, cores: int) -> Clock:
    """A clock at 0, every vCPU finished with nothing.

    Args:
        stream: int64[vcpus, columns].
        price: int64[PRICES + WORK_ENTRIES], ps.
        slow: int64[vcpus], 1/1024.
        cores: of the host.

    Returns:
        The clock.
    """
    vcpus = len(stream)
    at = np.zeros(AT_ENTRIES, dtype=np.int64)
    at[BIN_SHIFT] = 20
    at[CORES] = cores
    at[LINE_OWNER] = -1
    at[VMM_GRANT] = FOREVER
    zero = np.zeros(vcpus, dtype=np.int64)
    return Clock(
        now=zero.copy(),
        phase=np.full(vcpus, FINISHED, dtype=np.int64),
        began=zero.copy(),
        asked=zero.copy(),
        debt=zero.copy(),
        outside=zero.copy(),
        slow=slow,
        stream=stream,
        listed=np.zeros(0, dtype=np.int64),
        heap=zero.copy(),
        queue=np.zeros(vcpus + 1, dtype=np.int64),
        reads=np.zeros(vcpus + 1, dtype=np.int64),
        exit_at=np.full(vcpus, FOREVER, dtype=np.int64),
        visit=np.zeros(cores, dtype=np.int64),
        at=at,
        price=price,
        stall=np.zeros((vcpus, CAUSES), dtype=np.int64),
        retired=zero.copy(),
        hist=np.zeros((CAUSES + 1, BUCKETS), dtype=np.int64),
        longest=np.zeros(CAUSES + 1, dtype=np.int64),
        series=np.zeros((BINS, SERIES_COLUMNS), dtype=np.int64),
    )


@inlined
def before(now: I64, first: int, second: int) -> bool:
    """Whether one vCPU's turn comes before another's; ties by number."""
    early, late = now[first], now[second]
    return early < late or (early == late and first < second)


@compiled
def sift_down(heap: I64, now: I64, size: int) -> None:
    """Bring the heap in order again after the time of its first entry grew."""
    at = 0
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


@compiled
def push(heap: I64, now: I64, at: I64, vcpu: int) -> None:
    """Give a vCPU its place in time."""
    place = at[HEAP_SIZE]
    at[HEAP_SIZE] = place + 1
    heap[place] = vcpu
    while place > 0:
        parent = (place - 1) >> 1
        if not before(now, heap[place], heap[parent]):
            return
        heap[place], heap[parent] = heap[parent], heap[place]
        place = parent


@compiled
def drop_first(heap: I64, now: I64, at: I64) -> None:
    """Take the first vCPU out of time: it waits, or it is done."""
    size = at[HEAP_SIZE] - 1
    at[HEAP_SIZE] = size
    heap[0] = heap[size]
    sift_down(heap, now, size)


@inlined
def next_of_others(clock: Clock) -> int:
    """When the next vCPU but the first goes on."""
    size, heap = clock.at[HEAP_SIZE], clock.heap
    at = FOREVER
    if size > 1:
        at = clock.now[heap[1]]
    if size > 2:
        at = min(at, clock.now[heap[2]])
    return at


@exported
def note_tables(series: I64, index: int, stat: I64) -> None:
    """Note the tables and the leaves there are, by KVM's counters."""
    series[index, TABLES] = stat[STAT_TABLE_PAGES]
    for level in range(PG_LEVEL_4K, PG_LEVEL_1G + 1):
        series[index, PAGES + level] = stat[STAT_PAGES + level]


@inlined
def noted(series: I64, index: int) -> bool:
    """Whether note_tables() was ever called of a bin: a guest that is there has a table or a leaf."""
    tables, small = series[index, TABLES], series[index, PAGES + PG_LEVEL_4K]
    return bool(tables + small + series[index, PAGES + PG_LEVEL_2M] + series[index, PAGES + PG_LEVEL_1G] != 0)


@compiled
def widen_bins(series: I64, at: I64, time: int) -> None:
    """Make bins twice as wide, two by two, until they reach a time."""
    half = BINS >> 1
    while time >> at[BIN_SHIFT] >= BINS:
        for each in range(half):
            seen = noted(series, 2 * each + 1)
            for column in range(SERIES_COLUMNS):
                later = series[2 * each + 1, column]
                if column < TABLES:
                    series[each, column] = series[2 * each, column] + later
                else:
                    series[each, column] = later if seen else series[2 * each, column]
        for each in range(half, BINS):
            for column in range(SERIES_COLUMNS):
                series[each, column] = 0
        at[BIN_SHIFT] += 1


@inlined
def bin_of(clock: Clock, time: int) -> int:
    """The bin of a time."""
    if time >> clock.at[BIN_SHIFT] >= BINS:
        widen_bins(clock.series, clock.at, time)
    return int(time >> clock.at[BIN_SHIFT])


@inlined
def bucket_of(stall_ps: int) -> int:
    """The bucket of a stall: eight to an octave above 8 ps, one to a ps below.

    Read off the binary form of a float: its exponent, and the first three bits of its fraction.
    """
    if stall_ps < 1 << SUB_BITS:
        return stall_ps
    bits = np.float64(stall_ps).view(np.int64)
    return int((bits >> (FRACTION_BITS - SUB_BITS)) - ((EXPONENT_BIAS + SUB_BITS - 1) << SUB_BITS))


@inlined
def note_stalls(clock: Clock, cause: int, index: int, stall_ps: int, times: int) -> None:
    """As many stalls of one length in one bin, of whatever vCPUs."""
    if stall_ps > 0:
        clock.series[index, cause] += times * stall_ps
        clock.hist[cause, bucket_of(stall_ps)] += times
        clock.longest[cause] = max(clock.longest[cause], stall_ps)


@inlined
def charge_often(clock: Clock, vcpu: int, cause: int, index: int, stall_ps: int, times: int) -> None:
    """charge(), of as many stalls of one length in one bin."""
    clock.stall[vcpu, cause] += times * stall_ps
    note_stalls(clock, cause, index, stall_ps, times)


@inlined
def charge(clock: Clock, vcpu: int, cause: int, index: int, stall_ps: int) -> None:
    """Add a stall of one cause to the vCPU's total, to a bin of time and to the histogram."""
    if stall_ps > 0:  # most causes are none of most faults
        charge_often(clock, vcpu, cause, index, stall_ps, 1)


@inlined
def note_faults(clock: Clock, index: int, whole_ps: int, times: int) -> None:
    """As many faults of one length that began in one bin."""
    clock.hist[CAUSES, bucket_of(whole_ps)] += times
    clock.longest[CAUSES] = max(clock.longest[CAUSES], whole_ps)
    clock.series[index, FAULTS] += times


@compiled
def note_retired(clock: Clock, time: int, count: int, step_ps: int) -> None:
    """Accesses that retire one after the other, each in the bin in which it begins."""
    bin_of(clock, time + (count - 1) * step_ps)
    shift = clock.at[BIN_SHIFT]
    while count > 0:
        index = time >> shift
        here = min(count, (((index + 1) << shift) - time + step_ps - 1) // step_ps)
        clock.series[index, RETIRED] += here
        time += here * step_ps
        count -= here


@compiled
def charge_rarely(clock: Clock, vcpu: int, cause: int, time: int, stall_ps: int) -> None:
    """charge() at a time, where it is not worth being compiled into its caller."""
    charge(clock, vcpu, cause, bin_of(clock, time), stall_ps)
