"""A pattern in which each vCPU copies one half of its part to the other, page by page."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.workloads import stream
from mmuviz.workloads.pattern import Pattern


@dataclass(frozen=True)
class Copy(Pattern):
    """A copy, page by page in order: reads a page of the lower half, writes the corresponding page of the upper half.

    The middle page of an odd number of pages is not accessed; a single page is read and written.
    """

    write_permille: int = stream.ALWAYS // 2

    @property
    def kind(self) -> int:
        """KIND of the streams: the rule from positions to pages."""
        return stream.COPY

    def accesses(self, pages: int) -> int:
        """Return the accesses of one pass over a part: a read and a write for each page of half of it."""
        return 2 * max(pages // 2, 1)
