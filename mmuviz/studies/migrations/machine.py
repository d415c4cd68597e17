"""The QEMU of a recording: its RAM blocks, and the parts of them that its memslots map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGES_PER_1G, PAGES_PER_2M
from mmuviz.engine.qemu.page_set import PageSet
from mmuviz.engine.qemu.state import FEATURES, LOG_DIRTY_PAGES, READONLY, KvmSlot, Qemu, RamBlock

CAP_MANUAL_DIRTY_LOG_PROTECT2: Final = 168
FOUR_GIB: Final = 4 * PAGES_PER_1G
BIOS_END: Final = 0x100
"""End of the first MiB, in pages; it ends with a copy of the end of the BIOS."""
OPTION_ROMS: Final = 0xC0
BIOS_COPY_PAGES: Final = 32
BIOS_PAGES: Final = 64
DEFAULT_SHIFT: Final = 18
SHIFT_OPTION: Final = "x-clear-bitmap-shift="
FIRMWARE_BLOCKS: Final = (
    ("/rom@etc/acpi/tables", 32),
    ("pc.bios", 64),
    ("pc.rom", 32),
    ("/rom@etc/table-loader", 1),
    ("/rom@etc/acpi/rsdp", 1),
)
"""RAM blocks of a machine without devices, besides its RAM, for recordings whose stream was not parsed."""


def machine_of(document: dict[str, Any], page_set: Callable[[int], PageSet]) -> GuestMap:
    """Make the QEMU of a checked document, before its first migration, and its guest's memory map."""
    blocks = [_block(document, name, pages, page_set) for name, pages in block_list(document)]
    spaces = 1 + max((row[0] for row in document["memslots_before_migration"]), default=0)
    qemu = Qemu(
        FEATURES[document["qemu"]],
        blocks,
        [[] for _ in range(spaces)],
        manual_protect=_manual_protect(document),
        ring="dirty-ring-size" in document["config"]["accel"],
        chunk_shift=_chunk_shift(document),
        page_set=page_set,
    )
    guest = GuestMap(qemu, ram_below_4g(document["config"]["machine"], blocks[0].pages))
    for address_space, number, base, pages, flags in document["memslots_before_migration"]:
        slot = guest.slot_at(address_space, base, pages, flags)
        slot.number, slot.shown = number, bool(flags & LOG_DIRTY_PAGES)
        qemu.slots[address_space].append(slot)
    for slots in qemu.slots:
        slots.sort(key=lambda slot: slot.base_gfn)
    return guest


def block_list(document: dict[str, Any]) -> list[tuple[str, int]]:
    """List names and pages of the RAM blocks, in the order of the stream."""
    listed = document["ram_blocks_in_stream"]
    if listed:
        return [(name, pages) for name, pages in listed]
    config = document["config"]
    main = "ram0" if config["back"] == "hugetlb" else "pc.ram"
    pages = config["mem"] << 8
    hole = range(ram_below_4g(config["machine"], pages), FOUR_GIB - BIOS_PAGES)
    devices = {row[2]: row[3] for row in document["memslots_before_migration"] if row[2] in hole}
    return [(main, pages), *((f"device at gfn {base}", size) for base, size in devices.items()), *FIRMWARE_BLOCKS]


def _block(document: dict[str, Any], name: str, pages: int, page_set: Callable[[int], PageSet]) -> RamBlock:
    huge = document["config"]["back"] == "hugetlb" and name == block_list(document)[0][0]
    return RamBlock(name, pages, PAGES_PER_2M if huge else 1, page_set(pages), page_set(pages))


def _manual_protect(document: dict[str, Any]) -> bool:
    enabled = [cap for cap in document["kvm_caps"] if cap[1] == "ENABLE_CAP"]
    return any(cap[2] == CAP_MANUAL_DIRTY_LOG_PROTECT2 and cap[4] == 0 for cap in enabled)


def _chunk_shift(document: dict[str, Any]) -> int:
    options = document["config"].get("glob", "")
    if not isinstance(options, str) or SHIFT_OPTION not in options:
        return DEFAULT_SHIFT
    shift = next(iter(options.split(SHIFT_OPTION)[1].split()), "")
    if shift not in map(str, range(6, 32)):
        raise InputError(f"config.glob={short_repr(options)} must give a shift of 6 to 31")
    return int(shift)


def ram_below_4g(machine: str, pages: int) -> int:
    """Return the pages of RAM below 4 GiB: all of a small guest, else those below the PCI hole.

    QEMU: pc_init1() of hw/i386/pc_piix.c, pc_q35_init() of hw/i386/pc_q35.c
    """
    limit, low = (0xB0000, 0x80000) if machine.startswith("q35") else (0xE0000, 0xC0000)
    return pages if pages < limit else low


@dataclass(frozen=True)
class GuestMap:
    """The guest's memory map: the positions of the RAM blocks.

    Attributes:
        qemu: the QEMU with the blocks.
        below_4g: pages of RAM below 4 GiB.
    """

    qemu: Qemu
    below_4g: int

    def slot_at(self, address_space: int, base_gfn: int, pages: int, flags: int) -> KvmSlot:
        """Make a memslot at a position; it is not yet added to the others.

        Raises:
            InputError: no RAM block fits there.
        """
        block, offset = self._mapped(base_gfn, pages, flags)
        if offset < 0 or offset + pages > block.pages:
            raise InputError(f"memslot at gfn {base_gfn} with {pages} pages must lie in a RAM block; none is so large")
        return KvmSlot(address_space, 0, base_gfn, pages, flags, block, offset, self.qemu.page_set(pages))

    def _mapped(self, base_gfn: int, pages: int, flags: int) -> tuple[RamBlock, int]:
        """Return the RAM block at a position, and the offset in it.

        RAM begins at 0 and at 4 GiB. The BIOS ends at 4 GiB; its end is also mapped below 1 MiB until it is copied.
        Other memslots map blocks of devices, which are identified by their size.
        """
        main, named = self.qemu.blocks[0], {block.name: block for block in self.qemu.blocks}
        if base_gfn >= FOUR_GIB:
            return main, base_gfn - FOUR_GIB + self.below_4g
        bios = named.get("pc.bios", main)
        if base_gfn + pages == FOUR_GIB:
            return bios, bios.pages - pages
        if base_gfn < BIOS_END and flags & READONLY:
            if base_gfn >= BIOS_END - BIOS_COPY_PAGES:
                return bios, bios.pages - BIOS_END + base_gfn
            return named.get("pc.rom", main), base_gfn - OPTION_ROMS
        if base_gfn + pages <= self.below_4g:
            return main, base_gfn
        same = [block for block in self.qemu.blocks[1:] if block.pages == pages]
        return (same[0], 0) if same else (main, base_gfn)
