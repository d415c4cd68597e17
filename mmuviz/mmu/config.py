"""Configuration of a VM: frozen types, checked once; an error carries the errno that KVM would return."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from mmuviz.core.errors import InputError, KvmE2big, KvmEinval
from mmuviz.core.pages import (
    GFN_BITS,
    PAGE_BYTES,
    PAGES_PER_1G,
    PAGES_PER_2M,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
)
from mmuviz.mmu.features import FIRST_ARM64_EAGER, FIRST_ARM64_RING, FIRST_EAGER, FIRST_NESTED_EAGER, KernelFeatures
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
MIN_MMU_PAGES: Final = 64
"""Kernel: KVM_MIN_ALLOC_MMU_PAGES, arch/x86/include/asm/kvm_host.h."""
SPLIT_CHUNKS: Final = (PAGE_BYTES, PAGES_PER_2M * PAGE_BYTES, PAGES_PER_1G * PAGE_BYTES)
"""Block sizes that arm64 supports with 4K pages. Kernel: kvm_supported_block_sizes(), arch/arm64/kvm/mmu.c."""


class DirtyLogMode(StrEnum):
    """Interface by which userspace reads the dirty pages."""

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


class Mmu(StrEnum):
    """The MMU whose tables map the guest; all but the first two follow the kernel's source, not recordings.

    TDP is the TDP MMU; DIRECT_SHADOW the shadow MMU that maps directly (tdp_mmu=N). SHADOW_PAGING
    shadows the guest's own tables (ept=N, npt=N), which map its memory 1:1 by pages of 1 GiB with
    their accessed and dirty bits set. NESTED is the TDP MMU for L1 plus the shadow MMU for an L2,
    whose memory L1 maps 1:1 by pages of 1 GiB, as dirty_log_perf_test -n does. STAGE2 is arm64, with
    four levels of tables and the paths of 6.12 on every kernel row, except for what the row does not
    have yet (the chunk size, the ring, faults in parallel).
    """

    TDP = "tdp"
    DIRECT_SHADOW = "direct_shadow"
    SHADOW_PAGING = "shadow_paging"
    NESTED = "nested"
    STAGE2 = "arm64_stage2"

    @property
    def shadows(self) -> bool:
        """Whether the shadow MMU maps something, so that memslots have reverse maps."""
        return self in (Mmu.DIRECT_SHADOW, Mmu.SHADOW_PAGING, Mmu.NESTED)


@dataclass(frozen=True)
class Tracking:
    """Page size that dirty logging tracks; only 4K was ever merged.

    Attributes:
        level: PG_LEVEL_4K, or PG_LEVEL_2M: 1G pages are split to 2M and no further, a 2M leaf is
            protected and fixed as it is, and its 512 pages are dirty together.
        rounds_to_4k: with 2M, the hybrid: a 2M region that this many successive calls of
            KVM_GET_DIRTY_LOG found dirty does not converge; the call that arms its pages next (CLEAR,
            or the GET itself in legacy mode) first splits it to 4K. None: always 2M.
    """

    level: int = PG_LEVEL_4K
    rounds_to_4k: int | None = None

    def __post_init__(self) -> None:
        """Check the configuration.

        Raises:
            InputError: a level that cannot be tracked, or rounds without 2M.
        """
        if self.level not in (PG_LEVEL_4K, PG_LEVEL_2M):
            raise InputError(f"tracking level={self.level} must be {PG_LEVEL_4K} (4K) or {PG_LEVEL_2M} (2M)")
        if self.rounds_to_4k is None:
            return
        if self.level != PG_LEVEL_2M:
            raise InputError("rounds_to_4k goes with tracking at 2M; leave it out, or give level=2")
        if self.rounds_to_4k < 1:
            raise InputError(f"rounds_to_4k={self.rounds_to_4k} must be 1 or more")


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
        """Whether it comes from hugetlbfs, which has whole huge pages only."""
        return self in (Backing.HUGETLB_2M, Backing.HUGETLB_1G)


@dataclass(frozen=True)
class VmConfig:
    """Configuration of a VM, chosen when it is created.

    Attributes:
        kernel: behaviour of the host's kernel.
        dirty_log_mode: see DirtyLogMode.
        eager_page_split: the module parameter; None: the kernel's default, on if the kernel has the parameter.
        mmu: see Mmu.
        vcpus: number of vCPUs.
        ring_entries: entries of each vCPU's ring, in ring modes only.
        pml: page-modification logging (Intel, EPT with A/D bits); writes of an L2 are never logged this way.
        split_chunk_bytes: arm64's KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE; 0 splits lazily.
        tracking: the size of the pages that logging tracks.
        nr_mmu_pages: KVM_SET_NR_MMU_PAGES, the most shadow pages; None takes 2 % of the memslots'
            pages, at least 64. It stops eager splits; recycling of old pages is not modelled.
    """

    kernel: KernelFeatures
    dirty_log_mode: DirtyLogMode = DirtyLogMode.LEGACY
    eager_page_split: bool | None = None
    mmu: Mmu = Mmu.TDP
    vcpus: int = 1
    ring_entries: int | None = None
    pml: bool = False
    split_chunk_bytes: int = 0
    tracking: Tracking = Tracking()
    nr_mmu_pages: int | None = None
    ring_limit: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            InputError: the kernel lacks a chosen feature, or a value makes no sense.
            KvmEinval: a ring that KVM refuses with EINVAL.
            KvmE2big: a ring of too many entries.
        """
        check_eager(self.kernel, eager_page_split=self.eager_page_split)
        check_mmu(self)
        check_tracking(self)
        if not 1 <= self.vcpus <= MAX_VCPUS:
            raise KvmEinval(f"vcpus={self.vcpus} must be 1 to {MAX_VCPUS}")
        if self.dirty_log_mode.ring:
            object.__setattr__(self, "ring_limit", check_ring(self.ring_entries, pml=self.pml))

    @property
    def splits_eagerly(self) -> bool:
        """eager_page_split when the VM is created: the kernel's default unless chosen."""
        if self.mmu is Mmu.STAGE2:
            return self.split_chunk_bytes != 0
        return self.kernel.eager_page_split if self.eager_page_split is None else self.eager_page_split

    @property
    def tdp_mmu(self) -> bool:
        """The module parameter: whether the TDP MMU maps L1."""
        return self.mmu in (Mmu.TDP, Mmu.NESTED)

    @property
    def splits_rmaps(self) -> bool:
        """Whether eager_page_split, if it is on, splits huge pages of the shadow MMU too."""
        if self.mmu is Mmu.NESTED:
            return self.kernel.nested_eager_page_split
        return self.mmu.shadows and self.kernel.eager_without_tdp_mmu


def check_mmu(config: VmConfig) -> None:
    """Refuse options that the MMU does not have.

    Raises:
        InputError: an option that belongs to another MMU, or that this kernel does not have yet.
        KvmEinval: a chunk or a number of pages that KVM refuses.
    """
    stage2, kernel = config.mmu is Mmu.STAGE2, config.kernel
    if config.pml and (stage2 or config.mmu is Mmu.SHADOW_PAGING):
        raise InputError(f"pml=true needs EPT, and {config.mmu} has none; choose pml=false, or mmu=tdp")
    if stage2 and config.eager_page_split:
        raise InputError("arm64 has no eager_page_split; give split_chunk_bytes (a chunk size), or mmu=tdp")
    if stage2 and kernel.series:
        raise InputError(f"kernel={kernel.name} is a series for x86; choose a release for mmu={config.mmu}")
    if stage2 and config.dirty_log_mode.ring and not kernel.arm64_dirty_ring:
        first = FIRST_ARM64_RING.name
        raise InputError(
            f"arm64 has no dirty ring on kernel {kernel.name}: it first exists in {first}; choose {first} or later"
        )
    if config.split_chunk_bytes:
        _check_chunk(config)
    if config.nr_mmu_pages is not None:
        if not config.splits_rmaps:
            raise InputError(
                f"nr_mmu_pages changes nothing with mmu={config.mmu} on kernel {kernel.name}: it stops eager splits of "
                f"the shadow MMU, which first exist in {FIRST_NESTED_EAGER.name} with mmu=nested"
            )
        if config.nr_mmu_pages < MIN_MMU_PAGES:
            raise KvmEinval(f"nr_mmu_pages={config.nr_mmu_pages} must be at least {MIN_MMU_PAGES}")


def _check_chunk(config: VmConfig) -> None:
    if config.mmu is not Mmu.STAGE2:
        raise InputError(f"split_chunk_bytes belongs to mmu=arm64_stage2, not {config.mmu}; use eager_page_split there")
    if not config.kernel.arm64_eager_page_split:
        raise InputError(
            f"split_chunk_bytes on kernel {config.kernel.name}: KVM_CAP_ARM_EAGER_SPLIT_CHUNK_SIZE first exists in "
            f"{FIRST_ARM64_EAGER.name}; choose {FIRST_ARM64_EAGER.name} or later, or 0"
        )
    if config.split_chunk_bytes not in SPLIT_CHUNKS:
        sizes = ", ".join(str(size) for size in SPLIT_CHUNKS)
        raise KvmEinval(f"split_chunk_bytes={config.split_chunk_bytes} must be 0 or a block size: {sizes}")


def check_tracking(config: VmConfig) -> None:
    """Refuse tracking at 2M where the model has no rule for it.

    Raises:
        InputError: with another MMU than the TDP MMU, or with a dirty ring.
    """
    if config.tracking.level == PG_LEVEL_4K:
        return
    if config.mmu is not Mmu.TDP or config.dirty_log_mode.ring:
        raise InputError(
            f"tracking at 2M is in no release; it is modelled for mmu=tdp and bitmaps, not mmu={config.mmu} with "
            f"dirty_log_mode={config.dirty_log_mode}"
        )


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
        KvmEinval: zero, not a power of two, less than a page, or not above the reserve.
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
        base_gfn: first gfn.
        pages: size in 4K pages.
        backing: host memory behind it.
        hva_offset_pages: pages between the start of the host mapping (a multiple of 1 GiB) and page 0.
        host_populated: whether the host populated every page beforehand.
        read_only: KVM_MEM_READONLY: a guest's write is an exit to userspace, and nothing is ever dirty.
    """

    base_gfn: int
    pages: int
    backing: Backing
    hva_offset_pages: int = 0
    host_populated: bool = True
    read_only: bool = False

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

    def at(self, base_gfn: int) -> Memslot:
        """Return the same slot at another place.

        Args:
            base_gfn: its first gfn there.

        Raises:
            KvmEinval: beyond the guest's address space.
        """
        return replace(self, base_gfn=base_gfn)

    @property
    def aligned_level(self) -> int:
        """The highest level at which guest and host addresses are congruent."""
        apart = self.base_gfn ^ self.hva_offset_pages
        level = PG_LEVEL_1G
        while apart & ((1 << 9 * (level - 1)) - 1):
            level -= 1
        return level
