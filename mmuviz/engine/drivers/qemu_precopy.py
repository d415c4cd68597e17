"""QEMU's pre-copy migration of a guest that runs on meanwhile."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import Field

from mmuviz.engine.choices.units import Rate, Time, Whole
from mmuviz.engine.drivers.base import PS_PER_NS, Drives, Iterations, Span
from mmuviz.engine.migration import PS_PER_MS, Limits, TimedMigration
from mmuviz.engine.qemu.migration import migration_thread
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.rate_limit import RateLimit
from mmuviz.engine.qemu.state import FEATURES, READONLY, KvmSlot, Qemu, RamBlock, Thread
from mmuviz.core.pages import pages_per_hpage
from mmuviz.mmu.config import Backing

if TYPE_CHECKING:
    from mmuviz.engine.choices.memory import MemslotChoices
    from mmuviz.engine.session import Session

MIB: Final = 1 << 20
NS_PER_MS: Final = 10**6
MOST_DOWNTIME_NS: Final = 2000 * 10**9
"""QEMU: MAX_MIGRATE_DOWNTIME"""
HUGETLB: Final = (Backing.HUGETLB_2M, Backing.HUGETLB_1G)


class QemuPrecopy(Drives):
    """QEMU's pre-copy migration, call for call; it completes, is cancelled, or is given up."""

    kind: Literal["qemu_precopy"] = "qemu_precopy"
    version: Annotated[Literal["7.2", "10.0"], Field(description="of QEMU")] = "10.0"
    bandwidth: Annotated[
        Rate,
        Field(
            ge=64 << 10,
            le=1 << 40,
            description="max-bandwidth: what QEMU lets itself send while the guest runs",
        ),
    ] = 128 * MIB
    link: Annotated[
        Rate,
        Field(ge=64 << 10, le=1 << 40, description="what the link carries, and all that holds back the last pages"),
    ] = 1_250_000_000
    downtime_limit: Annotated[
        Time,
        Field(
            ge=NS_PER_MS,
            le=MOST_DOWNTIME_NS,
            multiple_of=NS_PER_MS,
            description="downtime-limit: how long the guest may stand still, as QEMU expects it",
            json_schema_extra={"values": "1 ms to 2000 s, whole ms"},
        ),
    ] = 300 * NS_PER_MS
    clear_bitmap_shift: Annotated[
        Whole,
        Field(
            ge=6,
            le=31,
            description="x-clear-bitmap-shift: log2 of the pages of a CLEAR; 18 is 1 GiB",
            json_schema_extra={"depends": "manual modes"},
        ),
    ] = 18
    lead: Annotated[Span, Field(description="how long the guest runs before logging is enabled")] = 0
    cancel_at: Annotated[Span, Field(description="migrate_cancel so long after its begin; 0: never")] = 0
    longest: Annotated[Span, Field(ge=1, description="a migration that lasts longer is given up: cancelled")] = (
        60 * 10**9
    )
    most_rounds: Annotated[Iterations, Field(description="one with so many syncs is given up: cancelled")] = 50

    def least_ps(self) -> int:
        """How long a run takes at least."""
        return self.lead * PS_PER_NS

    def drive(self, session: Session) -> None:
        """Carry it out; the clock begins when the guest's memory is mapped.

        What a destination does is no part of it, and neither is the state of devices.
        """
        guest, machine = session.guest, session.machine
        guest.populate()
        session.begin_clock()
        guest.start()
        guest.run_for("lead", 0, machine.time + self.lead * PS_PER_NS)
        session.recorder.enabling(machine)
        qemu, thread = self.qemu_of(session), Thread()
        rate = RateLimit(qemu.features, self.bandwidth, self.downtime_limit // NS_PER_MS, machine.time // PS_PER_MS)
        migration = TimedMigration(session, qemu, rate, self.limits, self.link)
        why = migration.play(migration_thread(qemu, thread))
        if why is not None:
            migration.play(ram_save_cleanup(qemu, thread))
        migration.finish(why)
        machine.halt()

    @property
    def limits(self) -> Limits:
        """When it is given up."""
        return Limits(self.cancel_at * PS_PER_NS, self.longest * PS_PER_NS, self.most_rounds)

    def qemu_of(self, session: Session) -> Qemu:
        """QEMU with its RAM blocks and memslots: slots side by side of one backing map one block."""
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
        mode = session.machine.vm.config.dirty_log_mode
        return Qemu(FEATURES[self.version], blocks, [slots], mode.manual, mode.ring, self.clear_bitmap_shift)


def block_of(memory: list[MemslotChoices], number: int) -> RamBlock:
    """The RAM block that memslots map, one behind the other."""
    pages, backing = sum(each.pages for each in memory), memory[0].backing
    host_pages = pages_per_hpage(backing.level) if backing in HUGETLB else 1
    return RamBlock(f"ram{number}", pages, host_pages, Pages.none_of(pages), Pages.none_of(pages))
