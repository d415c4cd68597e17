"""A pattern in which each vCPU accesses uniformly random pages."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.core.errors import InputError, short_repr
from mmuviz.workloads import stream
from mmuviz.workloads.pattern import MOST, Pattern


@dataclass(frozen=True)
class UniformRandom(Pattern):
    """Uniformly random pages, with replacement; every pass draws anew.

    Attributes:
        per_pass: accesses per pass; 0: as many as the part has pages.
    """

    per_pass: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: a field is out of range.
        """
        super().__post_init__()
        if not 0 <= self.per_pass <= MOST:
            raise InputError(f"per_pass={short_repr(self.per_pass)} must be 0 (one for each page) to {MOST}")

    @property
    def kind(self) -> int:
        """KIND of the streams: the rule from positions to pages."""
        return stream.RANDOM

    def accesses(self, pages: int) -> int:
        """Return the accesses of one pass over a part of `pages` pages."""
        return self.per_pass or pages
