"""The slow twin of arm64's stage 2. Plain Python, nothing from `mmuviz`; written from the kernel's source."""

from __future__ import annotations

from typing import Any

from tests.oracle import Rules
from tests.oracle_host import SPAN
from tests.oracle_tables import Leaf
from tests.oracle_unrecorded import UnrecordedOracle


class Stage2Oracle(UnrecordedOracle):
    """Write protection, splitting by break-before-make, no lockless path."""

    def __init__(self, rules: Rules, config: dict[str, Any]) -> None:
        super().__init__(rules, config)
        self.chunk = int(config.get("chunk_pages", 0))
        self.capacity = -(-self.chunk // SPAN[3]) + -(-self.chunk // SPAN[2])
        self.tlbis = self.local_tlbis = 0

    def extra(self) -> dict[str, int]:
        return {**super().extra(), "tlbis": self.tlbis, "local_tlbis": self.local_tlbis}

    def split_cache_bytes(self) -> int:
        return self.split_cache * 4096

    def page_fault(self, vcpu: int, gfn: int, leaf: Leaf | None, *, write: bool) -> None:
        kind = ("write" if write else "read") + ("_not_present" if leaf is None else "_protected")
        self.events.append((("fault", vcpu, kind), gfn))
        self.faults["pf_taken"] += 1
        done = self.host.fault(gfn - self.base + self.hva_offset, write=write)
        if done.invalidated:
            self.notifier_invalidates(*done.invalidated)
            return
        goal = 1 if self.logging else self.max_mapping_level(gfn)
        writable = done.writable and (write or not self.logging)
        if leaf is not None and leaf.level == goal:
            self.change(leaf, writable=True, dirty=True)
            self.local_tlbis += 1
        else:
            self.stage2_map(gfn, Leaf(goal, gfn - gfn % SPAN[goal], writable, mmu_writable=False, dirty=writable))
        self.faults["pf_fixed"] += 1
        if writable:
            self.mark_page_dirty(vcpu, gfn)

    def stage2_map(self, gfn: int, new: Leaf) -> None:
        for level in range(4, new.level, -1):
            base = gfn - gfn % (512 ** (level - 1))
            if (level == 4 and base == 0) or (level, base) in self.table:
                continue
            leaf = self.leaf.get(gfn)
            if leaf is not None:
                self.tlbis += 1
                self.zap(leaf)
            self.table.add((level, base))
            self.spte_event(level, "none", "table", base)
        if (new.level, new.base) in self.table:
            self.tlbis += 1
            self.zap_table(new.level, new.base, new.label())
        else:
            self.spte_event(new.level, "none", new.label(), new.base)
        self.install(new)

    def notifier_invalidates(self, start: int, end: int) -> None:
        """Blocks go whole; a table that is empty goes too."""
        shift = self.base - self.hva_offset
        low, high = max(start + shift, self.base), min(end + shift, self.base + self.pages)
        for region in range(low - low % SPAN[3], high, SPAN[3]):
            before = (3, region) in self.table or (region in self.leaf and self.leaf[region].level == 3)
            for base in range(region, region + SPAN[3], SPAN[2]):
                if base < high and base + SPAN[2] > low:
                    self.unmap_2m(base, max(low, base), min(high, base + SPAN[2]))
            self.free_if_empty(3, region)
            after = (3, region) in self.table or (region in self.leaf and self.leaf[region].level == 3)
            whole = region - region % (SPAN[3] * 512)
            if before and not after and (4, whole) in self.table:
                self.free_if_empty(4, whole)

    def unmap_2m(self, base: int, low: int, high: int) -> None:
        for leaf in self.leaves(low, high):
            self.tlbis += 1
            self.zap(leaf)
        self.free_if_empty(2, base)

    def free_if_empty(self, level: int, base: int) -> None:
        span = 512 ** (level - 1)
        if (level, base) not in self.table or any(base <= gfn < base + span for gfn in self.leaf):
            return
        if not any(each < level and base <= at < base + span for each, at in self.table):
            self.tlbis += 1
            self.zap_table(level, base, "none") if level < 4 else self.free_512g(base)

    def free_512g(self, base: int) -> None:
        self.table.discard((4, base))
        self.spte_event(4, "table", "none", base)

    # Dirty logging

    def enable(self) -> None:
        if self.logging:
            return
        self.logging = True
        if not self.ring_mode:
            self.dirty = set(range(self.pages)) if self.init_set else set()
        if self.init_set:
            return
        for leaf in self.leaves(self.base, self.base + self.pages):
            self.change(leaf, writable=False)
        self.split_chunks(self.base, self.base + self.pages)
        self.flushes += 1

    def disable(self) -> None:
        if self.logging:
            self.logging = False
            self.dirty = set()
            self.split_cache = 0

    def log_dirty_pt_masked(self, offset: int, bits: list[int]) -> None:
        self.armed += 1
        start, end = self.base + offset + bits[0], self.base + offset + bits[-1] + 1
        for leaf in self.leaves(start, end):
            self.change(leaf, writable=False)
        if self.init_set:
            self.split_chunks(start, end)

    def split_chunks(self, start: int, end: int) -> None:
        at = start
        while at < end and self.chunk:
            if self.split_cache < self.capacity:
                self.split_cache = self.capacity
                self.topups += 1
            stop = min((at // self.chunk + 1) * self.chunk, end)
            self.split_chunk(at, stop)
            at = stop

    def split_chunk(self, start: int, end: int) -> None:
        huge = self.leaf.get(start)
        whole = self.split_cache >= 513
        if huge is not None and huge.level == 3:
            self.break_block(huge)
            self.tlbis += 1
        else:
            whole = False
        region = start - start % SPAN[3]
        for base in range(region, region + SPAN[3], SPAN[2]):
            leaf = self.leaf.get(base)
            if leaf is None or leaf.level != 2 or (not whole and not (base < end and base + SPAN[2] > start)):
                continue
            self.break_block(leaf)
            self.tlbis += not whole

    def break_block(self, leaf: Leaf) -> None:
        self.split(leaf)
        self.split_cache -= 1
