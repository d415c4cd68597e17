"""A pattern in which each vCPU sweeps its part in order, with reads and writes."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads import stream
from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class ReadWriteMix(Pattern):
    """Every page of the part once per pass, in order; whether an access writes is drawn anew in each pass."""

    write_permille: int = stream.ALWAYS // 2
