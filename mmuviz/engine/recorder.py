"""Records a run: stops the engine at the end of each bin and keeps a frame.

engine/recording_of.py assembles the tables of the Recording.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

import numpy as np

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine import frame_buffer
from mmuviz.engine.calls import CallLog
from mmuviz.engine.choices.scenario import Focus
from mmuviz.engine.clock import FOREVER
from mmuviz.engine.event_rows import initial_rows
from mmuviz.engine.frame_buffer import ends_bin, make_room
from mmuviz.engine.frames import CellMap, Frames, cell_map, cell_rows
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import I64
from mmuviz.mmu.stats import overhead_now
from mmuviz.recording.schema import MAX_EVENTS

PS_PER_NS: Final = 10**3
PS_BETWEEN_STOPS: Final = 10**7 * PS_PER_NS
"""Time between reports of progress before time 0."""
BETWEEN_S: Final = 0.1
"""Wall-clock time between reports of progress, as far as bins end that often."""
MOST_FOCUS_BYTES: Final = 64 << 20


class Recorder:
    """Observes a machine while it runs; it changes nothing of the run.

    Attributes:
        cells: the cells' layout.
        frames: the frames at the end of each bin.
        events: int64[n, LOG_COLUMNS] parts of the event log, inside the Focus.
        left_out: events beyond those that are kept.
        table_pages_at_enable: page-table pages when logging was first enabled, without the root and tables of 512G
            entries; None before.
        memory_bytes: parts of the memory overhead at the end, without table pages.
    """

    def __init__(
        self, focus: Focus | None, spans: list[tuple[int, int]], progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Choose what is recorded.

        Args:
            focus: pages and time whose events are all kept; None for none.
            spans: first gfn and number of pages of each memslot that is shown.
            progress: called at each stop with the time, in ns, and the number of the guest's accesses so far.
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
        self._between = 1
        self._asked_s = 0.0
        self._logs = self._began = False

    # While it runs

    def watch(self, machine: TimedMachine) -> None:
        """Report progress before time 0, while the guest is prepared; nothing is recorded."""
        if self.progress is None:
            return
        machine.frames.at[[frame_buffer.LAST, frame_buffer.PERIOD]] = 0, PS_BETWEEN_STOPS

        def at_stop(time: int) -> None:
            machine.frames.at[frame_buffer.LAST] = time
            machine.vm.drain_log()
            self._tell(machine, 0)

        machine.at_stop = at_stop

    def begin(self, machine: TimedMachine, log: CallLog) -> None:
        """Begin at time 0: take a full frame, and be called at the end of each bin from now on."""
        vm = machine.vm
        machine.reset_clock()
        log.rows.clear()
        self.cells = cell_map(self.spans)
        vm.count_cells(cell_rows(self.spans, self.cells.shift), len(self.cells.pages), self.cells.shift)
        self.frames = Frames(self.cells, vm.config.vcpus, rings=vm.config.dirty_log_mode.ring, offset=log.offset)
        self.frames.take(machine.guest_tables, machine.clock, 0, every=True)
        machine.frames, machine.at_stop = self.frames.buffer, self._at_stop(machine)
        if self.focus is not None and self.focus.start == 0:
            self._begin_events(machine, 0)
        self._schedule_stop(machine)

    def _schedule_stop(self, machine: TimedMachine) -> None:
        """Set the time of the next call of Python: where the Focus begins, and often enough for progress reports."""
        at, now = machine.frames.at, monotonic()
        at[frame_buffer.ALARM] = self._alarm()
        if self.progress is None:
            at[frame_buffer.LEFT] = frame_buffer.FRAMES_KEPT
            return
        self._between = min(2 * self._between, frame_buffer.FRAMES_KEPT) if now - self._asked_s < BETWEEN_S else 1
        self._asked_s = now
        at[frame_buffer.LEFT] = self._between - 1

    def _alarm(self) -> int:
        """Time at which the Focus next begins or ends."""
        if self.focus is None or (self._began and not self._logs):
            return FOREVER
        return self._focus_end() if self._logs else self.focus.start * PS_PER_NS

    def _at_stop(self, machine: TimedMachine) -> Callable[[int], None]:
        def at_stop(time_ps: int) -> None:
            machine.vm.drain_log()
            if time_ps >= self._alarm():
                (self._end_events if self._logs else self._begin_events)(machine, time_ps)
            make_room(machine.clock, time_ps)
            if ends_bin(machine.clock, time_ps):
                self._take(machine, time_ps)
            self._tell(machine, time_ps)
            self._schedule_stop(machine)

        return at_stop

    def _tell(self, machine: TimedMachine, time_ps: int) -> None:
        if self.progress is not None:
            self.progress(time_ps // PS_PER_NS, int(machine.clock.accesses.sum()))

    def _take(self, machine: TimedMachine, time_ps: int) -> None:
        if self.frames is not None:
            self.frames.take(machine.guest_tables, machine.clock, time_ps)
        self._keep_events(machine)

    def enabling(self, machine: TimedMachine) -> None:
        """Note that logging is enabled for the first time: the peak of the page tables counts from here."""
        if self.table_pages_at_enable is None:
            stat = machine.vm.state.stat
            machine.vm.memory_overhead_peak()  # updates the peak so far
            self.table_pages_at_enable = int(stat[mmu.STAT_TABLE_PAGES])
            stat[mmu.STAT_TABLE_PAGES_PEAK] = stat[mmu.STAT_TABLE_PAGES]

    # Events

    def _begin_events(self, machine: TimedMachine, time_ps: int) -> None:
        if self.focus is None:
            return
        self._logs = self._began = True
        first, end = self.focus.first_gfn, self.focus.first_gfn + self.focus.pages
        self._keep(initial_rows(machine.guest_tables, first, end, time_ps))
        machine.vm.log_all(mmu.LOG_ALL, first, end)

    def _keep_events(self, machine: TimedMachine) -> None:
        """Keep the events logged since the last call; all are earlier than those logged later."""
        if self._logs:
            self._keep(machine.vm.take_events())

    def _keep(self, rows: I64) -> None:
        rows = rows[rows[:, mmu.LOG_STAMP] < self._focus_end()]
        room = MAX_EVENTS - self._kept
        if len(rows) > room:  # keep the earliest, in whatever order they were logged
            rows = rows[np.lexsort((rows[:, mmu.LOG_WHO], rows[:, mmu.LOG_STAMP]))]
            self.left_out += int(rows[room:, mmu.LOG_COUNT].sum())
        self._kept += len(rows[:room])
        self.events.append(rows[:room])

    def _end_events(self, machine: TimedMachine, _: int) -> None:
        self._keep_events(machine)
        self._logs = False
        machine.vm.log_all(mmu.LOG_NOTHING, 0, 0)

    def _focus_end(self) -> int:
        return FOREVER if self.focus is None or self.focus.end is None else self.focus.end * PS_PER_NS

    def finish(self, machine: TimedMachine) -> None:
        """Finish the recording at the end of the run."""
        state = machine.vm.state
        make_room(machine.clock, machine.time)
        self._take(machine, machine.time)
        self._tell(machine, machine.time)
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


def default_focus(spans: list[tuple[int, int]]) -> Focus | None:
    """The whole guest, if it fits; else None."""
    if not spans:
        return None
    first, end = min(base for base, _ in spans), max(base + pages for base, pages in spans)
    if (end - first) * PAGE_BYTES > MOST_FOCUS_BYTES:
        return None
    return Focus(first_gfn=first, pages=end - first)
