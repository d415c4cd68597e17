"""Each vCPU touches mostly the first pages of its part."""

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
    """Pages drawn, evenly from the hot ones or evenly from the others; every pass draws anew.

    Attributes:
        hot_ppm: of a million pages, so many are hot, at least one: the first of the part.
        hot_access_permille: of a thousand accesses, so many go to hot pages.
    """

    hot_ppm: int = MILLION // 10
    hot_access_permille: int = 900

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: one of them is out of range.
        """
        super().__post_init__()
        for name, most in (("hot_ppm", MILLION), ("hot_access_permille", stream.ALWAYS)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise InputError(f"{name}={short_repr(value)} must be 0 to {most}")

    @property
    def kind(self) -> int:
        """How positions become pages."""
        return stream.HOT_SET

    def hot_pages(self, pages: int) -> int:
        """Hot pages of a part of so many."""
        return max(1, pages * self.hot_ppm // MILLION)

    def streams(self, base_gfn: int, pages: int, vcpus: int) -> I64:
        """The vCPUs' streams; see Pattern.streams()."""
        rows = super().streams(base_gfn, pages, vcpus)
        rows[:, stream.HOT_PAGES] = [self.hot_pages(int(each)) for each in rows[:, stream.PAGES]]
        rows[:, stream.HOT_PERMILLE] = self.hot_access_permille
        return rows
