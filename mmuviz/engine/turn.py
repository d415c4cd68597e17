"""A vCPU's turn, and what is noted of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.engine import clock as layout
from mmuviz.engine.clock import Clock, bin_of, charge_rarely, note_tables, sift_down
from mmuviz.ground.compiled import compiled, inlined
from mmuviz.mmu.state import MmuState
from mmuviz.workloads import stream as program

# What a turn ends with.
GOES_ON: Final = 0
LATER: Final = 1
QUEUED: Final = 2
ENDS: Final = 3
HAS_LOCK: Final = 4

SHARED_SPEED: Final = 2
"""Two threads that never sleep share a CPU: each runs half the time."""


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
def pay_debt(clock: Clock, vcpu: int) -> None:
    """The first vCPU loses the time of kicks that came meanwhile, and with it perhaps its turn."""
    owed = clock.debt[vcpu]
    charge_rarely(clock, vcpu, layout.FLUSH, clock.now[vcpu], owed)
    clock.now[vcpu] += owed
    clock.debt[vcpu] = 0
    sift_down(clock.heap, clock.now, clock.at[layout.HEAP_SIZE])


@inlined
def note_turn(state: MmuState, clock: Clock, vcpu: int, began: int, retired: int) -> None:
    """Note what a turn did in all: accesses that retired, and the tables and leaves there are."""
    clock.stream[vcpu, program.POSITION] += retired
    clock.retired[vcpu] += retired
    clock.at[layout.RETIRED_ALL] += retired
    note_tables(clock.series, bin_of(clock, began), state.stat)
