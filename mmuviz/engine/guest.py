"""The guest's vCPUs: populating, passes, or patterns that run without end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.calls import CallLog
from mmuviz.engine.clock import FOREVER
from mmuviz.engine.cost_table import PS_PER_NS
from mmuviz.engine.timed_ioctls import TimedIoctls
from mmuviz.engine.timed_machine import LAST, TimedMachine
from mmuviz.engine.trace_feed import TraceFeed
from mmuviz.mmu.state import I64
from mmuviz.workloads import stream as columns
from mmuviz.workloads.pattern import Pattern
from mmuviz.workloads.sequential import Sequential

PS_PER_MS: Final = 10**6 * PS_PER_NS


class Program(NamedTuple):
    """The vCPUs' work.

    Attributes:
        timeline: patterns, each with its duration in ps; the last one's is 0 (no end) unless the program `repeats`.
        repeats: whether the first pattern follows the last one.
        trace: a trace of accesses, instead of patterns.
    """

    timeline: list[tuple[Pattern, int]]
    repeats: bool = False
    trace: TraceFeed | None = None


class Guest:
    """The vCPUs of a timed machine.

    Attributes:
        machine: the machine.
        ioctls: the ioctl thread, which also reaps rings.
        before_streams: called before the vCPUs start another pattern, or the next part of a trace, at position 0.
    """

    def __init__(self, ioctls: TimedIoctls, program: Program, pages: int, reap_ps: int) -> None:
        """Create the guest of a machine whose memslots exist.

        Args:
            ioctls: the machine's ioctl thread.
            program: the vCPUs' work.
            pages: pages of RAM in all memslots that the guest writes to.
            reap_ps: interval at which rings are reaped; 0: only when one is full.
        """
        timeline = program.timeline
        self._repeats, self._trace = program.repeats, program.trace
        self.ioctls = ioctls
        self.machine: TimedMachine = ioctls.machine
        self._vcpus = self.machine.vm.config.vcpus
        self._streams = [(pattern.streams(0, pages, self._vcpus), pattern.shared, took) for pattern, took in timeline]
        self._parts = Sequential().streams(0, pages, self._vcpus)
        self._reap_ps = reap_ps if self.machine.vm.config.dirty_log_mode.ring else 0
        self._next_reap = FOREVER
        self._phase = 0
        self._phase_end = FOREVER
        self.before_streams: Callable[[], None] = lambda: None

    @property
    def log(self) -> CallLog:
        """The log of passes."""
        return self.ioctls.log

    def use(self, streams: I64, *, shared: bool) -> None:
        """Give the vCPUs other streams; the count of passes continues, so that each pass draws new pages."""
        clock = self.machine.clock
        passes = clock.stream[:, columns.PASS].copy()
        clock.stream[:] = streams
        clock.stream[:, columns.PASS] = passes
        clock.regs[layout.EXCLUSIVE] = not shared

    # Passes

    def populate(self) -> None:
        """Write every page once, in order: dirty_log_perf_test's iteration 0."""
        self.use(self._parts, shared=False)
        self.run_pass("populate", 0)
        self.use(self._streams[0][0], shared=self._streams[0][1])

    def run_pass(self, kind: str, iteration: int) -> None:
        """Run one pass of all vCPUs and wait for its end."""
        machine, host = self.machine, self.machine.costs.host
        with self.phase(kind, iteration):
            spins = self._vcpus >= host["cpus"]
            machine.clock.regs[layout.SHARED_UNTIL] = machine.time + host["share_ms"] * PS_PER_MS if spins else 0
            machine.start_pass()
            self.run_to(LAST)
            machine.let_finish()
        machine.spin_when_done()

    @contextmanager
    def phase(self, kind: str, iteration: int) -> Iterator[None]:
        """Record the enclosed run of the guest as a phase.

        Args:
            kind: a phase of CALL_KINDS.
            iteration: the driver's iteration.

        Yields:
            Nothing.
        """
        begun = self.log.begin(self.machine, kind, iteration)
        yield
        self.log.end(self.machine, begun)

    # Patterns without end

    def start(self) -> None:
        """Start the guest's workload, which runs without end from now on."""
        self._phase = 0
        if self._trace is None:
            self._begin_phase()
        else:
            self._trace.begin(self.machine, self._end_streams)
        self._next_reap = self.machine.time + self._reap_ps if self._reap_ps else FOREVER

    def _end_streams(self) -> None:
        self.before_streams()

    def _begin_phase(self) -> None:
        machine = self.machine
        self._end_streams()
        streams, shared, took = self._streams[self._phase]
        self._phase_end = machine.time + took if took else FOREVER
        endless = streams.copy()
        endless[:, columns.ACCESSES] = np.where(streams[:, columns.ACCESSES] > 0, layout.FOREVER, 0)
        self.use(endless, shared=shared)
        machine.clock.regs[layout.SHARED_UNTIL] = 0
        if machine.no_vcpu_active:
            machine.start_pass()
        else:
            machine.clock.stream[:, columns.POSITION] = 0

    def run_for(self, kind: str, iteration: int, until_ps: int) -> None:
        """Let the guest run up to a time, and record that as a phase."""
        with self.phase(kind, iteration):
            self.run_or_wait_until(until_ps)

    def run_or_wait_until(self, until_ps: int) -> None:
        """Let the guest run up to a time, even if it has nothing to do."""
        self.run_to(until_ps)
        if until_ps > self.machine.time:
            self.machine.wait(until_ps - self.machine.time)

    def run_to(self, until_ps: int) -> None:
        """Let the guest run up to a time, or to the end of its pass; reap rings and change phases on the way."""
        machine, ioctls = self.machine, self.ioctls
        while True:
            stop = min(until_ps, self._phase_end, self._reap_time())
            ioctls.run_and_reap(stop)
            # In an idle phase no vCPU is active, but the guest continues with the next phase.
            if stop >= until_ps or (machine.no_vcpu_active and not self._phase_ends_before(until_ps)):
                return
            machine.wait(max(stop - machine.time, 0))
            if stop == self._phase_end:
                self._next_phase()
            if self._reap_ps and machine.time >= self._next_reap:
                self._next_reap = machine.time + self._reap_ps
                ioctls.harvest_and_reset_rings()

    def _next_phase(self) -> None:
        """Start the next pattern, if there is one."""
        if self._goes_on:
            self._phase = (self._phase + 1) % len(self._streams)
            self._begin_phase()

    @property
    def _goes_on(self) -> bool:
        """Whether another pattern follows the current one."""
        return self._repeats or self._phase + 1 < len(self._streams)

    def _phase_ends_before(self, until_ps: int) -> bool:
        return self._phase_end < until_ps and self._goes_on

    def _reap_time(self) -> int:
        if not self._reap_ps:
            return FOREVER
        if self._next_reap == FOREVER:
            self._next_reap = self.machine.time + self._reap_ps
        return self._next_reap
