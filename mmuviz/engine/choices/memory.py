"""Guest memory: one to 32 memslots."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any, Final

from pydantic import Field

from mmuviz.core.errors import KvmError
from mmuviz.core.pages import PAGE_BYTES, PAGES_PER_1G, round_up
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Address, Flag, PagedSize, size_text
from mmuviz.mmu.config import MAX_SLOT_PAGES, Backing, Memslot

MOST_SLOTS: Final = 32
PRIVATE: Final = ("guest_memfd",)
"""Backings of real VMs that this model does not have."""
FIRST_BASE: Final = 4 << 30
GIB: Final = PAGES_PER_1G * PAGE_BYTES


class MemslotChoices(Choices):
    """A memslot, as userspace adds it."""

    base: Annotated[
        Address,
        Field(
            description="guest physical address of its first byte",
            json_schema_extra={
                "values": 'a size, or hexadecimal text: "0xfffc0000"; a multiple of 4 KiB',
                "default": "4 GiB; of further slots the next multiple of 1 GiB behind the one before",
            },
        ),
    ] = FIRST_BASE
    size: Annotated[
        PagedSize,
        Field(
            ge=PAGE_BYTES,
            le=MAX_SLOT_PAGES * PAGE_BYTES,
            description="size in bytes",
            json_schema_extra={"values": "4 KiB to 8 TiB less 4 KiB, a multiple of 4 KiB"},
        ),
    ]
    backing: Annotated[Backing, Field(description="host memory behind it")] = Backing.THP
    hva_offset: Annotated[
        PagedSize,
        Field(
            le=GIB - PAGE_BYTES,
            description="bytes from the host mapping's start, a multiple of 1 GiB, to the slot",
            json_schema_extra={"values": "0 to 1 GiB less 4 KiB, a multiple of 4 KiB"},
        ),
    ] = 0
    host_populated: Annotated[Flag, Field(description="the host has touched every page before the run")] = True
    logged: Annotated[Flag, Field(description="dirty logging is enabled for it")] = True
    read_only: Annotated[Flag, Field(description="a ROM: the workload leaves it alone")] = False

    @classmethod
    def _prepared(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Refuse private memory by name.

        Kernel: check_memory_region_flags(), virt/kvm/kvm_main.c
        """
        if data.get("backing") in PRIVATE:
            raise ContradictionError(
                f"backing={data['backing']} cannot be logged: KVM refuses KVM_MEM_LOG_DIRTY_PAGES for a memslot with "
                "guest_memfd, which the private memory of TDX and SNP guests needs; it is not simulated: choose "
                f"{', '.join(Backing)}"
            )
        return data

    def _check(self) -> None:
        """Refuse a slot that KVM refuses."""
        try:
            self.memslot()
        except KvmError as error:
            raise ContradictionError(
                f"base={size_text(self.base)} with size={size_text(self.size)} is refused: {error}"
            ) from error

    @property
    def base_gfn(self) -> int:
        """Its first gfn."""
        return self.base // PAGE_BYTES

    @property
    def pages(self) -> int:
        """Its 4K pages."""
        return self.size // PAGE_BYTES

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.base + self.size

    def memslot(self) -> Memslot:
        """The slot as the machine's Memslot."""
        return Memslot(
            self.base_gfn,
            self.pages,
            self.backing,
            self.hva_offset // PAGE_BYTES,
            self.host_populated,
            read_only=self.read_only,
        )


def placed(slots: tuple[MemslotChoices, ...]) -> tuple[MemslotChoices, ...]:
    """Give a base to every slot without one.

    Args:
        slots: in the order of the file; not changed.

    Returns:
        The slots, in the same order.
    """
    found: list[MemslotChoices] = []
    for index, slot in enumerate(slots):
        if "base" in slot.model_fields_set or index == 0:
            found.append(slot)
            continue
        # Not model_copy(update=...): a base that follows from the slot before must not count as given.
        moved = slot.model_copy()
        object.__setattr__(moved, "base", round_up(found[-1].end, GIB))
        found.append(moved)
    return tuple(found)


def check_apart(slots: tuple[MemslotChoices, ...]) -> None:
    """Refuse slots that overlap, as KVM does with EEXIST.

    Raises:
        ContradictionError: for the first two that overlap.
    """
    for (first, one), (second, other) in combinations(enumerate(slots), 2):
        if one.base < other.end and other.base < one.end:
            raise ContradictionError(
                f"memory[{second}].base={size_text(other.base)} with size={size_text(other.size)} overlaps "
                f"memory[{first}] ({size_text(one.base)} to {size_text(one.end)}), which KVM refuses "
                "(EEXIST); move one of them"
            )
