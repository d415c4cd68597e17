"""Auto-converge, which throttles the guest so that its migration converges: migration/ram.c, softmmu/cpu-throttle.c."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TRIGGER_PERCENT: Final = 50
"""throttle-trigger-threshold: a period is bad if its dirty bytes exceed this percentage of the bytes sent in it."""
BAD_PERIODS: Final = 2
"""Bad periods that trigger a step; a good period between them does not reset the count."""
SYNC_PERIOD_MS: Final = 5000
"""QEMU: CPU_THROTTLE_DIRTY_SYNC_TIMESLICE_MS"""
FIRST_SYNCS: Final = 1
"""Number of syncs during which the timer does nothing: the first pass sends all memory anyway."""


@dataclass(frozen=True)
class CpuThrottle:
    """The parameters of auto-converge, in percent of a vCPU's time.

    Attributes:
        initial: the first step (cpu-throttle-initial).
        increment: each further step (cpu-throttle-increment).
        most: the upper limit (max-cpu-throttle).
    """

    initial: int = 20
    increment: int = 10
    most: int = 99


def mig_throttle_guest_down(throttle: CpuThrottle, percentage: int) -> int:
    """Return the next throttle percentage.

    Args:
        throttle: the parameters.
        percentage: the current percentage, 0 before the first step.

    QEMU: mig_throttle_guest_down(), without cpu-throttle-tailslow
    """
    if percentage == 0:
        return throttle.initial
    return min(percentage + throttle.increment, throttle.most)


class ThrottleTrigger:
    """Counts dirty-rate periods in which the guest dirtied more than half of the bytes sent."""

    def __init__(self) -> None:
        self._bad = 0
        self._sent_before = 0

    def period_ended(self, dirty_bytes: int, sent_bytes: int) -> bool:
        """End a dirty-rate period and return whether to throttle the guest, or to throttle it further.

        Args:
            dirty_bytes: bytes of the pages found newly dirty in the period.
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
    """The main thread's sync timer for auto-converge, in releases that have it."""

    def __init__(self) -> None:
        self._syncs = 0

    def tick(self, sync_count: int) -> bool:
        """Return, after five seconds, whether no sync happened since the last tick, so that the main thread must sync.

        Args:
            sync_count: syncs so far.

        QEMU: cpu_throttle_dirty_sync_timer_tick()
        """
        syncs = sync_count > FIRST_SYNCS and sync_count == self._syncs
        self._syncs = sync_count + syncs
        return syncs
