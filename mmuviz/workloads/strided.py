"""A pattern in which each vCPU accesses every n-th page."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGES_PER_2M
from mmuviz.workloads.pattern import MOST, Pattern


@dataclass(frozen=True)
class Strided(Pattern):
    """One page of every `stride_pages`, in order: with 512 each access is in a new 2M region.

    Attributes:
        stride_pages: pages from one access to the next.
    """

    stride_pages: int = PAGES_PER_2M

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: a field is out of range.
        """
        super().__post_init__()
        if not 1 <= self.stride_pages <= MOST:
            raise InputError(f"stride_pages={short_repr(self.stride_pages)} must be 1 to {MOST}")

    @property
    def stride(self) -> int:
        """Pages from one access to the next."""
        return self.stride_pages
