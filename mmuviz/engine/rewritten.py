"""Pages the guest really wrote, where the dirty log tracks pages larger than 4K."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, WORD_SHIFT
from mmuviz.engine.clock import Clock
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.mmu.state import I64
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at, is_write_at

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


@jit
def mark_written(clock: Clock, vcpu: int, first: int, base: int, words: I64) -> None:
    """Set the bits of the pages that a vCPU wrote, from a stream position up to its current one.

    Args:
        clock: the machine's clock, with the streams.
        vcpu: index of the vCPU.
        first: first position.
        base: gfn of bit 0.
        words: int64[n], changed in place.
    """
    for position in range(first, clock.stream[vcpu, columns.POSITION]):
        if is_write_at(clock.stream, clock.listed, vcpu, position):
            page = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position) - base
            words[page >> WORD_SHIFT] |= 1 << (page & (BITS_PER_LONG - 1))


class Rewritten:
    """Pages that the guest wrote since each was last sent."""

    def __init__(self, session: Session, qemu: Qemu) -> None:
        """Start recording writes from now on.

        Args:
            session: the run.
            qemu: QEMU's state, for the layout of its blocks.
        """
        memory = session.scenario.memory
        self._base = min(slot.base_gfn for slot in memory)
        self._written = Pages.none_of(max(slot.base_gfn + slot.pages for slot in memory) - self._base)
        self._slots = {block.name: [slot for slot in qemu.slots[0] if slot.block is block] for block in qemu.blocks}
        self._machine = session.machine
        self._positions = self._machine.clock.stream[:, columns.POSITION].copy()
        session.guest.before_phase = self.mark_phase

    def mark(self) -> None:
        """Set the bits of pages written since the last call."""
        clock = self._machine.clock
        for vcpu in range(len(self._positions)):
            mark_written(clock, vcpu, int(self._positions[vcpu]), self._base, self._written.words)
        self._positions[:] = clock.stream[:, columns.POSITION]

    def mark_phase(self) -> None:
        """Collect the writes of the phase that ends; the next phase's streams start at position 0."""
        self.mark()
        self._positions[:] = 0

    def sent(self, block: RamBlock, pages: I64) -> int:
        """Return how many of the pages were written since each was last sent, and clear their bits.

        Args:
            block: the RAM block.
            pages: int64[n] that are sent now, ascending.
        """
        self.mark()
        found = 0
        for slot in self._slots[block.name]:
            here = pages[(pages >= slot.offset) & (pages < slot.offset + slot.pages)]
            moved = here - slot.offset + slot.base_gfn - self._base
            found += self._written.held(moved)
            self._written.drop_pages(moved)
        return found
