"""The threads of a playback, and the call that each makes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from mmuviz.engine.qemu.calls import Call, Harvest, HarvestRings, Steps, WaitForMeasure
from mmuviz.engine.qemu.state import Qemu, Thread
from mmuviz.studies.migrations import compared
from mmuviz.studies.migrations.actors import Actor, Row, Starter, shown_calls
from mmuviz.studies.migrations.difference import Derailed, Differ
from mmuviz.studies.migrations.pacer import Pacer
from mmuviz.studies.migrations.partly_recorded import Bitmaps
from mmuviz.studies.migrations.plan import MAIN_THREAD, MIGRATION_THREADS, Event

Wanted = TypeVar("Wanted", bound=Call)
MIGRATION: Final = "migration"
"""Key of the migration thread, whose name depends on the QEMU release."""
GO_ON: Final = (MIGRATION, "dirtyrate-stat")
"""Threads that may still run at the end of a recording."""


class Cast:
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
        self.pacer: Pacer | None = None
        self._qemu = qemu
        self._events = events
        self._starter = starter
        self._bitmaps = bitmaps
        self._differ = differ
        self._shown = shown_calls(events)
        self._actors: dict[str, Actor] = {}

    def derail(self, expected: str, got: str) -> Derailed:
        """Note that the model makes another call than the recorded one, and return the exception to raise."""
        self._differ("call", expected, got)
        return Derailed()

    def begin(self, key: str, steps: Callable[[Thread], Steps]) -> None:
        """Begin a function of a thread at a command of the recording's driver."""
        name = next((each["by"] for each in self._events[self.index :] if each.get("by") in MIGRATION_THREADS), "")
        self._actors[key] = Actor(name if key == MIGRATION else key, steps, self._answer, self._shown)

    def of(self, key: str) -> Actor | None:
        """Return the actor of a thread; None if it has not begun."""
        return self._actors.get(key)

    def actor(self, name: str, row: Row | None = None) -> Actor:
        """Return the actor that makes a thread's next call; begin the thread's next function if needed."""
        key = MIGRATION if name in MIGRATION_THREADS else name
        actor = self._actors.get(key)
        while actor is None or actor.peek() is None:
            steps = None if key == MIGRATION else self._starter.steps_of(name, self.index, row)
            if steps is None:
                raise self.derail(self.told(), f"nothing more from thread {name}")
            actor = self._actors[key] = Actor(name, steps, self._answer, self._shown)
            if actor.peek() is None:
                raise self.derail(self.told(), f"no call of thread {name}")
        return actor

    def told(self) -> str:
        """Describe the current event, for a message."""
        event = self._events[self.index]
        return f"{event['op']} {event.get('ev', event.get('by', ''))}".strip()

    def expect(self, name: str, kind: type[Wanted], row: Row | None = None) -> tuple[Actor, Wanted]:
        """Return a thread's next call, which must be of a given kind.

        Raises:
            Derailed: it is of another kind.
        """
        actor = self.actor(name, row)
        call = actor.peek()
        if not isinstance(call, kind):
            raise self.derail(f"{kind.__name__} {row[:4] if row else ''}".strip(), compared.told(call))
        return actor, call

    def _answer(self, actor: Actor, call: Call) -> object:
        if isinstance(call, HarvestRings):
            return self._harvest(actor)
        if isinstance(call, WaitForMeasure) or self.pacer is None:
            return None
        self.pacer.index = self.index
        return self.pacer.answer(call)

    def _harvest(self, actor: Actor) -> Harvest:
        """Return the entries in the rings: those that the thread's next call resets; none if it is not a reset."""
        for event in self._events[self.index :]:
            ends = event["op"] == "TRACE" and event["ev"] == "migration_bitmap_sync_end"
            if ends and actor.name in (*MIGRATION_THREADS, MAIN_THREAD):
                break
            if event.get("by") == actor.name and event["op"] != "EXIT":
                entries = event["ret"] if event["op"] == "RESET_RINGS" else 0
                return Harvest(0, []) if self._bitmaps is None else self._bitmaps.harvested(self._qemu, entries)
        return Harvest(0, [])

    def end(self) -> None:
        """Check that every thread has made all its calls, except those in GO_ON.

        Raises:
            Derailed: a thread would make a further call.
        """
        for name, actor in self._actors.items():
            call = None if name in GO_ON else actor.peek()
            if call is not None:
                raise self.derail(f"nothing more from thread {name}", compared.told(call))
