"""Pages in the migration stream: their bytes, the time they take, and which of them are sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mmuviz.core.pages import PAGE_BYTES, PG_LEVEL_4K
from mmuviz.costs.hosts import HostProfile
from mmuviz.engine import clock as layout
from mmuviz.engine.qemu.page_set import Bits, Pages
from mmuviz.engine.qemu.rate_limit import HEADER_BYTES, STREAM_PAGE_BYTES
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.engine.rewritten import Rewritten, can_lose_pages
from mmuviz.engine.sent_cells import CellCounts, hold
from mmuviz.engine.timed_machine import TimedMachine
from mmuviz.mmu.state import I64

if TYPE_CHECKING:
    from mmuviz.engine.session import Session

PS_PER_NS: Final = 10**3
PS_PER_S: Final = 10**12
ZERO_BYTES: Final = HEADER_BYTES + 1
"""A zero page in the stream: header and fill byte. QEMU: save_zero_page_to_file()"""
PACKET_PAGES: Final = 128
"""Pages in a multifd packet: MULTIFD_PACKET_SIZE, 512 KiB."""
PACKET_BYTES: Final = 320 + 8 * PACKET_PAGES
"""Header of a multifd packet, sizeof(MultiFDPacket_t) plus one offset per page. QEMU: migration/multifd.h"""
PERMYRIAD: Final = 10_000
MIX: Final = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Constants of splitmix64."""
DISTANCE: Final = 1 << 40
"""Offset between two RAM blocks' page numbers in the draw of zero pages."""


class Batch(NamedTuple):
    """Pages that are sent back to back.

    Attributes:
        pages: number of pages.
        zeros: zero pages among them.
        resent: pages that were sent before.
        rewritten: resent pages that the guest wrote since; None if not counted.
        sent_bytes: bytes of the stream.
        took_ps: time for which the link, or QEMU's threads, are busy with them.
        cells: page counts per cell.
    """

    pages: int
    zeros: int
    resent: int
    rewritten: int | None
    sent_bytes: int
    took_ps: int
    cells: CellCounts

    @property
    def full(self) -> int:
        """Pages whose content is sent."""
        return self.pages - self.zeros


class Stream(NamedTuple):
    """Parameters of the migration stream.

    Attributes:
        link: bandwidth of the link, bytes/s.
        zero_permyriad: share of pages that are zero pages when first sent, per 10,000.
        channels: multifd channels; 0 without multifd.
    """

    link: int
    zero_permyriad: int = 0
    channels: int = 0


class Sender:
    """Computes bytes and time of the pages sent, and counts repeated ones.

    Attributes:
        page_ps: time to send one page that is not a zero page, ps.
        knows_rewritten: whether it counts which resent pages the guest wrote: where pages larger than 4K are tracked.
    """

    def __init__(self, session: Session, qemu: Qemu, stream: Stream) -> None:
        """Start with no page sent.

        Args:
            session: the run.
            qemu: QEMU's state, for its RAM blocks.
            stream: parameters of the stream.
        """
        self._stream = stream
        self._host: HostProfile = session.machine.costs.host
        self._blocks = {block.name: number for number, block in enumerate(qemu.blocks)}
        self._sent_once = {block.name: Pages.none_of(block.pages) for block in qemu.blocks}
        self._cells = session.sent_cells.blocks(qemu)
        session.sent_cells.begin(session.machine.time)
        self._in_channels = qemu.features.zero_pages_in_channels
        self.knows_rewritten = session.machine.vm.config.tracking.level > PG_LEVEL_4K
        counts = self.knows_rewritten or can_lose_pages(session)
        self._rewritten = Rewritten(session, qemu) if counts else None
        self.page_ps = self._took_ps(1, 0, STREAM_PAGE_BYTES)

    def send(self, block: RamBlock, pages: I64) -> Batch:
        """Send pages of one block.

        Args:
            block: the RAM block.
            pages: int64[n], ascending.
        """
        once, zeros = self._sent_once[block.name], 0
        if self._stream.zero_permyriad:
            zeros = int(np.count_nonzero(self._is_zero(block, pages) & ~once.has(pages)))
        cells = hold(once, self._cells[block.name], pages)
        resent = int(cells.again.sum())
        written = 0 if self._rewritten is None else self._rewritten.sent(block, pages)
        rewritten = min(written, resent) if self.knows_rewritten else None
        sent_bytes = self._bytes(len(pages), zeros)
        took_ps = self._took_ps(len(pages) - zeros, zeros, sent_bytes)
        return Batch(len(pages), zeros, resent, rewritten, sent_bytes, took_ps, cells)

    def lost_pages(self) -> int:
        """Return how many pages the guest wrote after each was last sent."""
        return 0 if self._rewritten is None else self._rewritten.count()

    def _is_zero(self, block: RamBlock, pages: I64) -> Bits:
        """Return which pages are zero until the guest writes them; drawn per page, the same in every run."""
        each = (pages + self._blocks[block.name] * DISTANCE).astype(np.uint64) * np.uint64(MIX[0])
        each = (each ^ (each >> np.uint64(30))) * np.uint64(MIX[1])
        each = (each ^ (each >> np.uint64(27))) * np.uint64(MIX[2])
        drawn = (each ^ (each >> np.uint64(31))) % np.uint64(PERMYRIAD)
        found: Bits = drawn < self._stream.zero_permyriad
        return found

    def _bytes(self, pages: int, zeros: int) -> int:
        """Return the bytes of the stream; a multifd packet of 128 pages has one header, which may list zero pages."""
        if not self._stream.channels:
            return (pages - zeros) * STREAM_PAGE_BYTES + zeros * ZERO_BYTES
        packed = pages if self._in_channels else pages - zeros
        apart = 0 if self._in_channels else zeros * ZERO_BYTES
        return (pages - zeros) * PAGE_BYTES - (-packed // PACKET_PAGES) * PACKET_BYTES + apart

    def _took_ps(self, full: int, zeros: int, sent_bytes: int) -> int:
        """Return the time of the slowest of the link, the migration thread and the channels, which work in parallel."""
        host, channels = self._host, self._stream.channels
        link_ps = sent_bytes * PS_PER_S // self._stream.link
        checks_ns = full * host["zero_check_ns"] + zeros * host["zero_page_ns"]
        copies_ns = full * host["send_page_ns"]
        if not channels:
            return max((checks_ns + copies_ns) * PS_PER_NS, link_ps)
        queued = full + zeros if self._in_channels else full
        thread_ns, shared_ns = queued * host["multifd_page_ns"], copies_ns
        if self._in_channels:
            shared_ns += checks_ns
        else:
            thread_ns += checks_ns
        return max(thread_ns * PS_PER_NS, shared_ns * PS_PER_NS // channels, link_ps)


def note_sent_bytes(machine: TimedMachine, sent_bytes: int, begin: int, end: int) -> None:
    """Distribute bytes evenly over the bins of the time in which they are sent.

    Args:
        machine: the machine with the bins.
        sent_bytes: number of bytes.
        begin: start of sending, ps.
        end: end of sending, ps.
    """
    shift = int(machine.clock.regs[layout.BIN_SHIFT])
    done, at = 0, begin
    while at < end:
        at = min(((at >> shift) + 1) << shift, end)
        upto = sent_bytes * (at - begin) // (end - begin)
        machine.note_at(at - 1, layout.BYTES_SENT, upto - done)
        done = upto
    machine.note_at(max(end - 1, 0), layout.BYTES_SENT, sent_bytes - done)
