"""The slow twin of what no recording shows on x86: other MMUs, series, tracking at 2M, pre-splitting.

Plain Python, one dict entry a page, nothing from `mmuviz`; written from the kernel's source.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.oracle import Oracle, Rules
from tests.oracle_host import SPAN
from tests.oracle_tables import Event, Leaf

SPLIT_CACHE, SPLIT_DESCS = 40, 553
CONTROL_SHADOW_PAGES = 4  # root, 512G, 1G and 2M tables of the program's own pages
MIN_FREE = 5


def rules_of(kernel: str) -> Rules:
    """The rules of a release, or of a series that was never merged."""
    shadow = replace(Rules.of(5, 18), nested_eager=True, eager_without_tdp=True)
    series = {
        "rfc-2021": replace(Rules.of(5, 16), has_eager_split=True, tdp_split_caches=True),
        "shadow-eager-v1": replace(shadow, caches_last_a_call=True),
        "shadow-eager-v3": shadow,
        "nested-eager-v4": replace(Rules.of(5, 18), nested_eager=True),
    }
    if kernel in series:
        return series[kernel]
    major, minor = (int(part) for part in kernel.split(".")[:2])
    return Rules.of(major, minor)


class UnrecordedOracle(Oracle):
    """The oracle of all configurations without KVM recordings: the tables of L1, or the only ones."""

    def __init__(self, rules: Rules, config: dict[str, Any]) -> None:
        super().__init__(rules, config)
        self.config = config
        self.mmu = config["mmu"]
        self.topups = self.refused = 0
        self.split_cache = self.split_descs = 0
        self.rounds: dict[int, int] = {}
        self.forced = 3
        self.splits_rmaps = not self.tdp_mmu and rules.eager_without_tdp
        self.l2: L2Oracle | None = L2Oracle(self) if self.mmu == "nested" else None

    def everyone(self) -> list[UnrecordedOracle]:
        """The tables of an L2, if there is one, then these."""
        return [self] if self.l2 is None else [self.l2, self]

    def tell(self, event: Event) -> None:
        self.events.append(event)

    # Figures

    def counters(self) -> dict[str, int]:
        mine = super().counters()
        if self.l2 is not None:
            beside = Oracle.counters(self.l2)
            for name in ("pages_4k", "pages_2m", "pages_1g", "table_pages"):
                mine[name] += beside[name]
        return mine

    def shadow_pages(self) -> int:
        """Pages of the shadow MMU that the test slot and an L2 made."""
        return 0 if self.tdp_mmu else len(self.table | self.unlinked)

    def extra(self) -> dict[str, int]:
        """Counters that no recording has."""
        every = self.everyone()
        return {
            "tlb_flushes": sum(vm.flushes for vm in every),
            "tlbis": 0,
            "local_tlbis": 0,
            "masks_armed": sum(vm.armed for vm in every),
            "shadow_pages": sum(vm.shadow_pages() for vm in every),
            "split_topups": sum(vm.topups for vm in every),
            "splits_refused": sum(vm.refused for vm in every),
        }

    def split_cache_bytes(self) -> int:
        tables = sum(vm.split_cache for vm in self.everyone())
        descs = sum(vm.split_descs for vm in self.everyone())
        return tables * (4096 + 184) + descs * 128 + (553 * 8 if descs else 0)

    # Eager splitting

    def take_cache(self) -> None:
        if self.split_cache == 0:
            self.split_cache = SPLIT_CACHE
            self.split_descs = 0 if self.tdp_mmu else SPLIT_DESCS
            self.topups += 1
        self.split_cache -= 1

    def split_eagerly(self, huge: Leaf) -> None:
        if self.rules.tdp_split_caches:
            self.take_cache()
        super().split_eagerly(huge)

    def split_range(self, start: int, end: int) -> None:
        if self.tdp_mmu:
            super().split_range(start, end)
        elif self.splits_rmaps:
            for level in (3, 2):
                for base in range(start - start % SPAN[level], end, SPAN[level]):
                    leaf = self.leaf.get(base)
                    if leaf is not None and (leaf.level, leaf.base) == (level, base):
                        self.split_rmap(leaf)
            if self.rules.caches_last_a_call:
                self.split_cache = self.split_descs = 0

    def limit(self) -> int:
        """KVM_SET_NR_MMU_PAGES, or 2 % of the memslots' pages, the program's own 65 among them."""
        chosen = self.config.get("nr_mmu_pages")
        return int(chosen) if chosen else max((self.pages + 65) // 50, 64)

    def used(self) -> int:
        return self.shadow_pages() + CONTROL_SHADOW_PAGES

    def split_rmap(self, huge: Leaf) -> None:
        """shadow_mmu_try_split_huge_page()."""
        if self.limit() - self.used() <= MIN_FREE:
            self.refused += 1
            return
        self.take_cache()
        at = (huge.level, huge.base)
        back: set[int] = set()
        if at in self.unlinked:
            self.split_cache += 1
            self.unlinked.discard(at)
            back = {base for level, base in self.kept if huge.base <= base < huge.base + SPAN[huge.level]}
            self.flushes += self.relink(*at) > 0
        self.table.add(at)
        for gfn in range(huge.base, huge.base + SPAN[huge.level]):
            del self.leaf[gfn]
        step = SPAN[huge.level - 1]
        for base in range(huge.base, huge.base + SPAN[huge.level], step):
            if base not in back:
                self.install(Leaf(huge.level - 1, base, huge.writable, huge.mmu_writable, huge.dirty))
        self.tell((("split", huge.level, huge.label()), huge.base))

    # Faults

    def goal(self, gfn: int) -> int:
        most = min(self.forced, self.track) if self.logging else self.forced
        if self.logging and (2, gfn - gfn % 512) in self.table:
            most = 1
        return min(most, self.max_mapping_level(gfn))

    def mark_page_dirty(self, vcpu: int, gfn: int) -> None:
        leaf = self.leaf.get(gfn)
        if self.track == 2 and leaf is not None and leaf.level == 2:
            for each in range(leaf.base, leaf.base + 512):
                super().mark_page_dirty(vcpu, each)
        else:
            super().mark_page_dirty(vcpu, gfn)

    def mapped(self) -> tuple[int, int]:
        return len(self.leaf), len(self.table)

    def notifier_invalidates(self, start: int, end: int) -> None:
        before = [vm.mapped() for vm in self.everyone()]
        for vm in self.everyone():
            Oracle.notifier_invalidates(vm, start, end)
        self.flushes += before != [vm.mapped() for vm in self.everyone()]

    def split_by_faulting(self, vcpu: int) -> None:
        """The series of 2020: a dummy vCPU faults the slot, at 2M at most, then at 4K."""
        for level in (2, 1):
            self.forced = level
            gfn = self.base
            while gfn < self.base + self.pages:
                self.fault_once(vcpu, gfn, level)
                gfn = gfn + 1 if level == 1 else (gfn // 512 + 1) * 512

    def fault_once(self, vcpu: int, gfn: int, level: int) -> None:
        done = self.host.fault(gfn - self.base + self.hva_offset, write=True)
        if done.invalidated:
            self.notifier_invalidates(*done.invalidated)
        if self.tdp_mmu and self.rules.fault_splits_in_place:
            for size in (3, 2):
                leaf = self.leaf.get(gfn)
                if leaf is not None and leaf.level == size > level:
                    self.split(leaf)
        leaf = self.leaf.get(gfn)
        if leaf is None or leaf.level > level or not leaf.writable:
            self.map(vcpu, gfn, writable=True)

    # Dirty logging

    def enable(self) -> None:
        if not self.logging:
            self.rounds = {}
            if self.l2 is not None and not self.init_set:
                self.l2.enable_beside()
        super().enable()

    def disable(self) -> None:
        if self.logging:
            self.forced = 3
            super().disable()
            if self.l2 is not None:
                self.l2.zap_collapsible_leaves()

    def get(self) -> set[int]:
        for region in range(self.base // 512, (self.base + self.pages - 1) // 512 + 1):
            first = region * 512 - self.base
            dirty = any(page in self.dirty for page in range(first, first + 512))
            self.rounds[region] = self.rounds.get(region, 0) + 1 if dirty else 0
        return super().get()

    def by_word(self, offsets: set[int]) -> None:
        limit = int(self.config.get("rounds_to_4k") or 0)
        for region in sorted({(self.base + page) // 512 for page in offsets}) if limit else ():
            if self.rounds.get(region, 0) >= limit:
                self.split_to_4k(region * 512)
        for vm in self.everyone():
            Oracle.by_word(vm, offsets)
        self.flushes += bool(offsets)

    def split_to_4k(self, gfn: int) -> None:
        for level in (3, 2):
            leaf = self.leaf.get(gfn)
            if leaf is not None and leaf.level == level:
                self.split_eagerly(leaf)

    def ring_reset(self) -> None:
        before = self.armed
        for vcpu in self.vcpus:
            masks = self.coalesced(vcpu)
            for vm in self.everyone():
                for offset, mask in masks:
                    vm.reset_mask(offset, mask)
        self.flushes += self.armed != before


class L2Oracle(UnrecordedOracle):
    """The shadow MMU for an L2, whose memory L1 maps 1:1 by pages of 1 GiB; all but the tables is L1's."""

    def __init__(self, l1: UnrecordedOracle) -> None:
        self.l1 = l1
        super().__init__(l1.rules, {**l1.config, "mmu": "nested_l2", "tdp_mmu": False, "pml": False})
        self.splits_rmaps = l1.rules.nested_eager
        self.vcpus, self.faults, self.ring_limit = l1.vcpus, l1.faults, l1.ring_limit
        self.ran = self.below_512g = False

    def __getattribute__(self, name: str) -> Any:  # noqa: ANN401  # whatever L1 has
        if name in ("logging", "events", "eager", "host", "base", "pages", "hva_offset"):
            return getattr(self.l1, name)
        return super().__getattribute__(name)

    def tell(self, event: Event) -> None:
        self.l1.events.append(((*event[0], "l2"), event[1]))

    def enable_beside(self) -> None:
        start, end = self.base, self.base + self.pages
        if self.eager:
            self.split_range(start, end)
        for leaf in self.leaves(start, end):
            leaf.writable = False

    def page_fault(self, vcpu: int, gfn: int, leaf: Leaf | None, *, write: bool) -> None:
        count = len(self.l1.events)
        super().page_fault(vcpu, gfn, leaf, write=write)
        event_class, where = self.l1.events[count]
        self.l1.events[count] = (*event_class, "l2"), where

    def notifier_invalidates(self, start: int, end: int) -> None:
        self.l1.notifier_invalidates(start, end)

    def mark_page_dirty(self, vcpu: int, gfn: int) -> None:
        self.l1.mark_page_dirty(vcpu, gfn)

    def ring_reset(self) -> None:
        self.l1.ring_reset()

    def access(self, vcpu: int, offset: int, *, write: bool) -> None:
        self.ran = True
        super().access(vcpu, offset, write=write)

    def map(self, vcpu: int, gfn: int, *, writable: bool) -> None:
        self.below_512g |= gfn < SPAN[3] * 512
        super().map(vcpu, gfn, writable=writable)

    def shadow_pages(self) -> int:
        """The root and the table of the first 512 GiB, which table_pages leaves out, among them."""
        return len(self.table | self.unlinked) + self.below_512g + self.ran

    def used(self) -> int:
        return self.shadow_pages()
