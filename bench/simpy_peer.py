"""A SimPy model of lazy splitting, for comparison: one process per vCPU, and a resource for the lock's cache line."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

from mmuviz.core.pages import PAGES_PER_2M

Steps = Generator[Any, Any, None]


@dataclass
class PeerGuest:
    """A guest of 2M pages whose first write to each page faults: populate, enable, one pass of writes.

    Attributes:
        pages: 4K pages of its memory; each vCPU writes its own part.
        vcpus: number of vCPUs.
        populate_ns: time of a fault that maps 2M, ns.
        fault_ns: time of a fault that maps 4K, ns.
        zap_ns: additional time of the first fault in a 2M page, ns.
        line_ns: time for which a fault holds mmu_lock's cache line, ns.
        touch_ns: time of a hit, ns.
        faults: number of faults so far.
    """

    pages: int
    vcpus: int
    populate_ns: float
    fault_ns: float
    zap_ns: float
    line_ns: float
    touch_ns: float
    faults: int = 0
    huge: set[int] = field(default_factory=set)
    small: set[int] = field(default_factory=set)

    def run(self) -> float:
        """Simulate the guest; return the simulated time, ns."""
        environment = simpy.Environment()
        line = simpy.Resource(environment, capacity=1)
        for logging in (False, True):
            part = self.pages // self.vcpus
            parts = [range(vcpu * part, (vcpu + 1) * part) for vcpu in range(self.vcpus)]
            passes = [environment.process(self._vcpu(environment, line, each, logging=logging)) for each in parts]
            environment.run(until=simpy.AllOf(environment, passes))
        return float(environment.now)

    def _vcpu(self, environment: simpy.Environment, line: simpy.Resource, part: range, *, logging: bool) -> Steps:
        for page in part:
            region = page // PAGES_PER_2M
            if logging and page not in self.small:
                yield from self._fault(environment, line, self.fault_ns + (self.zap_ns if region in self.huge else 0))
                self.huge.discard(region)
                self.small.add(page)
            elif not logging and region not in self.huge:
                yield from self._fault(environment, line, self.populate_ns)
                self.huge.add(region)
            yield environment.timeout(self.touch_ns)

    def _fault(self, environment: simpy.Environment, line: simpy.Resource, took_ns: float) -> Steps:
        self.faults += 1
        with line.request() as mine:
            yield mine
            yield environment.timeout(self.line_ns)
        yield environment.timeout(took_ns - self.line_ns)
