"""Pages that the guest really wrote since they were sent, where the dirty log does not tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, WORD_SHIFT
from mmuviz.engine.clock import Clock
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import Qemu, RamBlock
from mmuviz.mmu.config import Mmu
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


def can_lose_pages(session: Session) -> bool:
    """Whether KVM may lose writes to pages of a run's guest: a superset of the cases in which it does.

    Under initially-all-set, arming a mask of 64 pages protects the huge pages of its first and of its last page only.
    A mask that reaches from one 2M region into the next one's first page leaves the next one writable. Masks of a
    bitmap reach across if the memslot does not begin at a multiple of 64 pages; masks of a ring begin anywhere.

    Kernel: kvm_arch_mmu_enable_log_dirty_pt_masked(), arch/x86/kvm/mmu/mmu.c
    """
    config, memory = session.machine.vm.config, session.scenario.memory
    if not config.dirty_log_mode.initially_set or config.mmu is Mmu.STAGE2:
        return False
    return config.dirty_log_mode.ring or any(slot.base_gfn % BITS_PER_LONG for slot in memory)


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
        session.guest.before_streams = self.mark_streams

    def mark(self) -> None:
        """Set the bits of pages written since the last call."""
        clock = self._machine.clock
        for vcpu in range(len(self._positions)):
            mark_written(clock, vcpu, int(self._positions[vcpu]), self._base, self._written.words)
        self._positions[:] = clock.stream[:, columns.POSITION]

    def mark_streams(self) -> None:
        """Collect the writes of the streams that end; the next ones start at position 0."""
        self.mark()
        self._positions[:] = 0

    def left(self) -> I64:
        """Return the pages of logged memslots that were written since each was last sent; int64[n] gfns, ascending."""
        self.mark()
        found = np.flatnonzero(self._written.bits) + self._base
        slots = [slot for each in self._slots.values() for slot in each]
        inside = np.zeros(len(found), np.bool_)
        for slot in slots:
            inside |= (found >= slot.base_gfn) & (found < slot.base_gfn + slot.pages)
        return found[inside]

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
