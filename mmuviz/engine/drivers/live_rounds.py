"""A driver that GETs and CLEARs the dirty log of a running guest at intervals, as a migration does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.units import Flag, PagedSize
from mmuviz.engine.drivers.base import (
    PS_PER_NS,
    Iterations,
    LogsDirtyPages,
    Span,
    disable_logged,
    enable_logged,
    read_log,
    start_guest,
)

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


class LiveRounds(LogsDirtyPages):
    """Populate; let the guest run; enable; GET and CLEARs at once and after every interval; run on; disable or not."""

    kind: Literal["live_rounds"] = "live_rounds"
    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    rounds: Annotated[Iterations, Field(description="GETs, each with its CLEARs, or harvests of the rings")] = 2
    interval: Annotated[Span, Field(ge=1, description="from one round's start to the next")] = 500_000_000
    clear_chunk: Annotated[
        PagedSize,
        Field(
            description="bytes that one CLEAR covers; 0: the whole slot",
            json_schema_extra={"depends": "manual modes", "values": "0 or a multiple of 256 KiB (64 pages)"},
        ),
    ] = 0
    tail: Annotated[Span, Field(description="how long the guest runs on after the last round")] = 0
    disable: Annotated[Flag, Field(description="disable logging at the end, while the guest runs")] = False

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return (self.lead + self.rounds * self.interval + self.tail) * PS_PER_NS

    def drive(self, session: Session) -> None:
        """Run the driver; the clock starts after the guest's memory is mapped."""
        guest, machine, ioctls = session.guest, session.machine, session.ioctls
        start_guest(session, self.lead)
        enable_logged(session)
        for iteration in range(1, self.rounds + 1):
            ioctls.iteration = iteration
            next_round = machine.time + self.interval * PS_PER_NS
            read_log(session, self.clear_chunk // PAGE_BYTES)
            guest.run_for("interval", iteration, next_round)
        guest.run_for("tail", self.rounds, machine.time + self.tail * PS_PER_NS)
        if self.disable:
            disable_logged(session)
        machine.halt()
