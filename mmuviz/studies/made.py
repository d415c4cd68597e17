"""What the documents that are made here, not recorded, have in common."""

from __future__ import annotations

from typing import Any


def intel_config(mode: str, vcpus: int, *, eager_page_split: bool) -> dict[str, Any]:
    """The VM of a document: Intel's TDP MMU with PML, as most hosts have it.

    Args:
        mode: dirty-log mode, as documents name it.
        vcpus: of the VM.
        eager_page_split: KVM's module parameter.

    Returns:
        The document's "config".
    """
    return {
        "dirty_log_mode": mode,
        "eager_page_split": eager_page_split,
        "tdp_mmu": True,
        "vcpus": vcpus,
        "ring_entries": None,
        "vendor": "intel",
        "pml": True,
    }
