"""The choices that make a VM: frozen, checked once, refused with the errno that KVM gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from mmuviz.ground.errors import InputError, KvmE2big, KvmEinval
from mmuviz.ground.pages import GFN_BITS, PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K
from mmuviz.mmu.features import FIRST_EAGER, KernelFeatures
from mmuviz.mmu.state import PML_ENTITY_NUM
from mmuviz.mmu.stats import DIRTY_GFN_BYTES

MAX_VCPUS: Final = 4096
"""Kernel: KVM_MAX_VCPUS of later releases, arch/x86/include/asm/kvm_host.h."""
MAX_RING_ENTRIES: Final = 65_536
"""Kernel: KVM_DIRTY_RING_MAX_ENTRIES, include/linux/kvm_host.h."""
RING_RESERVED_ENTRIES: Final = 64
"""Kernel: KVM_DIRTY_RING_RSVD_ENTRIES; with PML the buffer's 512 are added."""
MAX_SLOT_PAGES: Final = (1 << 31) - 1
"""Kernel: KVM_MEM_MAX_NR_PAGES, include/linux/kvm_host.h (8 TiB less one page)."""
MAX_GFN: Final = 1 << GFN_BITS


class DirtyLogMode(StrEnum):
    """How userspace learns of dirty pages."""

    LEGACY = "legacy"
    MANUAL = "manual"
    MANUAL_INITIALLY_SET = "manual_initially_set"
    RING = "ring"
    RING_INITIALLY_SET = "ring_initially_set"

    @property
    def ring(self) -> bool:
        """Whether pages go to per-vCPU rings and not to a bitmap."""
        return self in (DirtyLogMode.RING, DirtyLogMode.RING_INITIALLY_SET)

    @property
    def manual(self) -> bool:
        """Whether KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE is set."""
        return self not in (DirtyLogMode.LEGACY, DirtyLogMode.RING)

    @property
    def initially_set(self) -> bool:
        """Whether KVM_DIRTY_LOG_INITIALLY_SET is set."""
        return self in (DirtyLogMode.MANUAL_INITIALLY_SET, DirtyLogMode.RING_INITIALLY_SET)


class Backing(StrEnum):
    """Host memory behind a memslot."""

    PAGES_4K = "4k"
    THP = "thp"
    HUGETLB_2M = "hugetlb_2m"
    HUGETLB_1G = "hugetlb_1g"

    @property
    def level(self) -> int:
        """The highest level at which the host maps it."""
        return {
            Backing.PAGES_4K: PG_LEVEL_4K,
            Backing.THP: PG_LEVEL_2M,
            Backing.HUGETLB_2M: PG_LEVEL_2M,
            Backing.HUGETLB_1G: PG_LEVEL_1G,
        }[self]

    @property
    def hugetlb(self) -> bool:
        """Whether it comes from hugetlbfs, whole huge pages only."""
        return self in (Backing.HUGETLB_2M, Backing.HUGETLB_1G)


@dataclass(frozen=True)
class VmConfig:
    """Everything that is chosen when a VM is created.

    Attributes:
        kernel: what the host's kernel does.
        dirty_log_mode: see DirtyLogMode.
        eager_page_split: the module parameter; None takes the kernel's default (on where it exists).
        tdp_mmu: the TDP MMU; without it the shadow MMU maps directly, with nested paging on.
        vcpus: number of vCPUs.
        ring_entries: entries of each vCPU's ring, in ring modes only.
        pml: page-modification logging (Intel, EPT with A/D bits).
    """

    kernel: KernelFeatures
    dirty_log_mode: DirtyLogMode = DirtyLogMode.LEGACY
    eager_page_split: bool | None = None
    tdp_mmu: bool = True
    vcpus: int = 1
    ring_entries: int | None = None
    pml: bool = False
    ring_limit: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Check every choice.

        Raises:
            InputError: a choice that the kernel lacks, or an absurd one.
            KvmEinval: a ring that KVM refuses with EINVAL.
            KvmE2big: a ring of too many entries.
        """
        check_eager(self.kernel, eager_page_split=self.eager_page_split)
        if not 1 <= self.vcpus <= MAX_VCPUS:
            raise KvmEinval(f"vcpus={self.vcpus} must be 1 to {MAX_VCPUS}")
        if self.dirty_log_mode.ring:
            object.__setattr__(self, "ring_limit", check_ring(self.ring_entries, pml=self.pml))

    @property
    def splits_eagerly(self) -> bool:
        """eager_page_split as the VM begins: the kernel's default where it was not chosen."""
        return self.kernel.eager_page_split if self.eager_page_split is None else self.eager_page_split


def check_eager(kernel: KernelFeatures, *, eager_page_split: bool | None) -> None:
    """Refuse eager_page_split on a kernel that has no such parameter.

    Raises:
        InputError: on such a kernel.
    """
    if eager_page_split and not kernel.eager_page_split:
        raise InputError(
            f"eager_page_split=Y on kernel {kernel.name}: the parameter first exists in {FIRST_EAGER.name}; "
            f"choose {FIRST_EAGER.name} or later, or eager_page_split=N"
        )


def check_ring(entries: int | None, *, pml: bool) -> int:
    """Check the size of a dirty ring as KVM_CAP_DIRTY_LOG_RING does.

    Args:
        entries: entries of a vCPU's ring.
        pml: whether the reserve for a PML buffer is added.

    Returns:
        The soft limit: used entries from which a vCPU may not enter the guest.

    Raises:
        KvmEinval: zero, no power of two, under a page, or not above the reserve.
        KvmE2big: over 65,536 entries.

    Kernel: kvm_vm_ioctl_enable_dirty_log_ring(), virt/kvm/kvm_main.c
    """
    reserve = RING_RESERVED_ENTRIES + (PML_ENTITY_NUM if pml else 0)
    per_page = PAGE_BYTES // DIRTY_GFN_BYTES
    rule = f"must be a power of two, at least {per_page} and above the {reserve} reserved entries"
    if entries is None or entries <= 0 or entries & (entries - 1):
        raise KvmEinval(f"ring_entries={entries} {rule}; 4096 or more is advised")
    if entries < per_page or entries < reserve:
        raise KvmEinval(f"ring_entries={entries} {rule}; 4096 or more is advised")
    if entries > MAX_RING_ENTRIES:
        raise KvmE2big(f"ring_entries={entries} must be at most {MAX_RING_ENTRIES}")
    return entries - reserve


@dataclass(frozen=True)
class Memslot:
    """A memslot as userspace adds it.

    Attributes:
        base_gfn: first guest frame.
        pages: 4K pages.
        backing: host memory behind it.
        hva_offset_pages: pages between the start of the host mapping (a multiple of 1 GiB) and page 0.
        host_populated: whether the host touched every page before.
    """

    base_gfn: int
    pages: int
    backing: Backing
    hva_offset_pages: int = 0
    host_populated: bool = True

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            KvmEinval: no pages, too many, or beyond the guest's address space.
        """
        if not 1 <= self.pages <= MAX_SLOT_PAGES:
            raise KvmEinval(f"pages={self.pages} must be 1 to {MAX_SLOT_PAGES}")
        if self.base_gfn < 0 or self.base_gfn + self.pages > MAX_GFN:
            raise KvmEinval(f"base_gfn={self.base_gfn} with pages={self.pages} must end at or below {MAX_GFN}")
        if not 0 <= self.hva_offset_pages < MAX_GFN:
            raise KvmEinval(f"hva_offset_pages={self.hva_offset_pages} must be 0 to {MAX_GFN - 1}")

    @property
    def aligned_level(self) -> int:
        """The highest level at which guest and host addresses are congruent."""
        apart = self.base_gfn ^ self.hva_offset_pages
        level = PG_LEVEL_1G
        while apart & ((1 << 9 * (level - 1)) - 1):
            level -= 1
        return level
