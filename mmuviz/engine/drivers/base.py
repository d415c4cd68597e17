"""What drivers have in common: who calls the ioctls, and how rings are reaped."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from mmuviz.core.pages import BITS_PER_LONG
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.phases import LONGEST_NS
from mmuviz.engine.choices.units import Flag, Time, Whole

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

PS_PER_NS: Final = 10**3
MOST_ITERATIONS: Final = 1000
Span = Annotated[Time, Field(le=LONGEST_NS)]
Iterations = Annotated[Whole, Field(ge=1, le=MOST_ITERATIONS)]


class Drives(Choices, ABC):
    """Base of every driver; one that does not log has neither a lock over its ioctls nor rings to reap."""

    @abstractmethod
    def drive(self, session: Session) -> None:
        """Run the guest and call the ioctls, from populating to the end of the run."""

    @abstractmethod
    def least_ps(self) -> int:
        """Shortest time that a run can take, by its own fields, ps: run() derives the width of bins from it."""

    @property
    def holds_big_lock(self) -> bool:
        """Whether the thread that calls ioctls holds the lock that exits to userspace need."""
        return False

    @property
    def reap_interval_ps(self) -> int:
        """How often the thread that reaps rings comes by itself, 0 for only when a ring is full."""
        return 0


class LogsDirtyPages(Drives):
    """A driver that enables dirty logging and is no migration: those are Migrates."""

    big_lock: Annotated[
        Flag, Field(description="the thread that calls ioctls holds the lock that exits to userspace need")
    ] = False
    reap_interval: Annotated[
        Span,
        Field(
            description="how often the thread that reaps rings comes by itself; 0: only when a ring is full",
            json_schema_extra={"depends": "ring modes"},
        ),
    ] = 0

    @property
    def holds_big_lock(self) -> bool:
        """See Drives."""
        return self.big_lock

    @property
    def reap_interval_ps(self) -> int:
        """See Drives."""
        return self.reap_interval * PS_PER_NS


def enable_logged(session: Session) -> None:
    """Enable dirty logging, memslot by memslot."""
    session.recorder.enabling(session.machine)
    for slot in session.logged:
        session.ioctls.enable(slot)


def disable_logged(session: Session) -> None:
    """Disable dirty logging, memslot by memslot."""
    for slot in session.logged:
        session.ioctls.disable(slot)


def read_log(session: Session, chunk: int) -> None:
    """Userspace reads the dirty log, memslot by memslot, and has the pages protected again.

    Args:
        session: the run.
        chunk: pages that one CLEAR covers; 0 for the whole slot.
    """
    ioctls, vm = session.ioctls, session.machine.vm
    mode = vm.config.dirty_log_mode
    if mode.ring:
        ioctls.harvest_and_reset_rings()
        return
    found = [(slot, ioctls.get(slot)) for slot in session.logged]
    for slot, bits in found if mode.manual else ():
        pages = vm.span(slot)[1]
        step = chunk or pages
        for first in range(0, pages, step):
            count = min(step, pages - first)
            words = slice(first // BITS_PER_LONG, -(-(first + count) // BITS_PER_LONG))
            ioctls.clear(slot, first, count, bits[words])
