"""Huge pages of a guest after its migration: those that are left, and the time at which the others return."""

from __future__ import annotations

from typing import Final

from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGES_PER_1G, PAGES_PER_2M, PG_LEVEL_4K
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.recording.recording import Recording
from mmuviz.studies.alignment import mapped_level

NEVER: Final = "what was split never returns while logging is on"


def huge_pages_text(recording: Recording) -> str:
    """Write the number of huge leaves at the end, and when the others return; empty if the guest has no huge pages.

    A completed migration does not disable logging (QEMU: memory_global_dirty_log_stop() waits until the VM runs again);
    a cancelled one, or one that is given up, disables logging of every memslot.

    Args:
        recording: the Recording of a migration.

    Kernel: kvm_mmu_zap_collapsible_sptes(), up to 6.12; kvm_mmu_recover_huge_pages(), from 6.13, arch/x86/kvm/mmu/mmu.c
    """
    try:
        scenario = Scenario.model_validate(recording.header.document()["scenario"])
    except MmuvizError:
        return ""
    backed = sum(slot.pages for slot in scenario.memory if mapped_level(slot) > PG_LEVEL_4K)
    ended = recording.header.migration
    if not backed or ended is None:
        return ""
    leaves = recording.totals["leaves"]
    huge = leaves["1g"] * PAGES_PER_1G + leaves["2m"] * PAGES_PER_2M
    left = "none is left at the end"
    if huge:
        left = f"at the end they map {100 * huge // backed} % of what they back"
    if huge >= backed and not _was_broken_up(recording):
        return left
    return f"{left}; {_return(scenario, disabled=ended.outcome != 'completed')}"


def _was_broken_up(recording: Recording) -> bool:
    """Whether logging split or zapped a huge page."""
    splits, zaps = recording.totals["splits"], recording.totals["zaps"]
    return bool(zaps or splits["enable"] or splits["clear"] or splits["fault"])


def _return(scenario: Scenario, *, disabled: bool) -> str:
    features = scenario.vm.config().kernel
    if not disabled:
        qemu = scenario.driver.kind == "qemu_precopy"
        return f"{NEVER}, and a migration that completes leaves it on" + (
            ": the source disables it when its VM is run again" if qemu else ""
        )
    if scenario.vm.vendor == "arm64":
        return "logging is disabled, and Linux on arm64 makes them again at the faults that follow"
    if features.recovers_huge_pages_in_place:
        return f"logging is disabled, and Linux {features.label} makes them again in place, as one ioctl a memslot"
    zaps = f"logging is disabled, and Linux {features.label} zaps what was split"
    return f"{zaps}: each returns when its memory is next touched"
