"""Slowing a guest down so that its migration converges: migration/ram.c and softmmu/cpu-throttle.c."""

from __future__ import annotations

from dataclasses import dataclass


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
