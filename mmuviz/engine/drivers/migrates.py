"""Base type of the drivers that migrate a guest, and the RAM blocks that they send."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import Field

from mmuviz.core.pages import pages_per_hpage
from mmuviz.engine.choices.units import Rate, Time
from mmuviz.engine.drivers.base import PS_PER_NS, Drives, Span, start_guest
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.state import READONLY, KvmSlot, Qemu, QemuFeatures, RamBlock
from mmuviz.mmu.config import Backing

if TYPE_CHECKING:
    from mmuviz.engine.choices.memory import MemslotChoices
    from mmuviz.engine.session import Session

NS_PER_MS: Final = 10**6
MOST_DOWNTIME_NS: Final = 2000 * 10**9
"""QEMU: MAX_MIGRATE_DOWNTIME"""
HUGETLB: Final = (Backing.HUGETLB_2M, Backing.HUGETLB_1G)


class Migrates(Drives):
    """A driver that sends the guest's memory over a link while the guest runs.

    The destination and the state of devices are not modelled.
    """

    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    link: Annotated[
        Rate,
        Field(ge=64 << 10, le=1 << 40, description="rate of the link, the only limit once the guest is stopped"),
    ] = 1_250_000_000
    downtime_limit: Annotated[
        Time,
        Field(
            ge=NS_PER_MS,
            le=MOST_DOWNTIME_NS,
            multiple_of=NS_PER_MS,
            description="downtime-limit: longest time that the guest may be stopped, as userspace expects it",
            json_schema_extra={"values": "1 ms to 2000 s, whole ms"},
        ),
    ] = 300 * NS_PER_MS

    def least_ps(self) -> int:
        """Return the shortest time that a run can take, ps."""
        return self.lead * PS_PER_NS

    def begin(self, session: Session) -> None:
        """Populate and start the guest; the clock starts after its memory is mapped."""
        start_guest(session, self.lead)
        session.recorder.enabling(session.machine)


def qemu_of(session: Session, features: QemuFeatures, chunk_shift: int, *, smm: bool = False) -> Qemu:
    """Create QEMU's state with its RAM blocks and memslots; adjacent slots with the same backing map one block.

    Args:
        session: the run.
        features: behaviour of the QEMU release.
        chunk_shift: x-clear-bitmap-shift.
        smm: whether the memslots exist a second time, in the address space of system management mode.
    """
    memory = session.scenario.memory
    logged = sorted(session.logged, key=lambda slot: memory[slot].base)
    blocks: list[RamBlock] = []
    slots: list[KvmSlot] = []
    for _, group in groupby(logged, key=lambda slot: (memory[slot].backing, memory[slot].read_only)):
        numbers = list(group)
        block = block_of([memory[slot] for slot in numbers], len(blocks))
        blocks.append(block)
        offset = 0
        for slot in numbers:
            each = memory[slot]
            flags = READONLY if each.read_only else 0
            bits = Pages.none_of(each.pages)
            slots.append(KvmSlot(0, slot, each.base_gfn, each.pages, flags, block, offset, bits))
            offset += each.pages
    blocks.sort(key=lambda block: -block.pages)
    spaces = [slots]
    if smm:
        add_address_space(session)
        spaces.append([replace(slot, address_space=1, dirty_bmap=Pages.none_of(slot.pages)) for slot in slots])
    mode = session.machine.vm.config.dirty_log_mode
    return Qemu(features, blocks, spaces, mode.manual, mode.ring, chunk_shift)


def add_address_space(session: Session) -> None:
    """Create the VM's second address space, unless an earlier migration has created it."""
    ioctls, memory = session.ioctls, session.scenario.memory
    if len(ioctls.vms) == 1:
        ioctls.vms.append(session.machine.vm.address_space())
        for slot in session.logged:
            ioctls.vms[1].add_memslot(slot, memory[slot].memslot())


def block_of(memory: list[MemslotChoices], number: int) -> RamBlock:
    """Return the RAM block that these memslots map one after the other."""
    pages, backing = sum(each.pages for each in memory), memory[0].backing
    host_pages = pages_per_hpage(backing.level) if backing in HUGETLB else 1
    return RamBlock(f"ram{number}", pages, host_pages, Pages.none_of(pages), Pages.none_of(pages))
