"""The accesses of a trace as the vCPUs' streams, loaded a part at a time while the guest runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
"""Accesses that wait because their vCPUs are late: beyond these the trace and the guest have nothing in common."""


class TraceFeed:
    """A trace, part by part; each access comes at its time after the guest's start, or as soon as its vCPU can.

    A part is loaded when the first of the vCPUs that have done theirs comes to its time, whatever userspace does then.

    Args:
        path: the file.
        vcpus: of the guest.
        ram: first gfn and number of pages of each memslot that the guest may touch.
    """

    def __init__(self, path: Path, vcpus: int, ram: Sequence[tuple[int, int]]) -> None:
        self._path, self._vcpus, self._ram = path, vcpus, tuple(ram)
        self._parts: Iterator[I64] = iter(())
        self._next: I64 | None = None
        self._loaded = 0
        self._last_rows: tuple[int, ...] = ()
        self._start_ps = 0

    def begin(self, machine: TimedMachine) -> None:
        """Start the guest: the trace's time 0 is now.

        Args:
            machine: whose vCPUs have nothing to do.

        Raises:
            InputError: see checked_parts(); later, while the guest runs, too much waits.
        """
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
        # As of patterns that draw whether an access writes: so each is looked up.
        clock.stream[:, columns.WRITE_PERMILLE] = columns.ALWAYS // 2
        clock.regs[layout.EXCLUSIVE] = 0
        clock.regs[layout.SHARED_UNTIL] = 0
        machine.next_part = lambda: self._load(machine)
        self._load(machine)
        machine.start_pass()

    def _load(self, machine: TimedMachine) -> None:
        """Load the next part behind what vCPUs that are late have still to do."""
        part = self._next
        if part is None:
            return
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
        """A time of the trace on the clock; never 0, which stands for no further part."""
        return max(self._start_ps + time_ns * PS_PER_NS, 1)

    def _rest(self, clock: layout.Clock, vcpu: int) -> I64:
        """What a vCPU has not done of the parts so far."""
        row = clock.stream[vcpu]
        rows = clock.listed.reshape(-1, columns.TRACE_ENTRIES)
        first = int(row[columns.FIRST_PAGE]) // columns.TRACE_ENTRIES
        found: I64 = rows[first + int(row[columns.POSITION]) : first + int(row[columns.ACCESSES])].copy()
        return found
