"""A pattern without accesses."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class Idle(Pattern):
    """No access at all: a halted guest."""

    def accesses(self, pages: int) -> int:
        """Return the accesses of one pass: 0."""
        return 0 * pages
