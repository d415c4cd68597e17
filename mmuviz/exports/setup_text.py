"""Short texts on the setup of a run, for the head of summaries and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.recording.quantities import bytes_text, count_text
from mmuviz.recording.recording import Recording

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario

SHARED_IOCTLS: Final = ("enable", "disable")
EXTRAPOLATED: Final = " (extrapolated)"


def shares_lock(recording: Recording, ioctl: str) -> bool:
    """Whether a kind of ioctl holds mmu_lock for read, so that vCPUs can handle faults meanwhile.

    Kernel: kvm_mmu_slot_try_split_huge_pages() and its callees, of the TDP MMU, arch/x86/kvm/mmu/mmu.c
    """
    return ioctl in SHARED_IOCTLS and _part(recording.header.scenario, "vm").get("mmu") == "tdp"


def mode_of(recording: Recording) -> str:
    """Return the dirty-log mode; empty if unknown."""
    return str(_part(recording.header.scenario, "vm").get("dirty_log_mode", ""))


def setup_text(recording: Recording) -> list[str]:
    """Describe VM, memory, workload, driver and host of a Recording.

    Args:
        recording: the Recording.

    Returns:
        Short texts, e.g. "4 vCPUs"; none for parts that the Scenario does not have.
    """
    header = recording.header
    slots = header.scenario.get("memory")
    host = f"{header.host.profile}{EXTRAPOLATED if header.host.extrapolated else ''}"
    count = len(slots) if isinstance(slots, Sequence) else 0
    return _texts(header.scenario, _memory(guest_bytes(recording), count), header.versions.kernel, header.vcpus, host)


def scenario_text(scenario: Scenario) -> list[str]:
    """Return the texts that setup_text() has for the Recording of this Scenario, before it is run."""
    profile, memory = scenario.host.values(), scenario.memory
    host = f"{profile.name}{EXTRAPOLATED if profile.extrapolated else ''}"
    size = _memory(sum(slot.size for slot in memory), len(memory))
    return _texts(scenario.as_document(), size, scenario.vm.config().kernel.name, scenario.vm.vcpus, host)


def _memory(size_bytes: int, slots: int) -> str:
    return f"{bytes_text(size_bytes)} of guest memory{f' in {slots} memslots' if slots > 1 else ''}"


def _texts(document: Mapping[str, Any], memory: str, kernel: str, vcpus: int, host: str) -> list[str]:
    vm = _part(document, "vm")
    parts = [
        number(vcpus, "vCPU"),
        memory,
        f"kernel {kernel}",
        _processor(vm),
        str(vm.get("dirty_log_mode", "")),
        _splitting(vm),
    ]
    if pattern := _part(document, "workload").get("pattern"):
        parts.append(f"workload {pattern}")
    if kind := _part(document, "driver").get("kind"):
        parts.append(f"driver {kind}")
    parts.append(f"host {host}")
    return [each for each in parts if each]


def common_text(recordings: Sequence[Recording]) -> list[str]:
    """Return the texts of setup_text() that several Recordings have in common."""
    return in_all([setup_text(each) for each in recordings])


def in_all(found: Sequence[list[str]]) -> list[str]:
    """Return the texts that are in every list, in the order of the first."""
    return [each for each in found[0] if all(each in each_run for each_run in found)]


def guest_bytes(recording: Recording) -> int:
    """Return the bytes of all memslots."""
    pages: list[int] = recording.cell_map.pages.tolist()
    return sum(pages) * PAGE_BYTES


def number(count: int, name: str, plural: str = "s") -> str:
    """Format a count with its noun, e.g. "1 zap", "2 zaps"."""
    return f"{count_text(count)} {name}{'' if count == 1 else plural}"


def _part(scenario: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = scenario.get(name)
    return part if isinstance(part, Mapping) else {}


def _processor(vm: Mapping[str, Any]) -> str:
    if "vendor" not in vm:
        return ""
    pml = "" if vm["vendor"] != "intel" else " with PML" if vm.get("pml") else " without PML"
    return f"{vm['vendor']}{pml}, MMU {vm.get('mmu')}"


def _splitting(vm: Mapping[str, Any]) -> str:
    if chunk := vm.get("split_chunk"):
        return f"eager splitting by {bytes_text(chunk)}"
    if "eager_page_split" not in vm:
        return ""
    return "eager splitting" if vm["eager_page_split"] else "lazy splitting"
