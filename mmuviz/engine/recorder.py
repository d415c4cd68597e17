"""Records a run: stops the engine at the end of each bin, and puts the tables of the Recording together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.account import widen_bins
from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Focus
from mmuviz.engine.clock import FOREVER
from mmuviz.engine.event_rows import standing_rows
from mmuviz.engine.frames import CellMap, Frames, cell_map, cell_rows
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.ground.pages import PAGE_BYTES
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import I64
from mmuviz.mmu.stats import overhead_now

PS_PER_NS: Final = 10**3
PS_BETWEEN_STOPS: Final = 10**7 * PS_PER_NS
"""How often progress is told before time 0."""
MOST_EVENTS: Final = 500_000
MOST_FOCUS_BYTES: Final = 64 << 20


class Recorder:
    """Looks at a machine while it runs; what it does changes nothing of the run.

    Attributes:
        cells: where the cells lie.
        frames: what was seen at the end of each bin.
        events: int64[n, LOG_COLUMNS] parts of the event log inside the Focus.
        left_out: events beyond those that are kept.
        table_pages_at_enable: as logging was first enabled; None before.
        memory_bytes: parts of the memory overhead at the end, but for table pages.
    """

    def __init__(
        self, focus: Focus | None, spans: list[tuple[int, int]], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Choose what is looked at.

        Args:
            focus: pages and time whose events are all kept; None for none.
            spans: first gfn and number of pages of each memslot that is shown.
            progress: told at each stop what time it is, in ns, and how many accesses the guest made so far.
        """
        self.focus = focus
        self.spans = spans
        self.progress = progress
        self.cells: CellMap = CellMap(0, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
        self.frames: Frames | None = None
        self.events: list[I64] = []
        self.left_out = 0
        self.table_pages_at_enable: int | None = None
        self.table_pages_peak = 0
        self.memory_bytes: dict[str, int] = {}
        self._kept = 0
        self._logs = False

    # While it runs

    def watch(self, machine: TimedMachine) -> None:
        """Before time 0, while the guest is made as it is: nothing is recorded, and progress is told."""
        if self.progress is None:
            return
        told = [0]

        def at_stop(time: int) -> None:
            told[0] = time
            machine.vm.drain_log()
            if self.progress is not None:
                self.progress(0, int(machine.clock.accesses.sum()))

        machine.next_stop, machine.at_stop = lambda: told[0] + PS_BETWEEN_STOPS, at_stop

    def begin(self, machine: TimedMachine, log: CallLog) -> None:
        """Time 0: look at everything once, and be asked at the end of each bin from now on."""
        vm = machine.vm
        machine.reset_clock()
        log.rows.clear()
        self.cells = cell_map(self.spans)
        vm.count_cells(cell_rows(self.spans, self.cells.shift), len(self.cells.pages), self.cells.shift)
        self.frames = Frames(self.cells, rings=vm.config.dirty_log_mode.ring, offset=log.offset)
        self.frames.take(machine.guest_tables, 0, every=True)
        machine.next_stop, machine.at_stop = self._next_stop(machine), self._at_stop(machine)
        if self.focus is not None and self.focus.start == 0:
            self._begin_events(machine, 0)

    def _next_stop(self, machine: TimedMachine) -> Callable[[], int]:
        def next_stop() -> int:
            shift, last = int(machine.clock.regs[layout.BIN_SHIFT]), self._last_frame()
            end = ((last >> shift) + 1) << shift
            return min(end, self._focus_start()) if not self._logs else end

        return next_stop

    def _at_stop(self, machine: TimedMachine) -> Callable[[int], None]:
        def at_stop(time: int) -> None:
            machine.vm.drain_log()
            if not self._logs and time >= self._focus_start():
                self._begin_events(machine, time)
            make_room(machine.clock, time)
            shift = int(machine.clock.regs[layout.BIN_SHIFT])
            if time & ((1 << shift) - 1) == 0:
                self._take(machine, time)
            if self.progress is not None:
                self.progress(time // PS_PER_NS, int(machine.clock.accesses.sum()))

        return at_stop

    def _last_frame(self) -> int:
        return self.frames.taken[-1].end_ps if self.frames is not None else 0

    def _focus_start(self) -> int:
        return FOREVER if self.focus is None else self.focus.start * PS_PER_NS

    def _take(self, machine: TimedMachine, time: int) -> None:
        if self.frames is not None:
            self.frames.take(machine.guest_tables, time)
        self._keep_events(machine)

    def enabling(self, machine: TimedMachine) -> None:
        """Logging is enabled for the first time: the peak of the page tables counts from here."""
        if self.table_pages_at_enable is None:
            stat = machine.vm.state.stat
            machine.vm.memory_overhead_peak()  # which notes the peak so far
            self.table_pages_at_enable = int(stat[mmu.STAT_TABLE_PAGES])
            stat[mmu.STAT_TABLE_PAGES_PEAK] = stat[mmu.STAT_TABLE_PAGES]

    # Events

    def _begin_events(self, machine: TimedMachine, time: int) -> None:
        if self.focus is None:
            return
        self._logs = True
        first, end = self.focus.first_gfn, self.focus.first_gfn + self.focus.pages
        self.events.append(standing_rows(machine.guest_tables, first, end, time))
        machine.vm.log_all(mmu.LOG_ALL, first, end)

    def _keep_events(self, machine: TimedMachine) -> None:
        if not self._logs:
            return
        found = machine.vm.take_events()
        room = MOST_EVENTS - self._kept
        self.left_out += int(found[room:, mmu.LOG_COUNT].sum())
        self._kept += len(found[:room])
        self.events.append(found[:room])

    def finish(self, machine: TimedMachine) -> None:
        """The run is over."""
        state = machine.vm.state
        make_room(machine.clock, machine.time)
        self._take(machine, machine.time)
        now = overhead_now(state)
        self.memory_bytes = {
            "headers": now.header_bytes,
            "vcpu_caches": now.vcpu_cache_bytes,
            "split_caches": now.split_cache_bytes,
            "rmap": now.rmap_bytes,
            "bitmaps": now.dirty_bitmap_bytes,
            "rings": now.ring_bytes,
        }
        peak = int(state.stat[mmu.STAT_TABLE_PAGES_PEAK])
        self.table_pages_peak = max(peak, self.table_pages_at_enable or 0)


def make_room(clock: layout.Clock, time: int) -> None:
    """Make bins as wide as they must be to reach a time, also where nothing is noted there."""
    if time - 1 >> int(clock.regs[layout.BIN_SHIFT]) >= layout.BINS:
        widen_bins(clock.series, clock.lanes, clock.regs, time - 1)


def default_focus(spans: list[tuple[int, int]]) -> Focus | None:
    """The whole guest, where it fits."""
    if not spans:
        return None
    first, end = min(base for base, _ in spans), max(base + pages for base, pages in spans)
    if (end - first) * PAGE_BYTES > MOST_FOCUS_BYTES:
        return None
    return Focus(first_gfn=first, pages=end - first)
