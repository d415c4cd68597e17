"""The vCPUs do nothing."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class Idle(Pattern):
    """No access at all: a halted guest."""

    def accesses(self, pages: int) -> int:
        """Accesses of one pass: none, of however many pages."""
        return 0 * pages
