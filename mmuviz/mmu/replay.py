"""Replays a recording's ops on a VM, as the recording program ran them on KVM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, NamedTuple, TypeVar

import numpy as np

from mmuviz.core.errors import InputError, KvmError, MmuvizError
from mmuviz.core.pages import BITS_PER_LONG, PAGE_BYTES
from mmuviz.mmu.answers import COUNTER_NAMES, TRACEPOINTS, event_fields
from mmuviz.mmu.config import MAX_GFN, Backing, Memslot
from mmuviz.mmu.counters import Counters
from mmuviz.mmu.drivable import Drivable
from mmuviz.mmu.events import traced
from mmuviz.mmu.extended import plain_document
from mmuviz.mmu.kvm_recording import TEST_SLOT, CheckedRecording, memslot_of, parse
from mmuviz.mmu.page_sets import bitmap_of, bitmap_ranges, pages_of, parallel_turns, ranges_of
from mmuviz.mmu.state import I64, LOG_ALL
from mmuviz.mmu.vm import Vm

CONTROL_SLOT: Final = 0
CONTROL_PAGES: Final = 65
"""The recording program's own pages, gfn 0 to 64, in a slot of their own.

Its code is in the first page; the lists of pages to access are in those after it.
"""
LIST_ENTRIES: Final = PAGE_BYTES // 8
"""Page numbers of a list that one page holds."""
WITHOUT_SLOT: Final = ("slot", "set_eager_page_split", "ring_collect", "ring_reset")
"""Ops that need no memslot."""
ZAPS_ALL: Final = ("delslot", "move_slot")
"""Ops that zap the whole VM, the program's own pages included; recordings have no events for them."""
TOO_LARGE: Final = "needs more memory than this computer has; give fewer pages, accesses or vCPUs"

Op = dict[str, Any]
Ranges = list[list[int]]


class _Figures(NamedTuple):
    """KVM's statistics at one time, and all table pages, root included."""

    counters: Counters
    tables: int


def _figures(vm: Drivable) -> _Figures:
    return _Figures(vm.counters(), vm.memory_overhead().table_bytes // PAGE_BYTES)


D = TypeVar("D", bound=Drivable)


class Replay(Generic[D]):
    """Runs one recording's ops on one VM; `steps()` yields the model's own `after` of each.

    Attributes:
        recording: the checked recording.
        several: whether it has several slots.
        vm: the VM; it must record events if the answers are to contain them.
        memslots: the recording's current slots, by id.
    """

    def __init__(self, recording: CheckedRecording, vm: D, tracepoints: frozenset[str] = TRACEPOINTS) -> None:
        """Add the recording program's own slot to the VM.

        Args:
            recording: checked recording.
            vm: a VM of its configuration, without memslots.
            tracepoints: kinds of events that are recorded.
        """
        self.recording = recording
        self.several = recording.several
        self.vm = vm
        self.tracepoints = tracepoints
        self.memslots: dict[int, Memslot] = {}
        vm.add_memslot(CONTROL_SLOT, Memslot(0, CONTROL_PAGES, Backing.PAGES_4K))
        self._begin = _figures(vm)
        self._begun = False
        self._unmapped: set[int] = set()  # pages of the program's own slot
        self._last: dict[int, I64] = {}
        self._harvested: list[tuple[int, I64]] = []

    @property
    def memslot(self) -> Memslot | None:
        """The slot of a recording of one slot; None if it does not exist at this point."""
        return self.memslots.get(TEST_SLOT)

    def steps(self) -> Iterator[dict[str, Any]]:
        """Run the ops, one per step.

        Yields:
            The model's `after` of the op.

        Raises:
            MmuvizError: KVM or the recording's form refuses an op; the message begins with its index.
        """
        for index, op in enumerate(self.recording.ops):
            try:
                yield self.step(op)
            except MmuvizError as error:
                raise InputError(f"op {index} ({op['op']}): {error}") from error

    def step(self, op: Op) -> dict[str, Any]:
        """Run one op.

        Args:
            op: a checked op.

        Returns:
            The model's `after`. In a recording of several slots, an op that KVM refuses has its errno.
        """
        if op["op"] not in WITHOUT_SLOT and not self.several:
            self._memslot(TEST_SLOT)
        before = self.vm.counters()
        after: dict[str, Any] = {}
        dirty = None
        try:
            dirty = self.run_op(op)
        except KvmError as error:
            if not self.several:
                raise
            after["errno"] = error.errno
        events = traced(self.vm.take_events())
        if op["op"] in ZAPS_ALL:
            events = events[:0]
        now = self.vm.counters()
        if self.several or op["op"] != "delslot":
            after["counters"] = self._counters()
        if dirty is not None:
            after["dirty_ranges"] = dirty
        if self.recording.config.pml:
            after["pml_full_exits"] = now.pml_full_exits - before.pml_full_exits
        if self.several:
            after["tlb_flushes"] = now.tlb_flushes - before.tlb_flushes
            after["mmio_exits"] = now.mmio_exits - before.mmio_exits
        return after | event_fields(events, self.tracepoints)

    def run_op(self, op: Op) -> Ranges | None:
        """Run one op by the method of the same name.

        Args:
            op: a checked op.

        Returns:
            Dirty pages, if the op returns any.
        """
        method: Callable[[Op], Ranges | None] = getattr(self, op["op"])
        return method(op)

    def _counters(self) -> dict[str, int]:
        now, begin = _figures(self.vm), self._begin
        counters = {name: getattr(now.counters, name) - getattr(begin.counters, name) for name in COUNTER_NAMES}
        # A recording of one slot leaves out the root and the first table under it.
        return counters | ({"table_pages": now.tables - begin.tables} if self.several else {})

    def slot_gfns(self, slot_id: int, offsets: I64) -> I64:
        """The gfns of pages of a slot.

        Args:
            slot_id: the slot.
            offsets: int64[n], pages counted from its start.

        Raises:
            InputError: a page is outside the slot, or the slot does not exist.
        """
        memslot = self._memslot(slot_id)
        outside = (offsets < 0) | (offsets >= memslot.pages)
        if outside.any():
            page = int(offsets[outside][0])
            raise InputError(f"page {page} lies outside the slot; pages are 0 to {memslot.pages - 1}")
        return memslot.base_gfn + offsets

    def _memslot(self, slot_id: int) -> Memslot:
        if slot_id not in self.memslots:
            which = f"no memslot {slot_id}" if self.several else "no memslot"
            raise InputError(f"a slot op must come first: there is {which}")
        return self.memslots[slot_id]

    # Memslots

    def slot(self, op: Op) -> None:
        """Add a slot; the first one maps the program's own pages and starts the counters."""
        slot_id, memslot = slot_of(op), memslot_of(op)
        first = not self.memslots and not (self.several and self._begun)
        self.vm.add_memslot(slot_id, memslot, logged=op.get("logged", False))
        self.memslots[slot_id] = memslot
        self._last.pop(slot_id, None)
        if first:
            self._begun = True
            self.vm.run(0, np.arange(CONTROL_PAGES), write=True)
            self.vm.take_events()
            self._begin = _figures(self.vm)

    def delslot(self, op: Op) -> None:
        """Delete a slot."""
        self.vm.delete_memslot(slot_of(op))
        del self.memslots[slot_of(op)]
        self._unmapped = set(range(CONTROL_PAGES))

    def move_slot(self, op: Op) -> None:
        """Move a slot to another gfn."""
        self.vm.move_memslot(slot_of(op), op["base_gfn"])
        self.memslots[slot_of(op)] = self.memslots[slot_of(op)].at(op["base_gfn"])
        self._unmapped = set(range(CONTROL_PAGES))

    def set_read_only(self, op: Op) -> None:
        """Change KVM_MEM_READONLY of a slot, which KVM refuses."""
        self.vm.set_read_only(slot_of(op), value=op["value"])

    # Guest accesses

    def read(self, op: Op) -> None:
        """A vCPU reads pages."""
        self.access(op["vcpu"], self._listed(op), write=False)

    def write(self, op: Op) -> None:
        """A vCPU writes pages."""
        self.access(op["vcpu"], self._listed(op), write=True)

    def parallel_write(self, op: Op) -> None:
        """All vCPUs write pages."""
        vcpus, offsets = parallel_turns(op["how"], pages_of(op), self.recording.config.vcpus)
        self._fetch_program(0, 0)
        self.access(vcpus, self.slot_gfns(slot_of(op), offsets), write=True)

    def _listed(self, op: Op) -> I64:
        """The gfns of an access; the program's code and its list of pages are fetched first."""
        gfns = self.slot_gfns(slot_of(op), pages_of(op["pages"]))
        self._fetch_program(op["vcpu"], len(op["pages"]) if isinstance(op["pages"], list) else 0)
        return gfns

    def _fetch_program(self, vcpu: int, listed: int) -> None:
        """Fault in the program's code and list pages again after everything was zapped."""
        if not self.several or not self._unmapped:
            return
        touched = [page for page in range(1 + -(-listed // LIST_ENTRIES)) if page in self._unmapped]
        self.access(vcpu, np.array(touched, dtype=np.int64), write=False)
        self._unmapped -= set(touched)

    def access(self, vcpus: int | I64, gfns: I64, *, write: bool) -> None:
        """Run the guest; whenever a ring is full, harvest and reset all rings and continue.

        Args:
            vcpus: the vCPU, or int64[n] the vCPU of each access.
            gfns: int64[n].
            write: whether the accesses write.
        """
        self.vm.run(vcpus, gfns, write=write, ring_full=self.harvest)

    def harvest(self) -> None:
        """Harvest and reset all rings, keeping their pages for the next ring_collect."""
        self._harvested += self.vm.collect_dirty_rings()
        self.vm.reset_dirty_rings()

    # Dirty logging

    def enable(self, op: Op) -> None:
        """Set KVM_MEM_LOG_DIRTY_PAGES."""
        self.vm.enable_dirty_logging(slot_of(op))

    def disable(self, op: Op) -> None:
        """Clear KVM_MEM_LOG_DIRTY_PAGES."""
        self.vm.disable_dirty_logging(slot_of(op))

    def get(self, op: Op) -> Ranges:
        """KVM_GET_DIRTY_LOG.

        Returns:
            The dirty pages.
        """
        bits = self.vm.get_dirty_log(slot_of(op))
        self._last[slot_of(op)] = bits
        return bitmap_ranges(bits)

    def clear(self, op: Op) -> None:
        """KVM_CLEAR_DIRTY_LOG of a range."""
        slot_id, first, num = slot_of(op), op["first_page"], op["num_pages"]
        memslot = self.memslots.get(slot_id)
        outside = first < 0 or num < 0 or memslot is None or first + num > memslot.pages
        bits = np.zeros(0, dtype=np.int64) if outside else self._bits(op, first, num)
        self.vm.clear_dirty_log(slot_id, first, num, bits)  # refuses a range outside the slot

    def _bits(self, op: Op, first: int, num: int) -> I64:
        """Return the bitmap that userspace passes to a CLEAR of pages inside the slot."""
        words, word, last = -(-num // BITS_PER_LONG), first // BITS_PER_LONG, self._last.get(slot_of(op))
        if op["bits"] == "last" and last is not None:
            return last[word : word + words]
        if op["bits"] == "all":
            bits = np.full(words, -1, dtype=np.int64)
            if num % BITS_PER_LONG:
                bits[-1] = (1 << num % BITS_PER_LONG) - 1
            return bits
        if op["bits"] == "list":
            listed = np.array(op["list"], dtype=np.int64)
            self.slot_gfns(slot_of(op), listed)
            return bitmap_of(listed[(listed >= first) & (listed < first + num)] - first, words)
        return np.zeros(words, dtype=np.int64)

    def ring_collect(self, _op: Op) -> Ranges:
        """Harvest every vCPU's ring.

        Returns:
            The dirty pages; in a recording of several slots each range begins with its slot id.
        """
        found = self.vm.collect_dirty_rings() + self._harvested
        self._harvested = []
        ranges: Ranges = []
        for slot_id in sorted({slot_id for slot_id, _ in found}):
            pages = np.unique(np.concatenate([offsets for each, offsets in found if each == slot_id]))
            if self.several:
                ranges += [[slot_id, *each] for each in ranges_of(pages)]
            elif slot_id == TEST_SLOT:
                ranges = ranges_of(pages)
        return ranges

    def ring_reset(self, _op: Op) -> None:
        """KVM_RESET_DIRTY_RINGS."""
        self.vm.reset_dirty_rings()

    # The host

    def set_eager_page_split(self, op: Op) -> None:
        """Write the module parameter."""
        self.vm.set_eager_page_split(value=op["value"])

    def dontneed(self, op: Op) -> None:
        """MADV_DONTNEED."""
        self.vm.madvise_dontneed(slot_of(op), op["start"], op["count"])

    def hostwrite(self, op: Op) -> None:
        """The host process writes pages."""
        self.vm.host_write(slot_of(op), pages_of(op))


def slot_of(op: Op) -> int:
    """Id of the slot that an op names."""
    slot_id: int = op.get("slot", TEST_SLOT)
    return slot_id


def replay_of(recording: CheckedRecording, tracepoints: frozenset[str] = TRACEPOINTS) -> Replay[Vm]:
    """Create a replay with a VM of its own.

    Args:
        recording: checked recording.
        tracepoints: kinds of events that are recorded.
    """
    vm = Vm(recording.config)
    vm.log_all(LOG_ALL, 0, MAX_GFN)
    return Replay(recording, vm, tracepoints)


def replay_document(document: dict[str, Any]) -> dict[str, Any]:
    """Replay a recording.

    Args:
        document: a recording; the `after` of its ops, if any, is ignored.

    Returns:
        The same document with the model's own `after` of every op.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    document = plain_document(document)
    recording = parse(document)
    ops = [{key: value for key, value in op.items() if key != "after"} for op in recording.ops]
    afters = replay_of(recording).steps()
    return {**document, "ops": [{**op, "after": after} for op, after in zip(ops, afters, strict=True)]}
