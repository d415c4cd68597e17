"""What each step of an ioctl costs."""

from __future__ import annotations

from typing import Final

from mmuviz.engine.cost_table import PS_PER_NS, CostTable
from mmuviz.engine.ioctl_cost import armed_now, arming_ps, splitting_ps, topping_up_ps, words_by_level, words_ps
from mmuviz.ground.pages import BITS_PER_LONG, PAGE_BYTES, PG_LEVEL_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.steps import Step, Verb
from mmuviz.mmu.tracking import regions_of
from mmuviz.mmu.vm import Vm

BITMAPS: Final = 2
"""KVM allocates the dirty bitmap twice over. Kernel: kvm_alloc_dirty_bitmap()."""


def fixed_ps(costs: CostTable, config: VmConfig, kind: str, pages: int) -> int:
    """What an ioctl does before it takes any lock.

    Args:
        costs: of the VM.
        config: the VM.
        kind: of the ioctl.
        pages: that the call goes over.
    """
    mode = config.dirty_log_mode
    match kind:
        case "enable":
            took = costs.walk("enable_initset" if mode.initially_set else "enable")
            bitmap_pages = 0 if mode.ring else BITMAPS * -(-pages // (8 * PAGE_BYTES))
            took += bitmap_pages * costs.host["page_alloc_ns"] * PS_PER_NS
            return took + (pages // BITS_PER_LONG * costs.walk("bitmap_fill") if mode.initially_set else 0)
        case "get":
            return costs.walk("get_manual" if mode.manual else "get")
        case "reset":
            return costs.walk("ring_reset")
        case "clear" | "disable":
            return costs.walk(kind)
        case _:
            return 0


class StepCost:
    """Prices the steps of one VM's ioctls."""

    def __init__(self, costs: CostTable, vm: Vm) -> None:
        """Take a VM.

        Args:
            costs: of its configuration on a host.
            vm: the VM.
        """
        self._costs = costs
        self._vm = vm
        self._planned = (0, 0, 0)

    def plan(self, step: Step) -> None:
        """Count what a change of the tables is about to change."""
        tables, self._planned = step.tables, (0, 0, 0)
        if step.verb is Verb.PROTECT and tables is not None:
            bits = mmu.DIRTY if tables.conf[mmu.CONF_PML] else mmu.WRITABLE
            self._planned = armed_now(tables, step.first, step.end, bits)
        if step.verb in (Verb.GET_WORD, Verb.CLEAR_WORD) and step.masks is not None and tables is not None:
            self._planned = (*words_by_level(tables, step.first, step.masks), 0)

    def work_ps(self, step: Step, pages: int) -> int:
        """What it took.

        Args:
            step: the change, made.
            pages: that the whole call goes over.
        """
        costs, changes = self._costs, step.changes
        tables = self._vm.guest_tables if step.tables is None else step.tables
        match step.verb:
            case Verb.SPLIT:
                verb = "clear_2m" if step.masks is not None else "enable"
                return splitting_ps(costs, tables, changes.tables, pages, verb) if changes.tables else 0
            case Verb.PROTECT:
                return arming_ps(costs, tables, self._planned, step.end - step.first, pages)
            case Verb.GET_WORD | Verb.CLEAR_WORD:
                return self._words_ps(step, pages)
            case Verb.COLLAPSE:
                return self._collapse_ps(step)
            case Verb.RING:
                return changes.entries * costs.walk("ring_page")
            case _:
                spanned = step.end - step.first
                calls = regions_of(step.first, spanned) if step.level == PG_LEVEL_2M else spanned
                return calls * costs.host["pre_split_ns"] * PS_PER_NS

    def _words_ps(self, step: Step, pages: int) -> int:
        tables, costs, levels = self._vm.guest_tables, self._costs, self._planned[:2]
        words = -(-pages // BITS_PER_LONG)
        if step.masks is None:
            return -(-(step.end - step.first) // BITS_PER_LONG) * costs.walk("get_copy_word")
        if step.verb is Verb.GET_WORD:
            return words_ps(costs, step.masks, levels, "get", words, eager=False)
        splits_here = bool(tables.conf[mmu.CONF_EAGER]) and tables.conf[mmu.CONF_SPLITTER] != mmu.SPLITTER_NONE
        eager = self._vm.config.dirty_log_mode.initially_set and splits_here
        took = words_ps(costs, step.masks, levels, "clear", words, eager=eager)
        took += splitting_ps(costs, tables, step.changes.tables, words * BITS_PER_LONG, "clear_2m")
        return took + topping_up_ps(costs, step.changes.topups)

    def _collapse_ps(self, step: Step) -> int:
        changes, costs, config = step.changes, self._costs, self._vm.config
        if config.kernel.recovers_huge_pages_in_place and config.tdp_mmu:
            return changes.collapsed * costs.host["recover_ns"] * PS_PER_NS
        return changes.collapsed * costs.walk("zap_table") - changes.leaves_4k * costs.walk("zap_child")
