"""The pre-split of 2020: a thread splits huge pages by faulting before logging is enabled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Whole
from mmuviz.engine.drivers.base import MOST_ITERATIONS, LogsDirtyPages


class PreSplit(LogsDirtyPages):
    """Populate, fault every 4K page for a dummy vCPU, enable, passes of the workload."""

    kind: Literal["pre_split"] = "pre_split"
    iterations: Annotated[Whole, Field(ge=0, le=MOST_ITERATIONS, description="passes after enabling")] = 2
