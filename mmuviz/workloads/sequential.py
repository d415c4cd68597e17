"""A pattern in which each vCPU sweeps its part in order."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class Sequential(Pattern):
    """Every page of the part once per pass, in order, as in dirty_log_perf_test."""
