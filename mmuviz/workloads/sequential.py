"""Each vCPU sweeps its pages in order."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class Sequential(Pattern):
    """Every page of the part once a pass, in order, as dirty_log_perf_test does."""
