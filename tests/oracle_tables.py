"""The tables of the slow twin: the leaves of one VM with one memslot, one dict entry a page.

Plain Python, nothing from `mmuviz`. What guests and ioctls do with them is in oracle.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.oracle_host import SPAN, HostMemory

Event = tuple[tuple[str | int, ...], int]
PML_ENTRIES = 512
RING_RESERVED = 64


@dataclass(frozen=True)
class Rules:
    """Differences between kernels, for the slow twin."""

    has_eager_split: bool
    fast_fixes_huge: bool
    prefetch_finishes: bool
    notifier_takes_tables: bool
    disable_zaps_leaves: bool
    fault_splits_in_place: bool
    clear_split_end_exclusive: bool
    recovers_in_place: bool
    pml_oldest_first: bool
    huge_zero_write_allocates: bool
    dontneed_frees_tables: bool
    dontneed_rounds_down: bool
    nested_eager: bool
    eager_without_tdp: bool = False
    caches_last_a_call: bool = False
    tdp_split_caches: bool = False

    @classmethod
    def of(cls, major: int, minor: int) -> Rules:
        """The rules of a release (the newest change not above it)."""
        at = (major, minor)
        return cls(
            has_eager_split=at >= (5, 18),
            fast_fixes_huge=at >= (5, 17),
            prefetch_finishes=at >= (5, 16),
            notifier_takes_tables=at < (5, 18),
            disable_zaps_leaves=at < (5, 19),
            fault_splits_in_place=at >= (6, 2),
            clear_split_end_exclusive=at < (6, 8),
            recovers_in_place=at >= (6, 13),
            pml_oldest_first=at >= (6, 14),
            huge_zero_write_allocates=at >= (6, 13),
            dontneed_frees_tables=at >= (6, 14),
            dontneed_rounds_down=at >= (6, 1),
            nested_eager=at >= (6, 0),
        )


@dataclass
class Leaf:
    """One leaf SPTE; the 4K pages that it maps share it."""

    level: int
    base: int
    writable: bool
    mmu_writable: bool
    dirty: bool

    def label(self) -> str:
        """The SPTE as the recordings spell it."""
        return ("W" if self.writable else "wp" if self.mmu_writable else "RO") + ("+D" if self.dirty else "")


@dataclass
class RingEntry:
    """One entry of a vCPU's dirty ring."""

    offset: int
    harvested: bool = False


@dataclass
class Vcpu:
    """The buffers of one vCPU: its PML buffer and its dirty ring."""

    pml: list[int] = field(default_factory=list)
    ring: list[RingEntry] = field(default_factory=list)


class Tables:
    """Leaves, tables, vCPUs, events and counters of one VM with one memslot."""

    def __init__(self, rules: Rules, config: dict[str, object]) -> None:
        self.rules = rules
        mode = str(config["dirty_log_mode"])
        self.ring_mode = mode.startswith("ring")
        self.manual = mode.startswith("manual") or mode == "ring_initially_set"
        self.init_set = mode.endswith("initially_set")
        self.eager = bool(config["eager_page_split"])
        self.tdp_mmu = bool(config["tdp_mmu"])
        self.pml = bool(config["pml"])
        self.ring_limit = int(str(config["ring_entries"] or 0)) - RING_RESERVED - (PML_ENTRIES if self.pml else 0)
        self.vcpus = [Vcpu() for _ in range(int(str(config["vcpus"])))]
        self.leaf: dict[int, Leaf] = {}
        self.table: set[tuple[int, int]] = set()
        self.unlinked: set[tuple[int, int]] = set()
        self.kept: set[tuple[int, int]] = set()  # unlinked, but an unlinked table still points to it
        self.track = int(str(config.get("track", 1)))
        self.fast_faults = config.get("mmu") not in ("shadow_paging", "nested_l2")
        self.dirty: set[int] = set()
        self.logging = False
        self.events: list[Event] = []
        self.faults = {"pf_taken": 0, "pf_fixed": 0, "pf_fast": 0, "pf_spurious": 0}
        self.pml_full_exits = 0
        self.flushes = 0
        self.armed = 0

    def add_slot(self, base_gfn: int, pages: int, hva_offset: int, host: HostMemory) -> None:
        """KVM_SET_USER_MEMORY_REGION of a new slot, dirty logging off."""
        self.base, self.pages, self.hva_offset, self.host = base_gfn, pages, hva_offset, host

    # Events and counters

    def spte_event(self, level: int, old: str, new: str, gfn: int) -> None:
        """kvm_tdp_mmu_spte_changed fires for the TDP MMU alone."""
        if self.tdp_mmu:
            self.events.append((("spte", level, old, new), gfn))

    def counters(self) -> dict[str, int]:
        """KVM's statistics, counted anew over every page."""
        leaves = {id(leaf): leaf.level for leaf in self.leaf.values()}
        count = {level: sum(each == level for each in leaves.values()) for level in (1, 2, 3)}
        tables = len(self.table | self.unlinked)
        return {"pages_4k": count[1], "pages_2m": count[2], "pages_1g": count[3], **self.faults, "table_pages": tables}

    # Small changes of the tables

    def install(self, leaf: Leaf) -> None:
        for gfn in range(leaf.base, leaf.base + SPAN[leaf.level]):
            self.leaf[gfn] = leaf

    def zap(self, leaf: Leaf) -> None:
        for gfn in range(leaf.base, leaf.base + SPAN[leaf.level]):
            del self.leaf[gfn]
        self.spte_event(leaf.level, leaf.label(), "none", leaf.base)

    def change(self, leaf: Leaf, **bits: bool) -> None:
        old = leaf.label()
        for name, value in bits.items():
            setattr(leaf, name, value)
        if leaf.label() != old:
            self.spte_event(leaf.level, old, leaf.label(), leaf.base)

    def leaves(self, start: int, end: int) -> list[Leaf]:
        """The leaves that map any page of [start, end), in order."""
        found: list[Leaf] = []
        for gfn in range(start, end):
            leaf = self.leaf.get(gfn)
            if leaf is not None and (not found or found[-1] is not leaf):
                found.append(leaf)
        return found

    def split(self, huge: Leaf) -> None:
        old = huge.label()
        self.table.add((huge.level, huge.base))
        self.spte_event(huge.level, old, "table", huge.base)
        if self.tdp_mmu:
            self.events.append((("split", huge.level, old), huge.base))
        step = SPAN[huge.level - 1]
        for base in range(huge.base, huge.base + SPAN[huge.level], step):
            self.install(Leaf(huge.level - 1, base, huge.writable, huge.mmu_writable, huge.dirty))

    def zap_table(self, level: int, base: int, becomes: str) -> None:
        """Remove a table and all under it: handle_changed_spte(), then the children in order."""
        self.table.discard((level, base))
        self.spte_event(level, "table", becomes, base)
        step = SPAN[level - 1]
        for child in range(base, base + SPAN[level], step):
            if level > 2 and (level - 1, child) in self.table:
                self.zap_table(level - 1, child, "none")
            elif child in self.leaf and self.leaf[child].level == level - 1:
                self.zap(self.leaf[child])

    # Levels

    def max_mapping_level(self, gfn: int) -> int:
        """kvm_mmu_max_mapping_level(): what slot, alignment and host allow."""
        for level in (3, 2):
            span = SPAN[level]
            base = gfn - gfn % span
            hpage = gfn - self.base + self.hva_offset
            inside = self.base <= base and base + span <= self.base + self.pages
            congruent = (self.base - self.hva_offset) % span == 0
            if inside and congruent and self.host.mapping_level(hpage) >= level:
                return level
        return 1
