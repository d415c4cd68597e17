"""Pages that the guest really wrote since they were sent, where the dirty log does not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from mmuviz.core.jit import jit
from mmuviz.core.pages import BITS_PER_LONG, WORD_SHIFT, round_up
from mmuviz.engine.clock import Clock
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import KvmSlot, Qemu, RamBlock
from mmuviz.mmu.config import Mmu
from mmuviz.mmu.state import I64
from mmuviz.workloads import stream as columns
from mmuviz.workloads.accesses import gfn_at, is_write_at

if TYPE_CHECKING:
    from mmuviz.engine.session import Session


FIRST: Final = 0
END: Final = 1
BIT: Final = 2


@jit
def mark_written(clock: Clock, vcpu: int, first: int, spans: I64, words: I64) -> None:
    """Set the bits of the pages that a vCPU wrote, from a stream position up to its current one.

    Args:
        clock: the machine's clock, with the streams.
        vcpu: index of the vCPU.
        first: first position.
        spans: int64[slots, 3], first gfn of each memslot, the gfn after its last, and the bit of its first page.
        words: int64[n], changed in place.
    """
    slot = 0
    for position in range(first, clock.stream[vcpu, columns.POSITION]):
        if not is_write_at(clock.stream, clock.listed, vcpu, position):
            continue
        gfn = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, position)
        if not spans[slot, FIRST] <= gfn < spans[slot, END]:
            slot = 0
            while slot < spans.shape[0] - 1 and not spans[slot, FIRST] <= gfn < spans[slot, END]:
                slot += 1
        if spans[slot, FIRST] <= gfn < spans[slot, END]:
            page = gfn - spans[slot, FIRST] + spans[slot, BIT]
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


def first_bits(slots: Sequence[KvmSlot]) -> list[int]:
    """Return the bit of the first page of each memslot in one bitmap for all of them; each begins a word."""
    ends = np.cumsum([round_up(slot.pages, BITS_PER_LONG) for slot in slots])
    return [0, *ends[:-1].tolist()]


class Rewritten:
    """Pages of logged memslots that the guest wrote since each was last sent; a bit for each, none for gaps."""

    def __init__(self, session: Session, qemu: Qemu) -> None:
        """Start recording writes from now on.

        Args:
            session: the run.
            qemu: QEMU's state, for the layout of its blocks.
        """
        slots = qemu.slots[0]
        self._bits = dict(zip((slot.number for slot in slots), first_bits(slots), strict=True))
        self._spans = np.array([(each.base_gfn, each.base_gfn + each.pages, self._bits[each.number]) for each in slots])
        self._written = Pages.none_of(sum(round_up(slot.pages, BITS_PER_LONG) for slot in slots))
        self._slots = {block.name: [slot for slot in slots if slot.block is block] for block in qemu.blocks}
        self._machine = session.machine
        self._positions = self._machine.clock.stream[:, columns.POSITION].copy()
        session.guest.before_streams = self.mark_streams

    def mark(self) -> None:
        """Set the bits of pages written since the last call."""
        clock = self._machine.clock
        for vcpu in range(len(self._positions)):
            mark_written(clock, vcpu, int(self._positions[vcpu]), self._spans, self._written.words)
        self._positions[:] = clock.stream[:, columns.POSITION]

    def mark_streams(self) -> None:
        """Collect the writes of the streams that end; the next ones start at position 0."""
        self.mark()
        self._positions[:] = 0

    def count(self) -> int:
        """Return how many pages were written since each was last sent."""
        self.mark()
        return self._written.count()

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
            moved = here - slot.offset + self._bits[slot.number]
            found += self._written.held(moved)
            self._written.drop_pages(moved)
        return found
