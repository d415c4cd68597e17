"""A pattern in which most accesses of each vCPU go to the first pages of its part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.workloads import stream
from mmuviz.workloads.stream import I64
from mmuviz.workloads.uniform_random import UniformRandom

MILLION: Final = 1_000_000


@dataclass(frozen=True)
class HotSet(UniformRandom):
    """Random pages, uniform among the hot ones or among the others; every pass draws anew.

    Attributes:
        hot_ppm: hot pages per million, at least one page; they are the first ones of the part.
        hot_access_permille: accesses to hot pages, per thousand.
    """

    hot_ppm: int = MILLION // 10
    hot_access_permille: int = 900

    def __post_init__(self) -> None:
        """Check the fields.

        InputError: a field is out of range.
            InputError: one of them is out of range.
        """
        super().__post_init__()
        for name, most in (("hot_ppm", MILLION), ("hot_access_permille", stream.ALWAYS)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"{name}={short_repr(value)} must be 0 to {most}")

    @property
    def kind(self) -> int:
        """KIND of the streams: the rule from positions to pages."""
        return stream.HOT_SET

    def hot_pages(self, pages: int) -> int:
        """Return the number of hot pages in a part of `pages` pages."""
        return max(1, pages * self.hot_ppm // MILLION)

    def streams(self, first_page: int, pages: int, vcpus: int) -> I64:
        """Return the vCPUs' streams; see Pattern.streams()."""
        rows = super().streams(first_page, pages, vcpus)
        rows[:, stream.HOT_PAGES] = [self.hot_pages(int(each)) for each in rows[:, stream.PAGES]]
        rows[:, stream.HOT_PERMILLE] = self.hot_access_permille
        return rows
