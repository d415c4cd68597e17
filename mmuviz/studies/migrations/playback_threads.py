"""The threads of a playback, and the call that each makes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from mmuviz.engine.qemu.calls import Call, Harvest, HarvestRings, Steps, WaitForMeasure
from mmuviz.engine.qemu.state import Qemu, Thread
from mmuviz.studies.migrations import compared
from mmuviz.studies.migrations.difference import Differ, Diverged
from mmuviz.studies.migrations.partly_recorded import Bitmaps
from mmuviz.studies.migrations.plan import MAIN_THREAD, MIGRATION_THREADS, Event
from mmuviz.studies.migrations.playback_thread import PlaybackThread, Row, Starter, shown_calls
from mmuviz.studies.migrations.recorded_timing import RecordedTiming

Wanted = TypeVar("Wanted", bound=Call)
MIGRATION: Final = "migration"
"""Key of the migration thread, whose name depends on the QEMU release."""
GO_ON: Final = (MIGRATION, "dirtyrate-stat")
"""Threads that may still run at the end of a recording."""


class PlaybackThreads:
    """The threads of a playback, and the answers to calls that the recording does not contain.

    Args:
        qemu: the QEMU that is played back.
        events: events of the recording.
        starter: selects the function that a thread begins to execute.
        bitmaps: answers of GETs and harvests if the recording lacks bits; else None.
        differ: function that notes a difference at the current event.
    """

    def __init__(
        self, qemu: Qemu, events: list[Event], starter: Starter, bitmaps: Bitmaps | None, differ: Differ
    ) -> None:
        self.index = 0
        self.timing: RecordedTiming | None = None
        self._qemu = qemu
        self._events = events
        self._starter = starter
        self._bitmaps = bitmaps
        self._differ = differ
        self._shown = shown_calls(events)
        self._threads: dict[str, PlaybackThread] = {}

    def diverge(self, expected: str, got: str) -> Diverged:
        """Note that the model makes another call than the recorded one, and return the exception to raise."""
        self._differ("call", expected, got)
        return Diverged()

    def begin(self, key: str, steps: Callable[[Thread], Steps]) -> None:
        """Begin a function of a thread at a command of the recording's driver."""
        name = next((each["by"] for each in self._events[self.index :] if each.get("by") in MIGRATION_THREADS), "")
        self._threads[key] = PlaybackThread(name if key == MIGRATION else key, steps, self._answer, self._shown)

    def of(self, key: str) -> PlaybackThread | None:
        """Return a thread's PlaybackThread; None if the thread has not begun."""
        return self._threads.get(key)

    def thread(self, name: str, row: Row | None = None) -> PlaybackThread:
        """Return the function that makes a thread's next call; begin the thread's next function if needed."""
        key = MIGRATION if name in MIGRATION_THREADS else name
        thread = self._threads.get(key)
        while thread is None or thread.peek() is None:
            steps = None if key == MIGRATION else self._starter.steps_of(name, self.index, row)
            if steps is None:
                raise self.diverge(self.event_text(), f"nothing more from thread {name}")
            thread = self._threads[key] = PlaybackThread(name, steps, self._answer, self._shown)
            if thread.peek() is None:
                raise self.diverge(self.event_text(), f"no call of thread {name}")
        return thread

    def event_text(self) -> str:
        """Describe the current event, for a message."""
        event = self._events[self.index]
        return f"{event['op']} {event.get('ev', event.get('by', ''))}".strip()

    def expect(self, name: str, kind: type[Wanted], row: Row | None = None) -> tuple[PlaybackThread, Wanted]:
        """Return a thread's next call, which must be of a given kind.

        Raises:
            Diverged: it is of another kind.
        """
        thread = self.thread(name, row)
        call = thread.peek()
        if not isinstance(call, kind):
            raise self.diverge(f"{kind.__name__} {row[:4] if row else ''}".strip(), compared.call_text(call))
        return thread, call

    def _answer(self, thread: PlaybackThread, call: Call) -> object:
        if isinstance(call, HarvestRings):
            return self._harvest(thread)
        if isinstance(call, WaitForMeasure) or self.timing is None:
            return None
        self.timing.index = self.index
        return self.timing.answer(call)

    def _harvest(self, thread: PlaybackThread) -> Harvest:
        """Return the entries in the rings: those that the thread's next call resets; none if it is not a reset."""
        for event in self._events[self.index :]:
            ends = event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_end"
            if ends and thread.name in (*MIGRATION_THREADS, MAIN_THREAD):
                break
            if event.get("by") == thread.name and event["op"] != "EXIT":
                entries = event["ret"] if event["op"] == "RESET_RINGS" else 0
                return Harvest(0, []) if self._bitmaps is None else self._bitmaps.harvested(self._qemu, entries)
        return Harvest(0, [])

    def end(self) -> None:
        """Check that every thread has made all its calls, except those in GO_ON.

        Raises:
            Diverged: a thread would make a further call.
        """
        for name, thread in self._threads.items():
            call = None if name in GO_ON else thread.peek()
            if call is not None:
                raise self.diverge(f"nothing more from thread {name}", compared.call_text(call))
