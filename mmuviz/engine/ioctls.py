"""The ioctls of dirty logging in time: the machine's steps, each at its time and at its cost."""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np

from mmuviz.engine import clock as layout
from mmuviz.engine.prices import PS_PER_NS
from mmuviz.engine.timed import SLOT, TimedMachine, resume
from mmuviz.engine.walk_time import armed_now, arming_ps, splitting_ps, topping_up_ps, words_by_level, words_ps
from mmuviz.ground.pages import BITS_PER_LONG, PAGE_BYTES, PAGES_PER_1G, PAGES_PER_2M, PG_LEVEL_2M
from mmuviz.mmu import state as mmu
from mmuviz.mmu.state import I64
from mmuviz.mmu.steps import Act, Step, Steps, Verb
from mmuviz.mmu.tracking import regions_of

BITMAPS: Final = 2
"""KVM allocates the dirty bitmap twice over. Kernel: kvm_alloc_dirty_bitmap()."""
T = TypeVar("T")


class TimedIoctls(TimedMachine):
    """The ioctls that the drivers call."""

    _planned: tuple[int, int, int] = (0, 0, 0)
    """What was counted before the change under way, see walk_time.py."""

    def _unit(self) -> int:
        """Pages of a step: 2 MiB while vCPUs run, else 1 GiB."""
        return PAGES_PER_1G if self.quiet else PAGES_PER_2M

    def _in_time(self, steps: Steps[T], fixed_ps: int, pages: int) -> T:
        """Carry an ioctl out.

        Args:
            steps: its steps.
            fixed_ps: what it does before any lock.
            pages: that the whole call goes over.

        Returns:
            What it returns.
        """
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                value: T = stop.value
                return value
            self._take_step(step, fixed_ps, pages)

    def _take_step(self, step: Step, fixed_ps: int, pages: int) -> None:
        match step.act:
            case Act.FIXED:
                self.elapse(fixed_ps)
            case Act.LOCK | Act.RELOCK:
                self._take_lock(step)
            case Act.UNLOCK:
                self.unlock()
            case Act.FLUSH:
                self.flush(step.times)
            case Act.BROADCAST:
                self.broadcast(step.times)
            case Act.PLAN:
                self._planned = self._plan(step)
            case Act.WORK:
                self.elapse(self._work_ps(step, pages))

    def _take_lock(self, step: Step) -> None:
        if step.path is not None and step.act is Act.LOCK:
            self.lock(step.path)
        elif step.path is not None and not self.quiet:
            self.relock(step.path)

    def _plan(self, step: Step) -> tuple[int, int, int]:
        tables = step.tables
        if step.verb is Verb.PROTECT and tables is not None:
            bits = mmu.DIRTY if tables.conf[mmu.CONF_PML] else mmu.WRITABLE
            return armed_now(tables, step.first, step.end, bits)
        if step.verb in (Verb.GET_WORD, Verb.CLEAR_WORD) and step.masks is not None and tables is not None:
            return *words_by_level(tables, step.first, step.masks), 0
        return (0, 0, 0)

    def _work_ps(self, step: Step, pages: int) -> int:
        tables, prices, changes = step.tables or self.guest_tables, self.prices, step.changes
        match step.verb:
            case Verb.SPLIT:
                verb = "clear_2m" if step.masks is not None else "enable"
                return splitting_ps(prices, tables, changes.tables, pages, verb) if changes.tables else 0
            case Verb.PROTECT:
                return arming_ps(prices, tables, self._planned, step.end - step.first, pages)
            case Verb.GET_WORD | Verb.CLEAR_WORD:
                return self._words_ps(step, pages)
            case Verb.COLLAPSE:
                return self._collapse_ps(step)
            case Verb.RING:
                return changes.entries * prices.walk("ring_page")
            case _:
                spanned = step.end - step.first
                calls = regions_of(step.first, spanned) if step.level == PG_LEVEL_2M else spanned
                return calls * prices.host["pre_split_ns"] * PS_PER_NS

    def _words_ps(self, step: Step, pages: int) -> int:
        tables, prices, levels, words = self.guest_tables, self.prices, self._planned[:2], -(-pages // BITS_PER_LONG)
        if step.masks is None:
            return -(-(step.end - step.first) // BITS_PER_LONG) * prices.walk("get_copy_word")
        if step.verb is Verb.GET_WORD:
            return words_ps(prices, step.masks, levels, "get", words, eager=False)
        splits_here = bool(tables.conf[mmu.CONF_EAGER]) and tables.conf[mmu.CONF_SPLITTER] != mmu.SPLITTER_NONE
        eager = self.config.dirty_log_mode.initially_set and splits_here
        took = words_ps(prices, step.masks, levels, "clear", words, eager=eager)
        took += splitting_ps(prices, tables, step.changes.tables, words * BITS_PER_LONG, "clear_2m")
        return took + topping_up_ps(prices, step.changes.topups)

    def _collapse_ps(self, step: Step) -> int:
        changes, prices = step.changes, self.prices
        if self.config.kernel.recovers_huge_pages_in_place and self.config.tdp_mmu:
            return changes.collapsed * prices.host["recover_ns"] * PS_PER_NS
        return changes.collapsed * prices.walk("zap_table") - changes.leaves_4k * prices.walk("zap_child")

    # Enabling

    def enable_dirty_logging(self, slot_id: int) -> None:
        """Vm.enable_dirty_logging(), in time."""
        prices, initset, pages = self.prices, self.config.dirty_log_mode.initially_set, self.span(slot_id)[1]
        took = prices.walk("enable_initset" if initset else "enable")
        bitmap_pages = 0 if self.config.dirty_log_mode.ring else BITMAPS * -(-pages // (8 * PAGE_BYTES))
        took += bitmap_pages * prices.host["page_alloc_ns"] * PS_PER_NS
        took += pages // BITS_PER_LONG * prices.walk("bitmap_fill") if initset else 0
        self._in_time(self.enable_steps(slot_id, self._unit), took, pages)

    def enable(self, slot_id: int = SLOT) -> None:
        """KVM_SET_USER_MEMORY_REGION with KVM_MEM_LOG_DIRTY_PAGES."""
        with self.call("enable"):
            self.enable_dirty_logging(slot_id)

    def pre_split(self) -> None:
        """The pre-split of 2020, before logging starts: a dummy vCPU faults every page."""
        with self.call("pre_split"):
            self._in_time(self.pre_split_steps(SLOT, self._unit), 0, self.span(SLOT)[1])

    # The log

    def get_dirty_log(self, slot_id: int) -> I64:
        """Vm.get_dirty_log(), in time.

        Returns:
            int64[words], 64 pages a word.
        """
        steps = self.get_steps(slot_id, self._unit)
        fixed = self.prices.walk("get_manual" if self.config.dirty_log_mode.manual else "get")
        return self._in_time(steps, fixed, self.span(slot_id)[1])

    def get(self, slot_id: int = SLOT) -> I64:
        """KVM_GET_DIRTY_LOG of the slot.

        Args:
            slot_id: the slot.

        Returns:
            int64[words], 64 pages a word.
        """
        with self.call("get"):
            return self.get_dirty_log(slot_id)

    def clear_dirty_log(self, slot_id: int, first_page: int, num_pages: int, bits: I64) -> None:
        """Vm.clear_dirty_log(), in time."""
        steps = self.clear_steps(slot_id, first_page, num_pages, bits, self._unit)
        self._in_time(steps, self.prices.walk("clear"), len(bits) * BITS_PER_LONG)

    def clear(self, first_page: int, bits: I64, slot_id: int = SLOT) -> None:
        """KVM_CLEAR_DIRTY_LOG of a range of the slot.

        Args:
            first_page: of the range, counted from the slot's start.
            bits: int64[words] of the range.
            slot_id: the slot.
        """
        num_pages = min(len(bits) * BITS_PER_LONG, self.span(slot_id)[1] - first_page)
        with self.call("clear"):
            self.clear_dirty_log(slot_id, first_page, num_pages, bits)

    def reset_dirty_rings(self) -> int:
        """Vm.reset_dirty_rings(), in time.

        Returns:
            Entries reset.
        """
        return self._in_time(self.reset_ring_steps(self._unit), self.prices.walk("ring_reset"), 0)

    def reap(self) -> int:
        """The reaper harvests every ring, and KVM_RESET_DIRTY_RINGS arms the pages again.

        Returns:
            Entries harvested.
        """
        clock = self.clock
        with self.call("reset"):
            entries = sum(len(pages) for _, pages in self.collect_dirty_rings())
            self.elapse(entries * self.prices.walk("collect_entry"))
            self.reset_dirty_rings()
        for vcpu in np.flatnonzero(clock.phase == layout.RING_FULL):
            resume(clock, int(vcpu), max(self.time, int(clock.now[vcpu])))
        return entries

    def let_run(self, until: int) -> None:
        """Userspace waits for the vCPUs, and reaps the rings whenever one is full.

        Args:
            until: the time up to which it waits, unless they are done before.
        """
        clock = self.clock
        while (clock.phase == layout.RING_FULL).any() or self.run_until(until, reaps=True):
            full = clock.now[clock.phase == layout.RING_FULL]
            self.time = max(self.time, int(full.min()))
            self.reap()

    # Disabling

    def disable_dirty_logging(self, slot_id: int) -> None:
        """Vm.disable_dirty_logging(), in time."""
        steps = self.disable_steps(slot_id, self._unit)
        self._in_time(steps, self.prices.walk("disable"), self.span(slot_id)[1])

    def disable(self, slot_id: int = SLOT) -> None:
        """KVM_SET_USER_MEMORY_REGION without the flag."""
        with self.call("disable"):
            self.disable_dirty_logging(slot_id)
