"""The rounds of a migration, from sync to sync, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mmuviz.engine.calls import Begun, CallLog, guest_so_far
from mmuviz.engine.timed_machine import TimedMachine

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
TOO_MANY_ROUNDS: Final = "too many rounds"
TOO_LONG: Final = "too long"
SETUP: Final = "setup"
ROUND: Final = "round"
DOWNTIME: Final = "downtime"
POSTCOPY: Final = "postcopy"
"""Phases of a migration, as `calls` has them."""


@dataclass(frozen=True)
class Ended:
    """How a migration ended.

    Attributes:
        outcome: one of the words above.
        start_ps: when it began, before logging was enabled.
        stop_ps: when the guest was stopped for the rest, None where it never was.
        switch_ps: when it ran on at the destination, after a switch to post-copy; None without one.
        end_ps: when everything was sent, or logging was disabled again.
        left_pages: pages that were not sent yet at the switch; `left_2m_pages` 2M pages in which some of them lie.
    """

    outcome: str
    start_ps: int
    stop_ps: int | None
    switch_ps: int | None
    end_ps: int
    left_pages: int
    left_2m_pages: int


@dataclass
class RoundLog:
    """Rows of the table `rounds`; each round is a phase in `calls` too, or two where post-copy begins in it.

    Attributes:
        rows: column values of each round.
        ended: how each migration ended, in order.
    """

    rows: list[dict[str, int]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    _phase: Begun | None = None
    _now: dict[str, int] = field(default_factory=dict)

    def begin_setup(self, machine: TimedMachine, log: CallLog) -> None:
        """A migration begins; until its first sync it is in no round."""
        self._phase = log.begin(machine, SETUP, 0)

    def begin(self, machine: TimedMachine, log: CallLog, number: int, kind: str) -> None:
        """A round begins with its sync.

        Args:
            machine: whose time it is.
            log: where its phase is noted.
            number: of the sync.
            kind: ROUND, or DOWNTIME where the guest is stopped.
        """
        self._end_phase(machine, log)
        self._phase = log.begin(machine, kind, number)
        self._now = {
            "migration": len(self.ended) + 1,
            "round": number,
            "start_ps": machine.time,
            "accesses": -guest_so_far(machine)[0],
            "throttled_ps": -int(machine.clock.throttled_ps.sum()),
            **dict.fromkeys(SUMS, 0),
        }

    def switch(self, machine: TimedMachine, log: CallLog) -> None:
        """The guest runs at the destination from now on; the round goes on."""
        if self._phase is not None:
            number = self._phase.iteration
            self._end_phase(machine, log)
            self._phase = log.begin(machine, POSTCOPY, number)

    def add(self, name: str, amount: int) -> None:
        """Add to a sum of the round; what is before the first round belongs to none."""
        if self._now:
            self._now[name] += amount

    def note(self, name: str, value: int) -> None:
        """A state of the round."""
        self._now[name] = value

    def end(self, machine: TimedMachine, log: CallLog, **states: int) -> None:
        """It ends, if there is one, with what QEMU knows then."""
        if self._now:
            self.add("accesses", guest_so_far(machine)[0])
            self.add("throttled_ps", int(machine.clock.throttled_ps.sum()))
            self.rows.append({**self._now, "end_ps": machine.time, **states})
            self._now = {}
        self._end_phase(machine, log)

    def _end_phase(self, machine: TimedMachine, log: CallLog) -> None:
        if self._phase is not None:
            log.end(machine, self._phase)
        self._phase = None


SUMS: Final = (
    "pages_sent",
    "zero_pages",
    "bytes_sent",
    "resent_pages",
    "rewritten_pages",
    "new_dirty_pages",
    "remaining_pages",
    "get_ps",
    "clear_ps",
)
