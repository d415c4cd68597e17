"""softmmu/dirtylimit.c: a limit on each vCPU's dirty rate, enforced by a sleep whenever its ring is full."""

from __future__ import annotations

from typing import Final

from mmuviz.core.pages import PAGE_BYTES

CALC_MS: Final = 1000
"""Period over which a rate is measured: x-vcpu-dirty-limit-period."""
TOLERANCE_MIB: Final = 25
"""DIRTYLIMIT_TOLERANCE_RANGE: MiB a second."""
LINEAR_PERCENT: Final = 50
"""DIRTYLIMIT_LINEAR_ADJUSTMENT_PCT"""
MOST_TIMES: Final = 99
"""DIRTYLIMIT_THROTTLE_PCT_MAX: the longest sleep, as a multiple of the time a ring takes to fill."""
US_PER_S: Final = 10**6
MS_PER_S: Final = 1000
MIB: Final = 1 << 20


def dirty_rate_mib(pages: int, took_ms: int) -> int:
    """Return the dirty rate, MiB/s. QEMU: do_calculate_dirtyrate()."""
    return (pages * PAGE_BYTES // MIB) * MS_PER_S // took_ms


class DirtyLimit:
    """Sleep of each vCPU when its ring is full.

    Attributes:
        sleep_us: sleep of each vCPU, us (throttle_us_per_full).
    """

    def __init__(self, vcpus: int, quota_mib: int, ring_entries: int) -> None:
        """Start without sleeps.

        Args:
            vcpus: number of vCPUs.
            quota_mib: vcpu-dirty-limit, MiB/s.
            ring_entries: entries of a vCPU's ring.
        """
        self.sleep_us = [0] * vcpus
        self._quota = quota_mib
        self._ring_mib = ring_entries * PAGE_BYTES // MIB
        self._fastest = 0

    def _ring_full_us(self, current: int) -> int:
        """Return the time a ring takes to fill at the highest rate so far. QEMU: dirtylimit_dirty_ring_full_time()."""
        self._fastest = max(self._fastest, current)
        return self._ring_mib * US_PER_S // self._fastest

    def adjust(self, vcpu: int, current: int) -> None:
        """Adjust a vCPU's sleep to its measured rate.

        Args:
            vcpu: index of the vCPU.
            current: measured rate, MiB/s.

        QEMU: dirtylimit_adjust_throttle(), dirtylimit_set_throttle()
        """
        low, high = sorted((self._quota, current))
        if high - low <= TOLERANCE_MIB:
            return
        if current == 0:
            self.sleep_us[vcpu] = 0
            return
        full_us = self._ring_full_us(current)
        step = full_us // 10
        if (high - low) * 100 // high > LINEAR_PERCENT:
            percent = (high - low) * 100 // high
            step = full_us * percent // (100 - percent)
        slept = self.sleep_us[vcpu] + (step if self._quota < current else -step)
        self.sleep_us[vcpu] = max(min(slept, full_us * MOST_TIMES), 0)
