"""What a Recording is called and what it shows, in words derived from its fields and events."""

from __future__ import annotations

import re
from typing import Final

from mmuviz.recording.columns import Recording
from mmuviz.recording.totals import huge_zaps_in_faults, splits_by_place

SHORT_BACKINGS: Final = {"4k": "4K", "thp": "THP", "hugetlb_2m": "2M", "hugetlb_1g": "1G"}
SHORT_MODES: Final = {
    "legacy": "legacy",
    "manual": "manual",
    "manual_initially_set": "initially set",
    "ring": "ring",
    "ring_initially_set": "ring, initially set",
}
BACKINGS: Final = {
    "4k": "4K pages",
    "thp": "transparent huge pages",
    "hugetlb_2m": "2M huge pages",
    "hugetlb_1g": "1G huge pages",
}
MODES: Final = {
    "legacy": "legacy dirty log",
    "manual": "manual-protect dirty log",
    "manual_initially_set": "initially-all-set dirty log",
    "ring": "dirty ring",
    "ring_initially_set": "dirty ring, initially set",
}
SHORT_PLACES: Final = {
    "enable": "at enable",
    "clear": "in CLEAR",
    "ring_reset": "in ring reset",
    "fault": "in the write fault",
}
PLACES: Final = {
    "enable": "all at once when dirty logging is enabled, before any vCPU writes",
    "clear": "in CLEAR_DIRTY_LOG, range by range, before the vCPUs write there again",
    "ring_reset": "when the dirty ring is reset",
    "fault": "in the write fault that hits each one, while the vCPU waits",
}


def kernel_release(recording: Recording) -> str:
    """The first two numbers of the kernel, e.g. "6.12"."""
    found = re.match(r"\d+\.\d+", recording.kernel)
    return found[0] if found else recording.kernel


def kernel_name(recording: Recording) -> str:
    """The kernel as it is called: e.g. "Linux 6.12", or a patch series, which says that it was never merged."""
    release = kernel_release(recording)
    return f"Linux {release}" if release[0].isdigit() else f"{release} (never merged)"


def size_text(pages: int) -> str:
    """A number of 4K pages as binary units, e.g. "32 MiB"."""
    kib = pages * 4
    for unit, span in (("TiB", 1 << 30), ("GiB", 1 << 20), ("MiB", 1 << 10)):
        if kib >= span:
            return f"{round(kib / span, 2):g} {unit}"
    return f"{kib} KiB"


def title(recording: Recording, without: str = "") -> str:
    """Name the choices that tell recordings apart.

    Args:
        recording: not changed.
        without: a choice to leave out, "kernel" or a field of Config.

    Returns:
        E.g. "32 MiB of 2M huge pages, legacy dirty log, eager, 4 vCPUs, Linux 6.12".
    """
    kernel = [] if without == "kernel" else [kernel_name(recording)]
    count = recording.config.vcpus
    vcpus = [] if count == 1 or without == "vcpus" else [f"{count} vCPUs"]
    memory = f"{size_text(recording.slot.pages)} of {BACKINGS[recording.slot.backing]}"
    mode = [] if without == "dirty_log_mode" else [MODES[recording.config.dirty_log_mode]]
    return ", ".join([memory, *mode, *_policy(recording, without), *vcpus, *kernel])


def short_title(recording: Recording) -> str:
    """The same in as few words as do, e.g. "2M, legacy, eager, 6.12"."""
    backing, mode = SHORT_BACKINGS[recording.slot.backing], SHORT_MODES[recording.config.dirty_log_mode]
    return ", ".join([backing, mode, *_policy(recording), kernel_name(recording).removeprefix("Linux ")])


def _policy(recording: Recording, without: str = "") -> list[str]:
    config = recording.config
    words = {
        "eager_page_split": "eager" if config.eager_page_split else "lazy",
        "pml": "PML" if config.pml else "",
        "tdp_mmu": "" if config.tdp_mmu else "shadow MMU",
    }
    return [word for name, word in words.items() if word and name != without]


def side_word(recording: Recording, differs: str) -> str:
    """Name one side of a comparison by the choice in which it differs.

    Args:
        recording: not changed.
        differs: "kernel" or a field of Config.

    Returns:
        E.g. "eager" or "Linux 6.1".
    """
    config = recording.config
    return {
        "kernel": kernel_name(recording),
        "eager_page_split": "eager" if config.eager_page_split else "lazy",
        "pml": "page-modification logging" if config.pml else "write protection",
        "tdp_mmu": "TDP MMU" if config.tdp_mmu else "shadow MMU",
        "dirty_log_mode": SHORT_MODES[config.dirty_log_mode],
    }.get(differs, f"{differs}={getattr(config, differs, '')}")


def pane_title(recording: Recording, differs: str) -> str:
    """Name one side of a comparison by the choice in which it differs, and by what KVM then does.

    Args:
        recording: not changed.
        differs: "kernel" or a field of Config.

    Returns:
        E.g. "Eager: splits at enable".
    """
    choice = side_word(recording, differs)
    choice = choice[0].upper() + choice[1:]
    places = [SHORT_PLACES.get(place, place) for place in splits_by_place(recording)]
    if places:
        return f"{choice}: splits {' and '.join(places)}"
    if huge_zaps_in_faults(recording):
        return f"{choice}: zaps in the write fault"
    return f"{choice}: splits nothing"


def sentence(recording: Recording) -> str:
    """Say in one sentence what there is to see.

    Args:
        recording: not changed.

    Returns:
        E.g. "The guest writes to 32 MiB of 2M huge pages; KVM splits them …".
    """
    places, zaps = splits_by_place(recording), huge_zaps_in_faults(recording)
    if places:
        what = "KVM splits them " + ", and ".join(PLACES.get(place, f"in {place}") for place in places)
    elif zaps:
        what = "KVM splits nothing: a write fault zaps the whole huge page, and its 4K pages fault back one by one"
    else:
        what = "no huge page is split"
    return f"The guest writes to {size_text(recording.slot.pages)} of {BACKINGS[recording.slot.backing]}; {what}."
