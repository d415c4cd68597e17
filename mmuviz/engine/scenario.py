"""What is run: a VM, its memory, what the guest does, what userspace does, and the host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mmuviz.costs.hosts import PROFILES
from mmuviz.ground.errors import InputError, shown
from mmuviz.mmu.config import Memslot, VmConfig
from mmuviz.workloads.pattern import PS_PER_S, Pattern

LONGEST_PS: Final = 1 << 61
"""Far below the end of the clock, which counts ps in 64 bits."""


class Driver(StrEnum):
    """What userspace does."""

    ENABLE_ONLY = "enable_only"
    WITHOUT_LOGGING = "without_logging"
    DIRTY_LOG_PERF_TEST = "dirty_log_perf_test"
    PRE_SPLIT = "pre_split"


@dataclass(frozen=True)
class Scenario:
    """One experiment; the same Scenario gives the same Run.

    Attributes:
        vm: the VM.
        memslot: its guest memory, one slot.
        workload: what every vCPU does in a pass.
        host: name of a profile of costs/hosts.py.
        driver: what userspace does.
        iterations: rounds of dirty, GET and CLEAR, for dirty_log_perf_test.
        runs_while_disabling: vCPUs go on writing while logging is disabled (dirty_log_perf_test -e).
        lead_ms: for enable_only, how long the guest runs before logging is enabled.
        tail_ms: for enable_only, how long it runs after that.
        big_lock: the thread that calls ioctls holds the lock of userspace that exits to userspace need;
            else another thread calls them.
        reap_ms: how often the reaper of a dirty ring comes by itself; 0 for only when a ring is full.
        tlb_reach: whether split pages cost the guest more TLB misses.
        record: keep every event of the machine.
    """

    vm: VmConfig
    memslot: Memslot
    workload: Pattern
    host: str = "split_on_fault"
    driver: Driver = Driver.DIRTY_LOG_PERF_TEST
    iterations: int = 2
    runs_while_disabling: bool = False
    lead_ms: int = 0
    tail_ms: int = 0
    big_lock: bool = False
    reap_ms: int = 0
    tlb_reach: bool = True
    record: bool = False

    def __post_init__(self) -> None:
        """Check the choices.

        Raises:
            InputError: no such host, or a number out of range.
        """
        if str(self.host) not in PROFILES:
            raise InputError(f"host={shown(self.host)} is no profile; choose one of {', '.join(sorted(PROFILES))}")
        if not isinstance(self.driver, Driver):
            raise InputError(f"driver={shown(self.driver)} is none of {', '.join(Driver)}")
        for name, most in (("iterations", 1000), ("lead_ms", 600_000), ("tail_ms", 600_000), ("reap_ms", 600_000)):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value <= most:
                raise InputError(f"{name}={shown(value)} must be a whole number from 0 to {most}")
        last_ps = int((self._accesses() * PS_PER_S * (self.iterations + 1)) // max(self.workload.rate_hz, 1))
        if self.workload.rate_hz and last_ps >= LONGEST_PS:
            raise InputError(
                f"rate_hz={self.workload.rate_hz} stretches the passes over {last_ps // PS_PER_S} s; the clock ends at "
                f"{LONGEST_PS // PS_PER_S} s: give a higher rate, less memory or fewer iterations"
            )

    def _accesses(self) -> int:
        """Accesses of a vCPU's pass at most."""
        part = self.memslot.pages if self.workload.shared else -(-self.memslot.pages // self.vm.vcpus) + self.vm.vcpus
        return self.workload.accesses(part)
