"""mmu_lock over time: a fair reader-writer lock, and its cache line.

Readers do not exclude each other, but each needs the lock's cache line exclusively for a moment;
so their rate has a ceiling although none of them waits for another. The line moves from core to core:
two threads of one core share its visit. Writers exclude all others, first come first served.

The time until the next writer has the lock depends on the number of waiters. The first one watches the lock, the
second one the pending bit of the spinlock that serves as the queue, and both see at once that it is free. From the
third on they are in its MCS queue: each is released by the one before, and all access the same cache lines.

Kernel: queued_write_lock_slowpath(), kernel/locking/qrwlock.c; kernel/locking/qspinlock.c
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit, jit_inline_llvm
from mmuviz.engine import clock as layout
from mmuviz.engine.clock import FOREVER, Clock, push

FEW: Final = 2
"""Most waiters for a lock without an MCS queue."""


@jit_inline_llvm
def handoff_ps(clock: Clock) -> int:
    """Time that the lock takes to reach the first waiting writer."""
    few = clock.regs[layout.QUEUE_COUNT] <= FEW
    return int(clock.price[layout.HANDOFF_FEW if few else layout.HANDOFF])


@jit_inline_llvm
def line_visit(clock: Clock, vcpu: int, time: int) -> int:
    """Time at which the lock's cache line reaches a vCPU's core; the atomics of one fault then keep it for a while.

    A line that no other core needs arrives at once: its transfer overlaps with the rest of the fault.
    """
    core = clock.core[vcpu]
    if clock.line_arrival[core] > time:  # already on its way for the core's other thread
        return int(clock.line_arrival[core])
    comes = time if clock.regs[layout.LINE_OWNER] == core else max(clock.regs[layout.LINE_FREE], time)
    clock.regs[layout.LINE_FREE] = max(clock.regs[layout.LINE_FREE], comes + clock.price[layout.LINE])
    clock.regs[layout.LINE_OWNER] = core
    clock.line_arrival[core] = comes
    return comes


@jit_inline_llvm
def open_to_readers(clock: Clock, time: int) -> bool:
    """Whether a reader gets the lock at once."""
    at = clock.regs
    return bool(at[layout.FREE_AT] <= time and at[layout.WRITER_PENDING] == 0 and at[layout.QUEUE_COUNT] == 0)


@jit_inline_llvm
def open_to_writers(clock: Clock, time: int) -> bool:
    """Whether a writer gets the lock at once."""
    at = clock.regs
    readers = at[layout.READERS_GRANTED] != 0 or at[layout.THREAD_READS] != 0 or at[layout.READERS_END] > time
    return open_to_readers(clock, time) and not readers


@jit_inline_llvm
def enqueue(clock: Clock, who: int, reads: int) -> None:
    """Append a waiter to the lock's queue."""
    room = clock.queue.shape[0]
    clock.queue[(clock.regs[layout.QUEUE_HEAD] + clock.regs[layout.QUEUE_COUNT]) % room] = who
    clock.reads[who] = reads
    clock.regs[layout.QUEUE_COUNT] += 1


@jit_inline_llvm
def grant(clock: Clock, who: int, time: int) -> None:
    """Give a waiter the lock from a time on."""
    if who == clock.now.shape[0]:
        clock.regs[layout.THREAD_GRANTED_AT] = time
        return
    clock.now[who] = max(time, clock.asked[who])
    clock.phase[who] = layout.GRANTED
    push(clock.heap, clock.now, clock.regs, who)


@jit
def grant_next(clock: Clock) -> None:
    """Grant the lock to the first waiters, if their time is known: to one writer, or to successive readers."""
    at = clock.regs
    while at[layout.QUEUE_COUNT] > 0 and at[layout.WRITER_PENDING] == 0 and at[layout.FREE_AT] < FOREVER:
        who = clock.queue[at[layout.QUEUE_HEAD]]
        if clock.reads[who]:
            if who < clock.now.shape[0]:
                at[layout.READERS_GRANTED] += 1
            else:
                at[layout.THREAD_READS] = 1
            grant(clock, who, at[layout.FREE_AT])
        else:
            if at[layout.READERS_GRANTED] > 0 or at[layout.THREAD_READS] != 0:
                return
            at[layout.WRITER_PENDING] = 1
            free = max(at[layout.FREE_AT], at[layout.READERS_END])
            asked = clock.asked[who] if who < clock.now.shape[0] else free
            grant(clock, who, max(free, asked) + handoff_ps(clock))
        at[layout.QUEUE_HEAD] = (at[layout.QUEUE_HEAD] + 1) % clock.queue.shape[0]
        at[layout.QUEUE_COUNT] -= 1


@jit_inline_llvm
def hold_for_write(clock: Clock, time: int, hold_ps: int) -> None:
    """Let a writer hold the lock for a time from `time` on; then grant it to the next waiter."""
    clock.regs[layout.WRITER_PENDING] = 0
    clock.regs[layout.FREE_AT] = time + hold_ps
    grant_next(clock)


@jit_inline_llvm
def hold_for_read(clock: Clock, end: int) -> None:
    """Let a reader hold the lock until `end`."""
    clock.regs[layout.READERS_END] = max(clock.regs[layout.READERS_END], end)
