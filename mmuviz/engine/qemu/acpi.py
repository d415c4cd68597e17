"""QEMU's own writes to a guest's RAM blocks after a reset: hw/i386/acpi-build.c."""

from __future__ import annotations

from typing import Final

from mmuviz.engine.qemu.state import Qemu

ACPI_BLOCKS: Final = ("/rom@etc/acpi/tables", "/rom@etc/table-loader", "/rom@etc/acpi/rsdp")


def acpi_build_update(qemu: Qemu) -> None:
    """Rewrite the ACPI tables when the firmware asks for them, which dirties their blocks.

    No memslot maps these blocks, so no KVM dirty log contains the writes.

    QEMU: acpi_build_update() > acpi_ram_update()
    """
    for block in qemu.blocks:
        if block.name in ACPI_BLOCKS:
            block.dirty_memory.add_all()
