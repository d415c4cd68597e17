"""A guest that never stops while userspace reads and clears its dirty log, as a migration does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Flag, PagedSize
from mmuviz.engine.drivers.base import Iterations, LogsDirtyPages, Span


class LiveRounds(LogsDirtyPages):
    """Populate; let the guest run; enable; then every interval a GET and CLEARs; let it run on; disable or not."""

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
