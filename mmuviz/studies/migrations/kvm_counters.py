"""Comparison of KVM's counters around a recording's calls with the MMU model, which executes the same calls.

Of the guest's mappings before the migration only the number is known: huge pages for the program's range, 4K pages
below 2 MiB, and one or two huge pages of the firmware. The latter are below the top of low RAM (in the recording of
5 GiB in its last GiB), but not in its last 8 MiB (recordings with chunks of 2 MiB); that they are 32 MiB below the top
is an assumption. Before each GET the model's guest writes the pages that the recorded GET reports and that are not yet
in the model's log; then the log must equal the recorded one, bit for bit. The counters around a call made while the
vCPU runs may include faults of the vCPU: at most as many as the model's tables allow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmuviz.core.errors import MmuvizError
from mmuviz.core.pages import PAGES_PER_2M, SHIFT_1G, SHIFT_2M, SPTE_INDEX_MASK
from mmuviz.engine.qemu.calls import ClearDirtyLog, SetMemslot
from mmuviz.engine.qemu.page_set import Pages, PageSet
from mmuviz.engine.qemu.state import LOG_DIRTY_PAGES, READONLY, KvmSlot, Qemu
from mmuviz.mmu.config import MAX_RING_ENTRIES, Backing, DirtyLogMode, Memslot, VmConfig
from mmuviz.mmu.features import kernel_row
from mmuviz.mmu.state import I64, PRESENT, TABLE, WRITABLE
from mmuviz.mmu.vm import Vm
from mmuviz.studies.migrations.difference import Differ
from mmuviz.studies.migrations.document import Runs
from mmuviz.studies.migrations.partly_known import PartlyKnown
from mmuviz.studies.migrations.partly_recorded import GUEST_PAGES, RANGE_AT

BACKINGS: Final = {"thp": Backing.THP, "hugetlb": Backing.HUGETLB_2M, "4k": Backing.PAGES_4K}
MANUAL_PROTECT: Final = 168
INITIALLY_SET: Final = 2
FLAGS: Final = re.compile(r"[0-9a-f]{1,16}(,[0-9a-f]{1,16})*")
"""The arguments of a KVM_ENABLE_CAP, hexadecimal."""
MAIN_SPACE: Final = 0
DELTAS: Final = 2
FIRMWARE_BELOW: Final = 16
"""Distance of the firmware's huge pages from the top of low RAM, in 2M pages."""
RANGE_PAGES: Final = 32 * PAGES_PER_2M
"""Pages that every guest program touches before its loop, except the large one, which touches its own range."""
FINAL_NOTES: Final = ("completed", "after_completed")


@dataclass(frozen=True)
class Counts:
    """KVM's pages_4k and pages_2m, or their change by a call."""

    pages_4k: int
    pages_2m: int

    def listed(self) -> list[int]:
        """Return the counts in the form of a recorded row."""
        return [self.pages_4k, self.pages_2m]


class KvmCounters:
    """The MMU model that executes the calls of a playback.

    Args:
        document: a checked recording.
        qemu: the QEMU that is played back; its memslots are used.
        differ: function that notes a difference at the current event.
    """

    def __init__(self, document: dict[str, Any], qemu: Qemu, differ: Differ) -> None:
        self._qemu = qemu
        self._differ = differ
        self._guest = _program_pages(document)
        self._written = np.zeros(0, np.int64)
        self._begun = False
        self._listed = not qemu.ring  # whether every page that the guest wrote is in the recording
        # Faults of the vCPU during calls, which the model's guest takes only at its next writes: huge pages split or
        # zapped, huge pages mapped again, 4K pages mapped.
        self._went = self._came = self._small = 0
        self._sum = Counts(0, 0)
        stats = document.get("kvm_stats")
        notes = {each.get("note"): each for each in stats if isinstance(each, dict)} if isinstance(stats, list) else {}
        self._final = next((notes[name] for name in FINAL_NOTES if name in notes), None)
        self._vm = _vm_of(document, qemu, notes.get("before_migration"), self._touched(document))

    @staticmethod
    def _touched(document: dict[str, Any]) -> set[int]:
        """Return the gfns that GETs of the recording list individually."""
        base = {(row[0], row[1]): row[2] for row in document["memslots_before_migration"]}
        found = set[int]()
        for event in document["events"] if not _remaps(document) else ():
            for row in event["l"] if event["op"] == "GET" else ():
                known = Runs(row[3] if len(row) > 3 else None, row[2])
                for start, length in known.rows if row[0] == MAIN_SPACE and (0, row[1]) in base else ():
                    found |= set(range(base[0, row[1]] + start, base[0, row[1]] + start + length))
        return found

    # The recorded calls

    def set_mem(self, row: list[Any], call: SetMemslot) -> list[Any]:
        """Execute KVM_SET_USER_MEMORY_REGION; after it deletes or creates a slot, the mappings are unknown.

        Returns:
            The counters around it, see _compare().
        """
        vm, slot, recorded = self._vm, call.slot, row[5 : 5 + DELTAS]
        if vm is None:
            return recorded
        known = slot.address_space != MAIN_SPACE or slot.number in vm.memslots
        if call.pages == 0 or not known:
            self._vm = None
            return recorded
        before = self._counts()
        if slot.address_space == MAIN_SPACE:
            if call.flags & LOG_DIRTY_PAGES:
                before = self._ran_before_enable(slot, before)
                vm.enable_dirty_logging(slot.number)
            else:
                vm.disable_dirty_logging(slot.number)
        return self._compare("SET_MEM [d4k, d2m]", recorded, self._since(before))

    def _ran_before_enable(self, first: KvmSlot, before: Counts) -> Counts:
        """Before logging is enabled again, write all pages of the guest's program, which map huge pages again."""
        others = [slot for slot in self._qemu.slots[MAIN_SPACE] if slot is not first and not slot.shown]
        logged = any(slot.logged for slot in others)
        if self._begun and not logged:
            self._write(self._guest)
            before = self._counts()
        self._begun = True
        return before

    def got(self, slot: KvmSlot, bits: PageSet) -> None:
        """Execute KVM_GET_DIRTY_LOG and compare the log with the reported pages."""
        vm = self._vm
        if vm is None or slot.address_space != MAIN_SPACE or slot.shown or slot.number not in vm.memslots:
            return
        exact = isinstance(bits, Pages)
        self._listed = self._listed and exact
        found = np.flatnonzero(bits.bits if isinstance(bits, Pages) else _sure(bits))
        log = Pages.of_words(vm.get_dirty_log(slot.number), slot.pages) if self._qemu.manual_protect else None
        if log is not None:
            found = found[~log.has(found)]
        if not slot.flags & READONLY:
            self._write(found + slot.base_gfn)
        mine = np.flatnonzero(Pages.of_words(vm.get_dirty_log(slot.number), slot.pages).bits)
        wanted = np.flatnonzero(bits.bits) if isinstance(bits, Pages) else mine
        if exact and not np.array_equal(mine, wanted):
            self._differ(f"GET of slot {slot.number}, pages in KVM's log", len(wanted), f"{len(mine)}, or others")

    def cleared(self, call: ClearDirtyLog, row: list[Any] | None) -> list[Any]:
        """Execute KVM_CLEAR_DIRTY_LOG and compare the counters.

        Args:
            call: the model's call, which equals the recorded one.
            row: the recorded row; None for a call in an elided stretch, see elided().

        Returns:
            The counters around it, see _compare(); empty if the recording has none.
        """
        vm, slot, recorded = self._vm, call.slot, [] if row is None else row[6 : 6 + DELTAS]
        if vm is None or slot.number not in vm.memslots:
            return recorded
        before = self._counts()
        if slot.address_space == MAIN_SPACE:
            bits = call.bits if isinstance(call.bits, Pages) else Pages(_possible(call.bits))
            vm.clear_dirty_log(slot.number, call.first_page, call.num_pages, bits.words)
        did = self._since(before)
        if row is None:
            self._sum = Counts(self._sum.pages_4k + did.pages_4k, self._sum.pages_2m + did.pages_2m)
        elif recorded:
            return self._compare("CLEAR [d4k, d2m]", recorded, did)
        elif self._qemu.running is False:
            self._compare("CLEAR [d4k, d2m]", [0, 0], did)
        return recorded

    def elided(self, event: dict[str, Any]) -> list[Any]:
        """Compare the sums of an elided stretch of CLEARs at its end; return them as _compare() does."""
        counted, self._sum = self._sum, Counts(0, 0)
        recorded = [event["d4k"], event["d2m"]]
        return recorded if self._vm is None else self._compare("CLEARs [d4k, d2m]", recorded, counted)

    def ended(self) -> None:
        """Compare the counters after the migration: the guest is stopped, and its writes are known if all GETs are."""
        vm, final = self._vm, self._final
        if vm is None or final is None or self._qemu.running:
            return
        if self._writes_unknown_pages:
            return
        if self._qemu.ring:
            self._write(self._guest)
        unwritten = np.setdiff1d(self._guest, self._written)
        now = self._counts()
        if len(unwritten) and not np.array_equal(unwritten, self._guest):
            return  # the recording does not have the pages that it had written
        got = {"pages_4k": now.pages_4k, "pages_2m": now.pages_2m}
        for name, value in got.items():
            self._differ(f"{name} at the end", final.get(name, 0), value)

    # The model

    @property
    def _writes_unknown_pages(self) -> bool:
        """Whether an unknown guest program may have written pages that no row lists."""
        return not len(self._guest) and not self._listed

    def _counts(self) -> Counts:
        if self._vm is None:
            return Counts(0, 0)
        counters = self._vm.counters()
        return Counts(counters.pages_4k, counters.pages_2m)

    def _since(self, before: Counts) -> Counts:
        now = self._counts()
        return Counts(now.pages_4k - before.pages_4k, now.pages_2m - before.pages_2m)

    def _write(self, gfns: I64) -> None:
        if self._vm is not None and len(gfns):
            self._written = np.union1d(self._written, gfns)
            self._went = self._came = self._small = 0
            _write(self._vm, gfns)

    def _compare(self, field: str, recorded: list[Any], mine: Counts) -> list[Any]:
        """Note a difference of the counters around a call.

        Returns:
            The model's counters. They are the recorded ones if the faults of a running vCPU, which are not recorded,
            explain the difference, and if the pages that it wrote are unknown.
        """
        if len(recorded) < DELTAS or (self._qemu.running and self._writes_unknown_pages):
            return recorded
        more = Counts(recorded[0] - mine.pages_4k, recorded[1] - mine.pages_2m)
        if more != Counts(0, 0) and not (self._qemu.running and self._may_fault(more)):
            self._differ(field, recorded, mine.listed())
            return mine.listed()
        return recorded

    def _may_fault(self, more: Counts) -> bool:
        """Whether the running vCPU can have taken the faults that explain this difference of the counters."""
        vm = self._vm
        if vm is None:
            return False
        protected, absent, gone = self._to_fault(vm)
        came, went = max(more.pages_2m, 0), max(-more.pages_2m, 0)
        small = more.pages_4k
        if vm.config.kernel.fault_splits_in_place:
            small -= went * PAGES_PER_2M
        else:
            absent += (self._went + went) * PAGES_PER_2M
        self._went, self._came, self._small = self._went + went, self._came + came, self._small + small
        return small >= 0 and self._went <= protected and self._came <= gone and self._small <= absent

    def _to_fault(self, vm: Vm) -> tuple[int, int, int]:
        """Count the guest's write-protected huge pages, its absent 4K pages, and its absent huge pages."""
        state, pages = vm.state, self._guest
        logging = any(slot.logged and not slot.shown for slot in self._qemu.slots[MAIN_SPACE])
        at = (state.row_of[pages >> SHIFT_1G].astype(np.int64) << SHIFT_2M) | ((pages >> SHIFT_2M) & SPTE_INDEX_MASK)
        entries = state.l2[at]
        huge, table = (entries & PRESENT) != 0, (entries & TABLE) != 0
        protected = len(np.unique(at[huge & ((entries & WRITABLE) == 0)]))
        leaves = state.l1[(at << SHIFT_2M) | (pages & SPTE_INDEX_MASK)]
        absent = int(np.count_nonzero(table & ((leaves & PRESENT) == 0))) if logging else 0
        return protected, absent, len(np.unique(at[~huge & ~table]))


def _write(vm: Vm, gfns: I64) -> None:
    """Write pages as the guest; a full ring is harvested and reset."""

    def reap() -> None:
        vm.collect_dirty_rings()
        vm.reset_dirty_rings()

    vm.run(0, gfns, write=True, ring_full=reap if vm.config.dirty_log_mode.ring else None)


def _sure(bits: PageSet) -> Any:  # noqa: ANN401  # an array of bool
    assert isinstance(bits, PartlyKnown)  # noqa: S101  # there is no third kind
    return bits.sure


def _possible(bits: PageSet) -> Any:  # noqa: ANN401  # an array of bool
    assert isinstance(bits, PartlyKnown)  # noqa: S101  # there is no third kind
    return bits.sure | bits.maybe


def _program_pages(document: dict[str, Any]) -> I64:
    """Return the gfns that the guest's program writes in its loop."""
    length, stride = GUEST_PAGES.get(document["config"]["guest"], (0, 1))
    return np.arange(RANGE_AT, RANGE_AT + length, stride, dtype=np.int64)


def _remaps(document: dict[str, Any]) -> bool:
    """Whether memslots are deleted during the recording."""
    return any(row[4] == 0 for event in document["events"] if event["op"] == "SET_MEM" for row in event["l"])


def _vm_of(document: dict[str, Any], qemu: Qemu, before: dict[str, Any] | None, touched: set[int]) -> Vm | None:
    """Make the VM in its state before the migration; None if the recording does not have that state."""
    config = document["config"]
    if before is None or config["back"] not in BACKINGS or config.get("eager") not in ("Y", "N"):
        return None
    try:
        vm = Vm(
            VmConfig(
                kernel_row(document["kernel"]),
                _mode_of(document, qemu),
                eager_page_split=config["eager"] == "Y",
                ring_entries=MAX_RING_ENTRIES if qemu.ring else None,
            )
        )
        main = qemu.blocks[0]
        for slot in qemu.slots[MAIN_SPACE]:
            backing = BACKINGS[config["back"]] if slot.block is main else Backing.PAGES_4K
            hva = slot.base_gfn % PAGES_PER_2M
            memslot = Memslot(slot.base_gfn, slot.pages, backing, hva, read_only=bool(slot.flags & READONLY))
            vm.add_memslot(slot.number, memslot, logged=slot.shown)
        _map(vm, qemu, before, document, touched)
    except MmuvizError:
        return None
    return vm


def _mode_of(document: dict[str, Any], qemu: Qemu) -> DirtyLogMode:
    if qemu.ring:
        return DirtyLogMode.RING
    if not qemu.manual_protect:
        return DirtyLogMode.LEGACY
    enabled = [cap[3] for cap in document["kvm_caps"] if cap[1] == "ENABLE_CAP" and cap[2] == MANUAL_PROTECT]
    flags = [int(str(each).split(",")[0], 16) for each in enabled if FLAGS.fullmatch(str(each))]
    initially_set = any(each & INITIALLY_SET for each in flags)
    return DirtyLogMode.MANUAL_INITIALLY_SET if initially_set else DirtyLogMode.MANUAL


def _map(vm: Vm, qemu: Qemu, before: dict[str, Any], document: dict[str, Any], touched: set[int]) -> None:
    """Map as many pages as the counters before the migration have; see the module's docstring."""
    length = GUEST_PAGES.get(document["config"]["guest"], (0, 1))[0]
    _write(vm, np.arange(RANGE_AT, RANGE_AT + max(length, RANGE_PAGES), dtype=np.int64))
    low = max(
        slot.base_gfn + slot.pages
        for slot in qemu.slots[MAIN_SPACE]
        if slot.block is qemu.blocks[0] and slot.base_gfn < 1 << 20
    )
    more = before.get("pages_2m", 0) - vm.counters().pages_2m
    _write(vm, np.array([low - PAGES_PER_2M * (each + FIRMWARE_BELOW) for each in range(max(more, 0))], dtype=np.int64))
    missing = before.get("pages_4k", 0) - vm.counters().pages_4k
    small = [
        page
        for slot in sorted(qemu.slots[MAIN_SPACE], key=lambda each: each.base_gfn)
        if not slot.flags & READONLY
        for page in range(slot.base_gfn, min(slot.base_gfn + slot.pages, 1 << SHIFT_2M))
    ]
    first = [page for page in small if page in touched]
    rest = [page for page in small if page not in touched]
    _write(vm, np.array([*first, *rest][: max(missing, 0)], dtype=np.int64))
