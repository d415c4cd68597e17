"""A vCPU's time slice, and its bookkeeping."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock
from mmuviz.workloads import stream as columns

# Results of a slice.
CONTINUE: Final = 0
YIELD: Final = 1
BLOCKED_ON_LOCK: Final = 2
DONE_FOR_NOW: Final = 3
LOCK_HELD: Final = 4

SHARED_SPEED: Final = 2
"""Two threads that never sleep share a CPU: each runs half the time."""


class Slice(NamedTuple):
    """A vCPU's slice so far.

    Attributes:
        why: CONTINUE, or the result.
        time: the vCPU's time, ps.
        position: position of its next access.
        dequeued_at: the time at which it may act in any case, as no vCPU is earlier.
    """

    why: int
    time: int
    position: int
    dequeued_at: int


@jit_inline_llvm
def take_part(clock: Clock, vcpu: int, since: int, now: int) -> int:
    """Return the end of a vCPU's work that may share its CPU with the spinning ioctl thread for a part of the time."""
    shared_until = clock.regs[layout.SHARED_UNTIL]
    if vcpu != clock.now.shape[0] - 1 or since >= shared_until:
        return now
    done = now - since
    left = (shared_until - since) // SHARED_SPEED
    return since + SHARED_SPEED * done if done <= left else now + left


@jit_inline_llvm
def note_slice(clock: Clock, vcpu: int, hits: int) -> None:
    """Count the accesses of a slice."""
    clock.stream[vcpu, columns.POSITION] += hits
    clock.accesses[vcpu] += hits
    clock.regs[layout.RETIRED_ALL] += hits
