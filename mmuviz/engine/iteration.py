"""One ram_save_iterate() of QEMU: it ends at the rate limit, or at a clock check after more than 50 ms."""

from __future__ import annotations

from typing import Final

import numpy as np

from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import RamBlock
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.mmu.state import I64

LATE_PS: Final = 51 * 10**9
"""An iteration ends once it has lasted more than 50 whole ms. QEMU: MAX_WAIT, ram_save_iterate()"""
CHECKED_PAGES: Final = 64
"""Host pages between two clock checks."""


class Iteration:
    """Progress of an iteration.

    QEMU checks the clock after the first host page and after every 64th host page from there on.
    """

    def __init__(self, machine: TimedMachine, page_ps: int) -> None:
        """Start without an iteration.

        Args:
            machine: the machine, for its time.
            page_ps: time to send one page, ps.
        """
        self._machine = machine
        self._page_ps = page_ps
        self._began_ps = 0
        self._host_pages = 0
        self._last: tuple[str, int] | None = None

    def begin(self) -> None:
        """Begin an iteration now."""
        self._began_ps = self._machine.time
        self._host_pages = 0
        self._last = None

    @property
    def is_late(self) -> bool:
        """Whether QEMU checks the clock at this host page and more than 50 ms have passed."""
        late = self._machine.time - self._began_ps >= LATE_PS
        return late and self._host_pages % CHECKED_PAGES == 1

    def room(self, block: RamBlock, page: int) -> int:
        """Return the pages, from a page to its chunk's end at most, up to the clock check that ends the iteration.

        Args:
            block: the RAM block.
            page: the first page.
        """
        hosts = self._host_pages_to_look(block)
        if block.host_pages == 1:
            return hosts
        bits = block.bmap
        if not isinstance(bits, Pages):
            raise TypeError("a clock needs sets of which every bit is known")
        chunk_end = ((page >> block.chunk_shift) + 1) << block.chunk_shift
        return bits.pages_in_groups(page, chunk_end, block.host_pages, hosts)

    def _host_pages_to_look(self, block: RamBlock) -> int:
        """Return the number of host pages up to that clock check, if all of them are dirty."""
        found = 1 if self._host_pages == 0 else CHECKED_PAGES - (self._host_pages - 1) % CHECKED_PAGES
        each = self._page_ps * block.host_pages
        rest = LATE_PS - (self._machine.time - self._began_ps) - found * each
        return found + CHECKED_PAGES * -(-rest // (CHECKED_PAGES * each)) if rest > 0 else found

    def sent(self, block: RamBlock, pages: I64) -> None:
        """Count the host pages of pages just sent; a host page that spans two chunks counts once.

        Args:
            block: the RAM block.
            pages: int64[n], ascending.
        """
        first, last = ((block.name, int(pages[at]) // block.host_pages) for at in (0, -1))
        if first == last:
            hosts = 1
        elif block.host_pages == 1:
            hosts = len(pages)
        else:
            hosts = 1 + int(np.count_nonzero(np.diff(pages // block.host_pages)))
        self._host_pages += hosts - (first == self._last)
        self._last = last
