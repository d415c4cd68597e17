"""The slow twin of a VM with several memslots, and the driver that runs recordings of them on it.

One slot at a time is the one at hand: its fields are those of the twin of one slot. Plain Python,
nothing from `mmuviz`.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import Any

from tests.oracle import RingFullError, Rules
from tests.oracle_host import HostMemory
from tests.oracle_replay import Document, Driver, pages_of, parallel_turns, ranges
from tests.oracle_tables import PML_ENTRIES, Leaf, RingEntry, Vcpu
from tests.oracle_unrecorded import UnrecordedOracle

OF_A_SLOT = ("base", "pages", "hva_offset", "host", "logging", "dirty", "read_only")
CONTROL, CONTROL_PAGES = 0, 65
LIST_ENTRIES = 512
LAST_ID = 32_763
SLOT_SHIFT = 40
PAGE_MASK = (1 << SLOT_SHIFT) - 1


class RefusedError(Exception):
    """An ioctl failed."""

    def __init__(self, number: int) -> None:
        super().__init__(errno.errorcode[number])
        self.number = number


@dataclass
class SlotEntry(RingEntry):
    """A ring's entry, with its slot."""

    slot: int = 0


class SeveralOracle(UnrecordedOracle):
    """One VM with any number of memslots."""

    read_only = False
    counts_first_512g = True

    def __init__(self, rules: Rules, config: dict[str, Any]) -> None:
        super().__init__(rules, config)
        self.slots: dict[int, dict[str, Any]] = {}
        self.hand = -1
        self.mmio_exits = 0

    # Memslots

    def use(self, slot_id: int) -> None:
        """Take a slot in hand."""
        self.put_back()
        self.hand = slot_id
        for name, value in self.slots[slot_id].items():
            setattr(self, name, value)

    def put_back(self) -> None:
        if self.hand in self.slots:
            self.slots[self.hand] = {name: getattr(self, name) for name in OF_A_SLOT}

    def check_free(self, slot_id: int, base: int, pages: int) -> None:
        self.put_back()
        for other_id, other in self.slots.items():
            if other_id != slot_id and base < other["base"] + other["pages"] and other["base"] < base + pages:
                raise RefusedError(errno.EEXIST)

    def add(self, slot_id: int, host: HostMemory, op: Document) -> None:
        if slot_id in self.slots:
            raise RefusedError(errno.EINVAL)
        self.check_free(slot_id, op["base_gfn"], op["pages"])
        logged = op.get("logged", False)
        full = logged and self.init_set and not self.ring_mode
        values = (op["base_gfn"], op["pages"], op["hva_offset_pages"], host, logged)
        dirty = set(range(op["pages"])) if full else set()
        self.slots[slot_id] = dict(zip(OF_A_SLOT, (*values, dirty, op.get("read_only", False)), strict=True))
        self.use(slot_id)

    def delete(self, slot_id: int) -> None:
        self.put_back()
        del self.slots[slot_id]
        if self.hand == slot_id:
            self.hand = -1
        self.zap_all()

    def move(self, slot_id: int, base: int) -> None:
        self.use(slot_id)
        if base == self.base:
            return
        self.check_free(slot_id, base, self.pages)
        self.base = base
        self.zap_all()

    def zap_all(self) -> None:
        for every in (self.leaf, self.table, self.unlinked, self.kept):
            every.clear()
        self.flushes += not self.tdp_mmu

    # Guest accesses

    def mark_page_dirty(self, vcpu: int, gfn: int) -> None:
        self.put_back()
        for slot_id, slot in self.slots.items():
            if not slot["base"] <= gfn < slot["base"] + slot["pages"] or not slot["logging"]:
                continue
            offset = gfn - slot["base"]
            if self.ring_mode:
                self.vcpus[vcpu].ring.append(SlotEntry(offset, slot=slot_id))
            else:
                slot["dirty"].add(offset)

    def access(self, vcpu: int, offset: int, *, write: bool) -> None:
        gfn = self.base + offset
        exits = self.mmio_exits
        while self.mmio_exits == exits:
            leaf = self.leaf.get(gfn)
            if leaf is None or (write and not leaf.writable):
                self.exit_guest(vcpu)
                self.page_fault(vcpu, gfn, leaf, write=write)
                if self.mmio_exits == exits:
                    self.enter_guest(vcpu)
                continue
            if write and not leaf.dirty and not self.set_dirty(vcpu, gfn, leaf):
                continue
            return

    def set_dirty(self, vcpu: int, gfn: int, leaf: Leaf) -> bool:
        """The processor sets D, and PML logs it while any slot logs; not where its buffer is full."""
        self.put_back()
        if self.pml and any(slot["logging"] for slot in self.slots.values()):
            if len(self.vcpus[vcpu].pml) == PML_ENTRIES:
                self.pml_full_exits += 1
                self.exit_guest(vcpu)
                self.enter_guest(vcpu)
                return False
            self.vcpus[vcpu].pml.append(gfn)
        leaf.dirty = True
        return True

    def page_fault(self, vcpu: int, gfn: int, leaf: Leaf | None, *, write: bool) -> None:
        if not (write and self.read_only):
            super().page_fault(vcpu, gfn, leaf, write=write)
            return
        kind = "write" + ("_not_present" if leaf is None else "_protected")
        self.events.append((("fault", vcpu, kind), gfn))
        self.faults["pf_taken"] += 1
        if leaf is not None and self.fast_faults:
            self.events.append((("fast", vcpu, "declined"), gfn))
        self.mmio_exits += 1

    def map(self, vcpu: int, gfn: int, *, writable: bool) -> None:
        super().map(vcpu, gfn, writable=writable and not self.read_only)

    def prefetch(self, gfn: int) -> None:
        if not self.read_only:
            super().prefetch(gfn)

    # Dirty logging

    def enable(self) -> None:
        if not self.read_only:
            super().enable()
        elif not self.logging:
            self.logging = True
            self.dirty = set(range(self.pages)) if self.init_set and not self.ring_mode else set()

    def disable(self) -> None:
        if not self.read_only:
            super().disable()
        self.logging = False

    def check_logged(self, slot_id: int, first_page: int = 0) -> None:
        if self.ring_mode:
            raise RefusedError(errno.ENXIO)
        if slot_id > LAST_ID or first_page % 64:
            raise RefusedError(errno.EINVAL)
        if slot_id not in self.slots or not self.logging:
            raise RefusedError(errno.ENOENT)

    def harvest(self) -> set[tuple[int, int]]:
        """Every vCPU's ring, as (slot, page)."""
        found = {
            (entry.slot, entry.offset)
            for vcpu in self.vcpus
            for entry in vcpu.ring
            if isinstance(entry, SlotEntry) and not entry.harvested
        }
        super().ring_collect()
        return found

    def ring_reset(self) -> None:
        hand, done = self.hand, False
        for vcpu in self.vcpus:
            for slot_id, offset, mask in self.masks(vcpu):
                done = True
                if slot_id in self.slots:
                    self.use(slot_id)
                    self.reset_mask(offset, mask)
        self.flushes += done
        if hand in self.slots:
            self.use(hand)

    def masks(self, vcpu: Vcpu) -> list[tuple[int, int, int]]:
        """The harvested entries of a ring as (slot, first page, mask); neighbours are of one slot."""
        found: list[tuple[int, int, int]] = []
        part = Vcpu()
        while vcpu.ring and vcpu.ring[0].harvested:
            entry = vcpu.ring.pop(0)
            assert isinstance(entry, SlotEntry)
            part.ring.append(entry)
            following = vcpu.ring[0] if vcpu.ring and vcpu.ring[0].harvested else None
            if not isinstance(following, SlotEntry) or following.slot != entry.slot:
                found += [(entry.slot, *each) for each in self.coalesced(part)]
        return found


class SeveralDriver(Driver):
    """Runs one recording of several slots on the slow twin."""

    vm: SeveralOracle

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        config = {**self.config, "mmu": "tdp" if self.config["tdp_mmu"] else "direct_shadow"}
        self.vm = SeveralOracle(self.rules, config)
        control = {"slot": CONTROL, "base_gfn": 0, "pages": CONTROL_PAGES, "hva_offset_pages": 0}
        self.op_slot({**control, "backing": "4k", "host_populated": True})
        self.lasts: dict[int, set[int]] = {}
        self.kept: set[tuple[int, int]] = set()
        self.gone: set[int] = set()
        self.begin: dict[str, int] | None = None

    def run(self, op: Document) -> Document:
        """Carry one op out; the `after` of the recording's schema, events flat and in order."""
        vm = self.vm
        if op["op"] == "slot" and self.begin is None:
            vm.use(CONTROL)
            self.access([(0, page) for page in range(CONTROL_PAGES)], write=True)
            self.begin = vm.counters()
        vm.events, vm.pml_full_exits = [], 0
        before = {"mmio_exits": vm.mmio_exits, "tlb_flushes": vm.flushes}
        after: Document = {}
        if op.get("slot", 1) in vm.slots:
            vm.use(op.get("slot", 1))
        try:
            dirty = getattr(self, "op_" + op["op"])(op)
        except RefusedError as error:
            dirty, after["errno"] = None, error.number
        if dirty is not None:
            found = ranges(dirty)
            by_slot = [[first >> SLOT_SHIFT, first & PAGE_MASK, count] for first, count in found]
            after["dirty_ranges"] = by_slot if op["op"] == "ring_collect" else found
        begin = self.begin or {}
        after["counters"] = {name: value - begin[name] for name, value in vm.counters().items()}
        after["mmio_exits"] = vm.mmio_exits - before["mmio_exits"]
        after["tlb_flushes"] = vm.flushes - before["tlb_flushes"]
        after["order"] = [] if op["op"] in ("delslot", "move_slot") else vm.events
        if self.config["pml"]:
            after["pml_full_exits"] = vm.pml_full_exits
        return after

    def op_slot(self, op: Document) -> None:
        host = HostMemory(
            op["backing"],
            op["hva_offset_pages"] + op["pages"],
            op["host_populated"],
            self.rules.huge_zero_write_allocates,
            self.rules.dontneed_frees_tables,
            self.rules.dontneed_rounds_down,
        )
        self.vm.add(op["slot"], host, op)
        if op["slot"] != CONTROL:
            self.lasts.pop(op["slot"], None)

    def op_delslot(self, op: Document) -> None:
        self.vm.delete(op["slot"])
        self.gone = set(range(CONTROL_PAGES))

    def op_move_slot(self, op: Document) -> None:
        self.vm.move(op["slot"], op["base_gfn"])
        self.gone = set(range(CONTROL_PAGES))

    def op_set_read_only(self, op: Document) -> None:
        if self.vm.read_only != op["value"]:
            raise RefusedError(errno.EINVAL)

    def fetch(self, vcpu: int, listed: int) -> None:
        """The program's own pages come back as it runs."""
        hand = self.vm.hand
        touched = sorted(page for page in range(1 + -(-listed // LIST_ENTRIES)) if page in self.gone)
        if touched:
            self.vm.use(CONTROL)
            self.access([(vcpu, page) for page in touched], write=False)
            self.gone -= set(touched)
            self.vm.use(hand)

    def access(self, turns: list[tuple[int, int]], *, write: bool) -> None:
        running: set[int] = set()
        for vcpu, page in turns:
            while True:
                try:
                    if vcpu not in running:
                        running.add(vcpu)
                        self.vm.enter_guest(vcpu)
                    exits = self.vm.mmio_exits
                    self.vm.access(vcpu, page, write=write)
                    if self.vm.mmio_exits != exits:  # userspace was there: it enters the guest again
                        running.discard(vcpu)
                except RingFullError:
                    self.kept |= self.vm.harvest()
                    self.vm.ring_reset()
                    continue
                break
        for vcpu in sorted({vcpu for vcpu, _ in turns}):
            self.vm.exit_guest(vcpu)

    def op_read(self, op: Document) -> None:
        self.listed(op, write=False)

    def op_write(self, op: Document) -> None:
        self.listed(op, write=True)

    def listed(self, op: Document, *, write: bool) -> None:
        self.fetch(op["vcpu"], len(op["pages"]) if isinstance(op["pages"], list) else 0)
        self.access([(op["vcpu"], page) for page in pages_of(op["pages"])], write=write)

    def op_parallel_write(self, op: Document) -> None:
        self.fetch(0, 0)
        self.access(parallel_turns(op, len(self.vm.vcpus)), write=True)

    def op_get(self, op: Document) -> set[int]:
        self.vm.check_logged(op["slot"])
        self.lasts[op["slot"]] = self.vm.get()
        return self.lasts[op["slot"]]

    def op_clear(self, op: Document) -> None:
        self.vm.check_logged(op["slot"], op["first_page"])
        end = op["first_page"] + op["num_pages"]
        if end > self.vm.pages or (op["num_pages"] % 64 and end != self.vm.pages):
            raise RefusedError(errno.EINVAL)
        self.last = self.lasts.get(op["slot"], set())
        super().op_clear(op)

    def op_ring_collect(self, _op: Document) -> set[int]:
        found, self.kept = self.kept | self.vm.harvest(), set()
        return {slot << SLOT_SHIFT | page for slot, page in found}
