"""What drivers have in common: who calls the ioctls, and how rings are reaped."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.phases import LONGEST_NS
from mmuviz.engine.choices.units import Flag, Time, Whole

MOST_ITERATIONS: Final = 1000
Span = Annotated[Time, Field(le=LONGEST_NS)]
Iterations = Annotated[Whole, Field(ge=1, le=MOST_ITERATIONS)]


class LogsDirtyPages(Choices):
    """A driver that enables dirty logging."""

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
