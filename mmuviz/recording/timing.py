"""What a run cost in simulated time, as the charts show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Ioctl(NamedTuple):
    """One call: enable, get, clear or disable, when it began and how long it took."""

    name: str
    start_ms: float
    took_ms: float


@dataclass(frozen=True, eq=False)
class Timing:
    """Times of one run, from the first enabling of dirty logging on; each vCPU's stall is told by cause.

    The columns by bin add up to the totals: `stall_ms` to `vcpu_stall_ms`, `ioctl_ms` to `ioctls`.

    Attributes:
        host: name of the profile whose costs it was run with.
        host_says: which host that is, in words.
        causes: names of what vCPUs stall for.
        op_end_ms: float64[ops], simulated time at the end of each op; 0 for ops before the enabling.
        plain_ms: float64[ops], how long the guest takes for each op where logging is never enabled; 0 where it does
            not run, and before the enabling.
        ioctls: in order.
        bin_ms: width of a bin of time.
        stall_ms: float64[bins, causes], of all vCPUs together.
        ioctl_ms: float64[bins].
        table_bytes: int64[bins + 1], page tables with their headers at the beginning and at each bin's end.
        reach_bytes: int64[bins + 1], what the TLB of one core can map then at most.
        accesses: int64[bins], that retired.
        vcpu_stall_ms: float64[vcpus, causes], in all.
        faults: faults that stalled a vCPU.
        fault_us: p50, p99, p99.9 and the longest of single stalls by faults, us.
    """

    host: str
    host_says: str
    causes: tuple[str, ...]
    op_end_ms: F64
    plain_ms: F64
    ioctls: tuple[Ioctl, ...]
    bin_ms: float
    stall_ms: F64
    ioctl_ms: F64
    table_bytes: I64
    reach_bytes: I64
    accesses: I64
    vcpu_stall_ms: F64
    faults: int
    fault_us: tuple[float, float, float, float]

    @property
    def end_ms(self) -> float:
        """Simulated time in all."""
        return float(self.op_end_ms[-1])

    @property
    def total_stall_ms(self) -> float:
        """Of all vCPUs together."""
        return float(self.vcpu_stall_ms.sum())

    @property
    def slowdown(self) -> float:
        """How many times longer the guest takes for its accesses than without logging."""
        took_ms = np.diff(self.op_end_ms, prepend=0.0)[self.plain_ms > 0].sum()
        return float(took_ms / self.plain_ms.sum()) if self.plain_ms.any() else 1.0

    def ioctl_total_ms(self, name: str) -> float:
        """All calls of one name together."""
        return sum(call.took_ms for call in self.ioctls if call.name == name)
