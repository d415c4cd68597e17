"""What a run cost in simulated time, as the charts show it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


class Timing(NamedTuple):
    """Times of one run; every vCPU's stall is told by cause.

    Attributes:
        host: whose costs it was run with.
        causes: names of what vCPUs stall for.
        op_end_ms: float64[ops], simulated time at the end of each op.
        ioctls: label and ms of each ioctl, in order.
        bin_ms: width of a bin of time.
        stall_ms: float64[bins, causes], of all vCPUs together.
        ioctl_ms: float64[bins].
        table_bytes: int64[bins], page tables at the bin's end.
        reach_bytes: int64[bins], what the TLB of one core can map at the bin's end.
        accesses: int64[bins], that retired.
        vcpu_stall_ms: float64[vcpus, causes], in all.
        longest_us: p50, p99, p99.9 and the longest of single stalls by faults, us.
    """

    host: str
    causes: tuple[str, ...]
    op_end_ms: F64
    ioctls: tuple[tuple[str, float], ...]
    bin_ms: float
    stall_ms: F64
    ioctl_ms: F64
    table_bytes: npt.NDArray[np.int64]
    reach_bytes: npt.NDArray[np.int64]
    accesses: npt.NDArray[np.int64]
    vcpu_stall_ms: F64
    longest_us: tuple[float, float, float, float]
