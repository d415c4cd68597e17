"""The rounds of a migration, from sync to sync, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mmuviz.engine.calls import Begun, CallLog
from mmuviz.engine.timed_machine import TimedMachine

COMPLETED: Final = "completed"
CANCELLED: Final = "cancelled"
TOO_MANY_ROUNDS: Final = "too many rounds"
TOO_LONG: Final = "too long"


@dataclass(frozen=True)
class Ended:
    """How a migration ended.

    Attributes:
        outcome: one of the words above.
        start_ps: when it began, before logging was enabled.
        stop_ps: when the guest was stopped for the rest, None where it never was.
        end_ps: when everything was sent, or logging was disabled again.
    """

    outcome: str
    start_ps: int
    stop_ps: int | None
    end_ps: int


@dataclass
class RoundLog:
    """Rows of the table `rounds`; each round is a phase in `calls` too.

    Attributes:
        rows: column values of each round.
        ended: how the migration ended, None without one.
    """

    rows: list[dict[str, int]] = field(default_factory=list)
    ended: Ended | None = None
    _begun: Begun | None = None
    _now: dict[str, int] = field(default_factory=dict)

    def begin(self, machine: TimedMachine, log: CallLog, number: int, *, stopped: bool) -> None:
        """A round begins with its sync."""
        self._begun = log.begin(machine, "downtime" if stopped else "round", number)
        self._now = dict.fromkeys(SUMS, 0)

    def add(self, name: str, amount: int) -> None:
        """Add to a sum of the round; what is before the first round belongs to none."""
        if self._begun is not None:
            self._now[name] += amount

    def note(self, name: str, value: int) -> None:
        """A state of the round."""
        self._now[name] = value

    def end(self, machine: TimedMachine, log: CallLog, **states: int) -> None:
        """It ends, if there is one, with what QEMU knows then."""
        if self._begun is None:
            return
        log.end(machine, self._begun)
        self.rows.append({"round": self._begun.iteration, **self._now, **states})
        self._begun = None


SUMS: Final = ("pages_sent", "bytes_sent", "resent_pages", "new_dirty_pages", "remaining_pages", "get_ps", "clear_ps")
