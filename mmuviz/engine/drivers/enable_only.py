"""The guest runs before, during and after the ioctl that enables dirty logging."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmuviz.engine.drivers.base import LogsDirtyPages, Span


class EnableOnly(LogsDirtyPages):
    """Populate; let the guest run; enable; let it run on. It never stops."""

    kind: Literal["enable_only"] = "enable_only"
    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    tail: Annotated[Span, Field(description="how long it runs on after that")] = 0
