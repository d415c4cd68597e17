"""Rounds of a migration (one per dirty-bitmap sync) and the migration's outcome."""

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
"""Kinds of a migration's phases in the table `calls`."""


@dataclass(frozen=True)
class Ended:
    """Outcome and times of a migration.

    Attributes:
        outcome: COMPLETED, CANCELLED, TOO_MANY_ROUNDS or TOO_LONG.
        start_ps: start of the migration, before logging is enabled.
        stop_ps: time at which the guest was stopped for the downtime; None if it never was.
        switch_ps: time at which the guest resumed at the destination by post-copy; None without a switch.
        end_ps: time at which the last page was sent, or logging was disabled again.
        left_pages: pages not yet sent at the switch.
        left_2m_pages: 2M pages that contain at least one of them.
        lost_pages: pages that the guest wrote after each was last sent; None if the migration was given up.
    """

    outcome: str
    start_ps: int
    stop_ps: int | None
    switch_ps: int | None
    end_ps: int
    left_pages: int
    left_2m_pages: int
    lost_pages: int | None


@dataclass
class RoundLog:
    """Rows of the table `rounds`; each round is also a phase in `calls`, or two if post-copy begins in it.

    Attributes:
        rows: column values of each round.
        ended: outcome of each migration, in order.
    """

    rows: list[dict[str, int]] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    _phase: Begun | None = None
    _now: dict[str, int] = field(default_factory=dict)

    def begin_setup(self, machine: TimedMachine, log: CallLog) -> None:
        """Begin a migration's setup phase; its first round begins with the first sync."""
        self._phase = log.begin(machine, SETUP, 0)

    def begin(self, machine: TimedMachine, log: CallLog, number: int, kind: str) -> None:
        """Begin a round, which starts with its sync.

        Args:
            machine: the machine, for time and counters.
            log: the call log that gets the phase.
            number: the sync's number.
            kind: ROUND, or DOWNTIME if the guest is stopped.
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
        """Begin the post-copy phase: the guest runs at the destination; the round continues."""
        if self._phase is not None:
            number = self._phase.iteration
            self._end_phase(machine, log)
            self._phase = log.begin(machine, POSTCOPY, number)

    def add(self, name: str, amount: int) -> None:
        """Add to one of the round's sums; amounts before the first round are dropped."""
        if self._now:
            self._now[name] += amount

    def note(self, name: str, value: int) -> None:
        """Set a column of the current round."""
        self._now[name] = value

    def end(self, machine: TimedMachine, log: CallLog, **states: int) -> None:
        """End the current round, if there is one, and store QEMU's state in its row."""
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
    "sync_ps",
    "get_ps",
    "clear_ps",
)
