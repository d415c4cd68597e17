"""The union of all drivers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mmuviz.engine.drivers.calc_dirty_rate import CalcDirtyRate
from mmuviz.engine.drivers.dirty_log_perf_test import DirtyLogPerfTest
from mmuviz.engine.drivers.enable_only import EnableOnly
from mmuviz.engine.drivers.listed_ops import ListedOps
from mmuviz.engine.drivers.live_rounds import LiveRounds
from mmuviz.engine.drivers.plain_precopy import PlainPrecopy
from mmuviz.engine.drivers.pre_split import PreSplit
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.engine.drivers.without_logging import WithoutLogging

Driver = Annotated[
    EnableOnly
    | DirtyLogPerfTest
    | LiveRounds
    | WithoutLogging
    | PreSplit
    | ListedOps
    | QemuPrecopy
    | PlainPrecopy
    | CalcDirtyRate,
    Field(discriminator="kind"),
]
