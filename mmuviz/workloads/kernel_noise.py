"""A pattern in which each vCPU is idle except for its kernel's timer ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.workloads.hot_set import HotSet
from mmuviz.workloads.pattern import MOST
from mmuviz.workloads.stream import ALWAYS

DEFAULT_PAGES: Final = 2048


@dataclass(frozen=True)
class KernelNoise(HotSet):
    """Random writes to the first pages of the part, uniform, as by timer ticks and daemons of an idle guest.

    Attributes:
        noise_pages: pages written, of each vCPU's part, or of all memory if it is shared.
    """

    hot_access_permille: int = ALWAYS
    noise_pages: int = DEFAULT_PAGES

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: a field is out of range.
        """
        super().__post_init__()
        if not 1 <= self.noise_pages <= MOST:
            raise InputError(f"noise_pages={short_repr(self.noise_pages)} must be 1 to {MOST}")

    def hot_pages(self, pages: int) -> int:
        """Return the number of pages written in a part of `pages` pages."""
        return min(self.noise_pages, pages)
