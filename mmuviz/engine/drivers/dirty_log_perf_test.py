"""The loop of the kernel's selftest dirty_log_perf_test."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Flag
from mmuviz.engine.drivers.base import Iterations, LogsDirtyPages


class DirtyLogPerfTest(LogsDirtyPages):
    """Populate, enable, passes of the workload each with a GET and a CLEAR behind it, disable."""

    kind: Literal["dirty_log_perf_test"] = "dirty_log_perf_test"
    iterations: Annotated[Iterations, Field(description="passes after enabling, each with its GET and CLEAR")] = 2
    runs_while_disabling: Annotated[Flag, Field(description="vCPUs go on while logging is disabled")] = False
