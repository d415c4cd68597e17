"""Base of all access patterns: a part of RAM for each vCPU, a rate, a share of writes, a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from mmuviz.core.errors import InputError
from mmuviz.workloads import stream
from mmuviz.workloads.stream import I64

PS_PER_S: Final = 10**12
MOST: Final = 1 << 40
"""Largest stride in pages, and most accesses of a pass."""


@dataclass(frozen=True)
class Pattern:
    """An access pattern; every vCPU has its own contiguous part of RAM, or all share all of it.

    Attributes:
        write_permille: writes per thousand accesses.
        rate_hz: accesses per second and vCPU that the guest tries to make; 0: as fast as possible.
        shared: whether all vCPUs access all of RAM; otherwise each accesses its own part.
        seed: seed of all draws.
        exit_rate_hz: exits to userspace per second and vCPU (device emulation); 0 for none.
    """

    write_permille: int = stream.ALWAYS
    rate_hz: int = 0
    shared: bool = False
    seed: int = 1
    exit_rate_hz: int = 0

    def __post_init__(self) -> None:
        """Check the fields.

        Raises:
            InputError: a field is out of range.
        """
        if not 0 <= self.write_permille <= stream.ALWAYS:
            raise InputError(f"write_permille={self.write_permille} must be 0 to {stream.ALWAYS}")
        for name, none in (("rate_hz", "as fast as it can"), ("exit_rate_hz", "none")):
            rate = getattr(self, name)
            if not 0 <= rate <= PS_PER_S:
                raise InputError(f"{name}={rate} must be 0 ({none}) to {PS_PER_S}")
        if not 0 <= self.seed < 1 << 31:
            raise InputError(f"seed={self.seed} must be 0 to {(1 << 31) - 1}")

    @property
    def kind(self) -> int:
        """KIND of the streams (see stream.py): the rule from positions to pages."""
        return stream.STEPS

    @property
    def stride(self) -> int:
        """Pages from one access to the next."""
        return 1

    def accesses(self, pages: int) -> int:
        """Return the accesses of one pass over a part of `pages` pages."""
        return -(-pages // self.stride)

    def streams(self, first_page: int, pages: int, vcpus: int) -> I64:
        """Return the vCPUs' streams, each at the start of its first pass.

        Args:
            first_page: first page of the pattern's RAM, counted over all memslots; not a gfn.
            pages: pages of that RAM; all vCPUs' parts are equal, except that the last one also gets the remainder.
            vcpus: number of vCPUs.

        Returns:
            int64[vcpus, stream.COLUMNS].

        Raises:
            InputError: fewer pages than vCPUs.
        """
        if pages < vcpus:
            raise InputError(f"pages={pages} must be at least one for each of {vcpus} vCPUs")
        rows = np.zeros((vcpus, stream.COLUMNS), dtype=np.int64)
        part = pages if self.shared else pages // vcpus
        first = np.zeros(vcpus, dtype=np.int64) if self.shared else np.arange(vcpus) * part
        rows[:, stream.KIND] = self.kind
        rows[:, stream.FIRST_PAGE] = first_page + first
        rows[:, stream.PAGES] = part
        rows[-1, stream.PAGES] = pages - first[-1]
        rows[:, stream.STRIDE] = self.stride
        rows[:, stream.ACCESSES] = [self.accesses(int(each)) for each in rows[:, stream.PAGES]]
        rows[:, stream.WRITE_PERMILLE] = self.write_permille
        rows[:, stream.SEED] = self.seed * 1_000_003 + np.arange(vcpus) * 4_099
        rows[:, stream.PERIOD] = PS_PER_S // self.rate_hz if self.rate_hz else 0
        rows[:, stream.EXIT_PERIOD] = PS_PER_S // self.exit_rate_hz if self.exit_rate_hz else 0
        return rows
