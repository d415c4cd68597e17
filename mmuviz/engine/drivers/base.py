"""Base types of the drivers, and the ioctl sequences that they share."""

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
    """Base of every driver; the defaults are for a driver without logging: no big lock, no rings to reap."""

    @abstractmethod
    def drive(self, session: Session) -> None:
        """Run the guest and call the ioctls, from populating to the end of the run."""

    @abstractmethod
    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps: run() derives the width of bins from it."""

    @property
    def holds_big_lock(self) -> bool:
        """Whether the thread that calls ioctls holds the lock that exits to userspace need."""
        return False

    @property
    def reap_interval_ps(self) -> int:
        """Interval at which the reaper thread harvests rings, ps; 0: only when a ring is full."""
        return 0


class LogsDirtyPages(Drives):
    """Base of drivers that enable dirty logging, except for migrations, which are Migrates."""

    big_lock: Annotated[
        Flag, Field(description="the thread that calls ioctls holds the lock that exits to userspace need")
    ] = False
    reap_interval: Annotated[
        Span,
        Field(
            description="interval at which the reaper thread harvests rings; 0: only when a ring is full",
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


def start_guest(session: Session, lead_ns: int) -> None:
    """Populate and start the guest, and let it run before logging; the clock starts after its memory is mapped.

    Args:
        session: the run.
        lead_ns: how long the guest runs before logging is enabled.
    """
    guest, machine = session.guest, session.machine
    guest.populate()
    session.begin_clock()
    guest.start()
    guest.run_for("lead", 0, machine.time + lead_ns * PS_PER_NS)


def enable_logged(session: Session) -> None:
    """Enable dirty logging for each memslot in turn."""
    session.recorder.enabling(session.machine)
    for slot in session.logged:
        session.ioctls.enable(slot)


def disable_logged(session: Session) -> None:
    """Disable dirty logging for each memslot in turn."""
    for slot in session.logged:
        session.ioctls.disable(slot)


def read_log(session: Session, chunk: int) -> None:
    """GET the dirty log of every memslot and, in manual modes, CLEAR it; or harvest and reset the rings.

    Args:
        session: the run.
        chunk: pages per CLEAR; 0 for the whole slot.
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
