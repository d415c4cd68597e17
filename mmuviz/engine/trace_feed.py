"""Feeds the accesses of a trace to the vCPUs' streams, one part at a time while the guest runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from mmuviz.core.errors import InputError, short_repr
from mmuviz.engine import clock as layout
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.engine.trace_file import GFN, TIME, VCPU, WRITE, checked_parts, facts_of
from mmuviz.mmu.state import I64
from mmuviz.workloads import stream as columns

PS_PER_NS: Final = 10**3
MOST_BEHIND: Final = 1 << 22
"""Most accesses that may wait for late vCPUs; with more, the trace no longer describes the guest."""


class TraceFeed:
    """A trace loaded part by part; each access is executed at its time after the guest's start, or as soon as possible.

    The next part is loaded when it is due for the first of the vCPUs that have executed theirs, even within an ioctl.

    Args:
        path: the trace file.
        vcpus: number of the guest's vCPUs.
        ram: first gfn and number of pages of each memslot that the guest may access.
    """

    def __init__(self, path: Path, vcpus: int, ram: Sequence[tuple[int, int]]) -> None:
        self._path, self._vcpus, self._ram = path, vcpus, tuple(ram)
        self._parts: Iterator[I64] = iter(())
        self._next: I64 | None = None
        self._loaded = 0
        self._last_rows: tuple[int, ...] = ()
        self._start_ps = 0
        self._before_part: Callable[[], None] = lambda: None

    def begin(self, machine: TimedMachine, before_part: Callable[[], None]) -> None:
        """Start the guest; the trace's time 0 is now.

        Args:
            machine: the machine, whose vCPUs have no work.
            before_part: called before each part replaces the accesses that are executed.

        Raises:
            InputError: see checked_parts(); or, raised later while the guest runs, too many accesses wait.
        """
        self._before_part = before_part
        self._parts = checked_parts(self._path, self._vcpus, self._ram)
        self._next = next(self._parts, None)
        self._loaded, self._last_rows = 0, facts_of(self._path, self._vcpus, self._ram).last_rows
        self._start_ps = machine.time
        clock = machine.clock
        passes = clock.stream[:, columns.PASS].copy()
        clock.stream[:] = 0
        clock.stream[:, columns.PASS] = passes
        clock.stream[:, columns.KIND] = columns.TRACED
        clock.stream[:, columns.PAGES] = 1
        clock.stream[:, columns.STRIDE] = 1
        # Neither never nor always, as in patterns that draw reads and writes: so each access is looked up.
        clock.stream[:, columns.WRITE_PERMILLE] = columns.ALWAYS // 2
        clock.regs[layout.EXCLUSIVE] = 0
        clock.regs[layout.SHARED_UNTIL] = 0
        machine.next_part = lambda: self._load(machine)
        self._load(machine)
        machine.start_pass()

    def _load(self, machine: TimedMachine) -> None:
        """Load the next part, after the accesses that late vCPUs have not executed yet."""
        part = self._next
        if part is None:
            return
        self._before_part()
        self._next = next(self._parts, None)
        self._loaded += len(part)
        more = 0 if self._next is None else self._due_ps(int(self._next[0, TIME]))
        clock = machine.clock
        rest = [self._rest(clock, vcpu) for vcpu in range(self._vcpus)]
        behind = sum(map(len, rest))
        if behind > MOST_BEHIND:
            raise InputError(
                f"workload.file={short_repr(str(self._path))}: {behind} accesses wait at {machine.time // PS_PER_NS} "
                f"ns, since the guest is slower than its trace, and at most {MOST_BEHIND} may; give a trace of fewer "
                "accesses, or more vCPUs"
            )
        due = self._start_ps + part[:, TIME] * PS_PER_NS
        entries = np.stack([part[:, GFN] << 1 | part[:, WRITE], due], axis=1)
        lists, first = [], 0
        for vcpu in range(self._vcpus):
            mine = np.concatenate([rest[vcpu], entries[part[:, VCPU] == vcpu]])
            clock.stream[vcpu, columns.FIRST_PAGE] = first
            clock.stream[vcpu, columns.POSITION] = 0
            clock.stream[vcpu, columns.ACCESSES] = len(mine)
            # A vCPU without a further access has ended its pass: it does not wait for parts of others.
            clock.stream[vcpu, columns.TRACE_MORE] = more if self._last_rows[vcpu] >= self._loaded else 0
            lists.append(mine)
            first += mine.size
        machine.clock = clock._replace(listed=np.ascontiguousarray(np.concatenate(lists).reshape(-1)))

    def _due_ps(self, time_ns: int) -> int:
        """Convert a time of the trace to clock time, ps; at least 1, as 0 means that there is no further part."""
        return max(self._start_ps + time_ns * PS_PER_NS, 1)

    def _rest(self, clock: layout.Clock, vcpu: int) -> I64:
        """Return a vCPU's accesses that it has not executed yet."""
        row = clock.stream[vcpu]
        rows = clock.listed.reshape(-1, columns.TRACE_ENTRIES)
        first = int(row[columns.FIRST_PAGE]) // columns.TRACE_ENTRIES
        found: I64 = rows[first + int(row[columns.POSITION]) : first + int(row[columns.ACCESSES])].copy()
        return found
