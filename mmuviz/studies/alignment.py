"""Memslots whose huge host pages KVM cannot map by huge entries: guest and host addresses are not congruent."""

from __future__ import annotations

from typing import Final, NamedTuple

from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGE_BYTES, PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, pages_per_hpage, round_up
from mmuviz.engine.choices.memory import MemslotChoices
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.choices.units import size_text
from mmuviz.recording.recording import Recording

LEVELS: Final = {PG_LEVEL_4K: "4K", PG_LEVEL_2M: "2M", PG_LEVEL_1G: "1G"}
CHECKS: Final = {
    "arm64": "fault_supports_stage2_huge_mapping(), arch/arm64/kvm/mmu.c",
    "": "kvm_alloc_memslot_metadata(), arch/x86/kvm/x86.c: lpage_info",
}
"""Where KVM compares the two addresses, by vendor."""


class Remark(NamedTuple):
    """A remark on memslots that are mapped by smaller pages than those of their backing.

    Attributes:
        short: a few words: which memslots, and how they are mapped; empty if there is no such memslot.
        text: a sentence with the reason in KVM and the remedy.
    """

    short: str = ""
    text: str = ""


NO_REMARK: Final = Remark()


def mapped_level(slot: MemslotChoices) -> int:
    """Return the largest level at which KVM may map a memslot, by its backing and its addresses."""
    return min(slot.backing.level, slot.memslot().aligned_level)


def _loses_huge_pages(slot: MemslotChoices) -> bool:
    """Whether a memslot has smaller entries than it had with congruent addresses."""
    level = mapped_level(slot)
    if level == slot.backing.level:
        return False
    huge = pages_per_hpage(level + 1)
    return round_up(slot.base_gfn, huge) + huge <= slot.base_gfn + slot.pages


def remark_of(scenario: Scenario) -> Remark:
    """Write which memslots KVM maps by smaller pages than their backing has, why, and what would change it.

    Args:
        scenario: its memory; memslots that a list of operations adds are not looked at.

    Returns:
        The remark on the first such memslot, which names how many others there are; empty if there is none.

    Kernel: kvm_alloc_memslot_metadata(), arch/x86/kvm/x86.c; fault_supports_stage2_huge_mapping(), arch/arm64/kvm/mmu.c
    """
    slots = [(at, slot) for at, slot in enumerate(scenario.memory) if _loses_huge_pages(slot)]
    if not slots:
        return NO_REMARK
    at, slot = slots[0]
    level = mapped_level(slot)
    modulo = size_text(pages_per_hpage(level + 1) * PAGE_BYTES)
    others = f" and {len(slots) - 1} more" if len(slots) > 1 else ""
    wanted = slot.base % (pages_per_hpage(slot.backing.level) * PAGE_BYTES)
    check = CHECKS.get(scenario.vm.vendor, CHECKS[""])
    short = f"memory[{at}]{others} mapped by {LEVELS[level]}: base and hva_offset differ modulo {modulo}"
    text = (
        f"memory[{at}]{others}, base={size_text(slot.base)}, is mapped by {LEVELS[level]} entries although its backing "
        f"is {slot.backing}: its guest and host addresses (gfn and hva) differ modulo {modulo}, for which KVM "
        f"disallows larger pages ({check}); hva_offset={size_text(wanted)} makes them congruent."
    )
    return Remark(short, text)


def remark_on(recording: Recording) -> Remark:
    """Write remark_of() for a Recording's Scenario; empty if this version refuses that Scenario."""
    try:
        return remark_of(Scenario.model_validate(recording.header.document()["scenario"]))
    except MmuvizError:
        return NO_REMARK
