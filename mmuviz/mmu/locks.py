"""The mode in which each path holds mmu_lock, by the event and the VM's configuration. No clock, no cost.

L1's tables under the TDP MMU of x86 follow the source and agree with everything that recordings can
show; the shadow MMU of an L2, shadow paging and arm64 follow the source only.
"""

from __future__ import annotations

from enum import StrEnum

from mmuviz.mmu.config import Mmu, VmConfig
from mmuviz.mmu.events import DETAIL_SHIFT, FAST, FAST_FIXED, FAULT, KIND_MASK, L2_EVENT
from mmuviz.mmu.features import KernelFeatures


class Lock(StrEnum):
    """Mode in which mmu_lock is held."""

    NONE = "none"
    READ = "read"
    WRITE = "write"


class Path(StrEnum):
    """Paths that take mmu_lock. Those of an L2 are the shadow MMU's part of the same call in a nested VM.

    PERMISSION_FAULT is a write fault that makes a 4K leaf of a logged slot writable again, FAULT any other one.
    """

    FAULT = "fault"
    PERMISSION_FAULT = "permission_fault"
    L2_FAULT = "l2_fault"
    ENABLE_SPLIT = "enable_split"
    ENABLE_PROTECT = "enable_protect"
    L2_ENABLE_SPLIT = "l2_enable_split"
    L2_ENABLE_PROTECT = "l2_enable_protect"
    GET = "get"
    CLEAR = "clear"
    RING_RESET = "ring_reset"
    DISABLE = "disable"
    L2_DISABLE = "l2_disable"
    NOTIFIER = "notifier"
    SPLIT_BY_FAULTING = "split_by_faulting"
    DELETE = "delete"


SHARED_WITH_TDP = (
    Path.FAULT,
    Path.PERMISSION_FAULT,
    Path.ENABLE_SPLIT,
    Path.ENABLE_PROTECT,
    Path.DISABLE,
    Path.SPLIT_BY_FAULTING,
)
"""Paths that hold mmu_lock for read in the TDP MMU; all others, and all of the shadow MMU, for write."""


def lock_of(path: Path, config: VmConfig) -> Lock:
    """The mode in which a path holds mmu_lock.

    Args:
        path: the path that runs.
        config: the VM's configuration.

    Returns:
        NONE where the path does not take it: disabling on arm64, which has nothing to do, and GET under
        manual protection, which only copies.

    Kernel: kvm_mmu_slot_try_split_huge_pages(), kvm_mmu_slot_remove_write_access(), kvm_tdp_mmu_page_fault(),
        arch/x86/kvm/mmu/mmu.c; user_mem_abort(), kvm_mmu_wp_memory_region(), arch/arm64/kvm/mmu.c
    """
    if path is Path.GET and config.dirty_log_mode.manual:
        return Lock.NONE
    if config.mmu is Mmu.STAGE2:
        if path is Path.DISABLE:
            return Lock.NONE
        return Lock.READ if path in _shared_on_arm64(config.kernel) else Lock.WRITE
    return Lock.READ if config.tdp_mmu and path in SHARED_WITH_TDP else Lock.WRITE


def _shared_on_arm64(kernel: KernelFeatures) -> tuple[Path, ...]:
    """Paths that hold mmu_lock for read on arm64."""
    if kernel.arm64_faults_in_parallel:
        return Path.FAULT, Path.PERMISSION_FAULT
    return (Path.PERMISSION_FAULT,) if kernel.arm64_permission_faults_in_parallel else ()


def lock_of_fault(code: int, config: VmConfig) -> Lock:
    """The mode in which the handling of one fault event holds mmu_lock.

    Args:
        code: event code of kind FAULT, or FAST where fast_page_fault() was tried.
        config: the VM's configuration.

    Returns:
        NONE for a fault that fast_page_fault() fixed; a FAULT event covers the slow path that may follow. An
        event does not tell a PERMISSION_FAULT, which matters on arm64 from 5.18 to 6.1 only.
    """
    if code & KIND_MASK == FAST and (code >> DETAIL_SHIFT) & 255 == FAST_FIXED:
        return Lock.NONE
    if code & KIND_MASK not in (FAULT, FAST):
        raise ValueError(f"event code {code} is no fault")
    return lock_of(Path.L2_FAULT if code & L2_EVENT else Path.FAULT, config)


def drops_lock_to_allocate(config: VmConfig, *, l2: bool = False) -> str:
    """The case in which an eager split drops mmu_lock to allocate memory.

    Args:
        config: the VM's configuration.
        l2: whether to return that of the shadow MMU in a nested VM.

    Returns:
        "always" (TDP MMU from 6.11, for each table), "on_failure" (TDP MMU before, when GFP_NOWAIT
        fails), or "topup" (VM-wide caches: whenever one is low; count them with Counters.split_topups).
    """
    kernel: KernelFeatures = config.kernel
    if l2 or config.mmu in (Mmu.STAGE2, Mmu.DIRECT_SHADOW, Mmu.SHADOW_PAGING) or kernel.tdp_split_caches:
        return "topup"
    return "always" if kernel.split_drops_mmu_lock else "on_failure"
