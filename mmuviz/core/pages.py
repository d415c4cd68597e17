"""Levels and gfn arithmetic, in the kernel's own numbering.

Kernel: enum pg_level, arch/x86/include/asm/pgtable_types.h; SPTE_ENT_PER_PAGE, arch/x86/kvm/mmu/spte.h.
"""

from __future__ import annotations

from typing import Final

PG_LEVEL_4K: Final = 1
PG_LEVEL_2M: Final = 2
PG_LEVEL_1G: Final = 3
PG_LEVEL_512G: Final = 4

PAGE_BYTES: Final = 4096
PAGE_HEADER_BYTES: Final = 184
"""sizeof(struct kvm_mmu_page), one per page-table page; checked with a C mock of 6.1 and 6.12."""
BITS_PER_LONG: Final = 64
WORD_SHIFT: Final = 6

SPTE_ENT_SHIFT: Final = 9
SPTE_ENT_PER_PAGE: Final = 1 << SPTE_ENT_SHIFT
SPTE_INDEX_MASK: Final = SPTE_ENT_PER_PAGE - 1

SHIFT_2M: Final = SPTE_ENT_SHIFT
SHIFT_1G: Final = 2 * SPTE_ENT_SHIFT
SHIFT_512G: Final = 3 * SPTE_ENT_SHIFT
PAGES_PER_2M: Final = 1 << SHIFT_2M
PAGES_PER_1G: Final = 1 << SHIFT_1G
PAGES_PER_512G: Final = 1 << SHIFT_512G
GFN_BITS: Final = 4 * SPTE_ENT_SHIFT
"""Bits of a gfn with four levels of nested page tables (256 TiB)."""


def pages_per_hpage(level: int) -> int:
    """Number of 4K pages that one entry of a level maps.

    Args:
        level: PG_LEVEL_4K … PG_LEVEL_512G.

    Returns:
        1, 512, 262144 or 134217728 pages.

    Kernel: KVM_PAGES_PER_HPAGE(), arch/x86/include/asm/kvm_host.h
    """
    return 1 << (SPTE_ENT_SHIFT * (level - 1))


def round_down(gfn: int, level: int) -> int:
    """Return the first gfn of the entry of `level` that maps `gfn`."""
    return gfn - gfn % pages_per_hpage(level)


def round_up(count: int, multiple: int) -> int:
    """Return the smallest multiple of `multiple` that is not below `count`."""
    return -(-count // multiple) * multiple
