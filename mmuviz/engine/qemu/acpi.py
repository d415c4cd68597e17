"""What QEMU itself writes to a guest's RAM blocks after a reset: hw/i386/acpi-build.c."""

from __future__ import annotations

from typing import Final

from mmuviz.engine.qemu.state import Qemu

ACPI_BLOCKS: Final = ("/rom@etc/acpi/tables", "/rom@etc/table-loader", "/rom@etc/acpi/rsdp")


def acpi_build_update(qemu: Qemu) -> None:
    """The firmware asks for the ACPI tables: QEMU writes them anew, which dirties their blocks.

    They are mapped nowhere, so that no log of KVM has them.

    QEMU: acpi_build_update() > acpi_ram_update()
    """
    for block in qemu.blocks:
        if block.name in ACPI_BLOCKS:
            block.dirty_memory.add_all()
