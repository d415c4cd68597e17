"""Slowing a guest down so that its migration converges: migration/ram.c and softmmu/cpu-throttle.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TRIGGER_PERCENT: Final = 50
"""throttle-trigger-threshold: dirty bytes of a period, in percent of those sent in it, above which it is a bad one."""
BAD_PERIODS: Final = 2
"""So many bad periods make a step; a good one between them is not forgiven for."""
SYNC_PERIOD_MS: Final = 5000
"""QEMU: CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS"""
FIRST_SYNCS: Final = 1
"""The timer does nothing during the first pass, which sends all memory anyway."""


@dataclass(frozen=True)
class CpuThrottle:
    """The parameters of auto-converge, in percent of a vCPU's time.

    Attributes:
        initial: the first step (cpu-throttle-initial).
        increment: each further step (cpu-throttle-increment).
        most: where it ends (max-cpu-throttle).
    """

    initial: int = 20
    increment: int = 10
    most: int = 99


def mig_throttle_guest_down(throttle: CpuThrottle, percentage: int) -> int:
    """The next step.

    Args:
        throttle: the parameters.
        percentage: the step that holds now, 0 for none.

    QEMU: mig_throttle_guest_down(), without cpu-throttle-tailslow
    """
    if percentage == 0:
        return throttle.initial
    return min(percentage + throttle.increment, throttle.most)


class ThrottleTrigger:
    """Counts the periods of the dirty rate in which the guest dirtied more than half of what was sent."""

    def __init__(self) -> None:
        self._bad = 0
        self._sent_before = 0

    def period_ended(self, dirty_bytes: int, sent_bytes: int) -> bool:
        """A period of more than a second is over; whether the guest is to be slowed down, or further.

        Args:
            dirty_bytes: pages found newly dirty in it.
            sent_bytes: bytes sent since the migration began.

        QEMU: migration_trigger_throttle()
        """
        sent, self._sent_before = sent_bytes - self._sent_before, sent_bytes
        if dirty_bytes <= sent * TRIGGER_PERCENT // 100:
            return False
        self._bad += 1
        if self._bad < BAD_PERIODS:
            return False
        self._bad = 0
        return True


class DirtySyncTimer:
    """The main thread's timer of auto-converge, in releases that have it."""

    def __init__(self) -> None:
        self._syncs = 0

    def tick(self, sync_count: int) -> bool:
        """Five seconds are over; whether nobody has synced since the last tick, so that the main thread does.

        Args:
            sync_count: syncs so far.

        QEMU: cpu_throttle_dirty_sync_timer_tick()
        """
        syncs = sync_count > FIRST_SYNCS and sync_count == self._syncs
        self._syncs = sync_count + syncs
        return syncs
