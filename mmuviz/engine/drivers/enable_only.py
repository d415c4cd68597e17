"""The guest runs before, during and after the ioctl that enables dirty logging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmuviz.engine.drivers.base import PS_PER_NS, LogsDirtyPages, Span, enable_logged

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class EnableOnly(LogsDirtyPages):
    """Populate; let the guest run; enable; let it run on. It never stops."""

    kind: Literal["enable_only"] = "enable_only"
    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    tail: Annotated[Span, Field(description="how long the guest runs on after that")] = 0

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return (self.lead + self.tail) * PS_PER_NS

    def drive(self, session: Session) -> None:
        """Run the driver; the clock starts after the guest's memory is mapped."""
        guest, machine = session.guest, session.machine
        guest.populate()
        session.begin_clock()
        if self.lead or self.tail:
            guest.start()
        guest.run_for("lead", 0, machine.time + self.lead * PS_PER_NS)
        enable_logged(session)
        guest.run_for("tail", 1, machine.time + self.tail * PS_PER_NS)
        machine.halt()
