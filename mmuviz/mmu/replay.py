"""Driving the machine by a recording's ops, as the program that made the recordings drove KVM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np
import numpy.typing as npt

from mmuviz.ground.errors import InputError, MmuvizError
from mmuviz.ground.pages import BITS_PER_LONG
from mmuviz.mmu.config import Backing, Memslot
from mmuviz.mmu.events import KIND_MASK, TRACEPOINT_NAMES, event_class, expand, merged_runs
from mmuviz.mmu.recordings import Replayable, checked, memslot_of, read_document
from mmuviz.mmu.state import I64, LOG_CODE, LOG_COUNT, LOG_GFN
from mmuviz.mmu.vm import Vm

CONTROL_SLOT: Final = 0
CONTROL_PAGES: Final = 65
"""The recording program's own pages, gfn 0 to 64, in a slot of their own."""
TEST_SLOT: Final = 1
TRACEPOINTS: Final = frozenset(TRACEPOINT_NAMES.values())
WITHOUT_SLOT: Final = ("slot", "set_eager_page_split", "ring_collect", "ring_reset")
"""Ops that need no memslot."""
FIRST_EVENTS: Final = 120
"""Events that a recording keeps in their interleaved order."""
TOO_LARGE: Final = "needs more memory than this computer has; give fewer pages, accesses or vCPUs"
COUNTER_NAMES: Final = (
    "pages_4k",
    "pages_2m",
    "pages_1g",
    "pf_taken",
    "pf_fixed",
    "pf_fast",
    "pf_spurious",
    "table_pages",
)


def pages_of(spec: list[int] | dict[str, int]) -> I64:
    """The pages of an access: a list, or start, stride and count.

    Returns:
        int64[n] offsets in the slot.
    """
    if isinstance(spec, dict):
        return spec["start"] + spec["stride"] * np.arange(spec["count"], dtype=np.int64)
    return np.array(spec, dtype=np.int64)


def parallel_turns(how: str, pages: I64, vcpus: int) -> tuple[I64, I64]:
    """Turns of a parallel op, one access each, from vCPU 0.

    Args:
        how: contig, interleave or same.
        pages: int64[n] offsets in the slot.
        vcpus: number of vCPUs.

    Returns:
        The vCPU and the page of each access, int64 each.
    """
    if how == "same":
        return np.tile(np.arange(vcpus), len(pages)), np.repeat(pages, vcpus)
    share = len(pages) // vcpus
    turns = np.tile(np.arange(vcpus), share)
    if how == "interleave":
        return turns, pages[: share * vcpus]
    return turns, pages[: share * vcpus].reshape(vcpus, share).T.ravel()


def bitmap_ranges(words: I64) -> list[list[int]]:
    """Set bits of a bitmap as maximal ascending [first, count] ranges.

    Args:
        words: int64[words], 64 pages a word, lowest bit first.

    Returns:
        The ranges.
    """
    bits = np.ascontiguousarray(words).view(np.uint64)
    below = bits << np.uint64(1)
    below[1:] |= bits[:-1] >> np.uint64(BITS_PER_LONG - 1)
    first = _set_bits(bits & ~below)
    end = _set_bits(below & ~bits)
    if len(end) < len(first):  # the last range ends with the bitmap
        end = np.append(end, len(bits) * BITS_PER_LONG)
    ranges: list[list[int]] = np.stack([first, end - first], axis=1).tolist()
    return ranges


def _set_bits(words: npt.NDArray[np.uint64]) -> I64:
    """Where bits are set, ascending; few words have any."""
    some = np.flatnonzero(words)
    bits = np.unpackbits(words[some].view(np.uint8), bitorder="little").reshape(-1, BITS_PER_LONG)
    at, bit = np.nonzero(bits)
    positions: I64 = some[at] * BITS_PER_LONG + bit
    return positions


def bitmap_of(offsets: I64, words: int) -> I64:
    """A bitmap with these bits set.

    Args:
        offsets: int64[n] page offsets below 64 * words.
        words: length.

    Returns:
        int64[words].
    """
    bits = np.zeros(words * BITS_PER_LONG, dtype=np.uint8)
    bits[offsets] = 1
    return np.packbits(bits, bitorder="little").view(np.int64)


def ranges_of(offsets: I64) -> list[list[int]]:
    """Maximal ascending [first, count] ranges of ascending, distinct pages."""
    if len(offsets) == 0:
        return []
    starts = np.concatenate([[0], np.flatnonzero(np.diff(offsets) != 1) + 1])
    counts = np.diff(np.concatenate([starts, [len(offsets)]]))
    return [[int(offsets[start]), int(count)] for start, count in zip(starts, counts, strict=True)]


def event_fields(runs: I64, tracepoints: frozenset[str] = TRACEPOINTS) -> dict[str, Any]:
    """`events` and `first_events_in_order` of an op.

    Args:
        runs: int64[n, 4] from Vm.take_events().
        tracepoints: kinds of events that are kept.

    Returns:
        Both fields in the recording's schema.
    """
    kinds = [kind for kind, name in TRACEPOINT_NAMES.items() if name in tracepoints]
    runs = runs[np.isin(runs[:, LOG_CODE] & KIND_MASK, kinds)]
    by_class = []
    in_classes = runs[np.argsort(runs[:, LOG_CODE], kind="stable")]
    for part in np.split(in_classes, np.flatnonzero(np.diff(in_classes[:, LOG_CODE])) + 1):
        if len(part):
            of_class = merged_runs(part[:, LOG_GFN : LOG_COUNT + 1])
            by_class.append([list(event_class(int(part[0, LOG_CODE]))), int(of_class[:, 2].sum()), of_class.tolist()])
    by_class.sort(key=lambda row: [str(part) for part in row[0]])
    codes, gfns = first_events(runs, FIRST_EVENTS)
    first = zip(codes.tolist(), gfns.tolist(), strict=True)
    return {"events": by_class, "first_events_in_order": [[*event_class(code), gfn] for code, gfn in first]}


def first_events(runs: I64, most: int) -> tuple[I64, I64]:
    """The first events of a log, one by one.

    Args:
        runs: int64[n, 4], rows of (code, first gfn, stride, count).
        most: events wanted.

    Returns:
        Codes and gfns, int64[up to most] each.
    """
    begin = runs[:most].copy()
    begin[:, LOG_COUNT] = np.minimum(begin[:, LOG_COUNT], most)
    codes, gfns = expand(begin)
    return codes[:most], gfns[:most]


class Replay:
    """One recording's ops on one machine; `steps()` gives the model's own `after` of each."""

    def __init__(self, recording: Replayable, tracepoints: frozenset[str] = TRACEPOINTS) -> None:
        """Create the VM with the recording program's own pages mapped.

        Args:
            recording: checked recording.
            tracepoints: kinds of events that are recorded.
        """
        self.recording = recording
        self.tracepoints = tracepoints
        self.machine = Vm(recording.config, record=True)
        self.machine.add_memslot(CONTROL_SLOT, Memslot(0, CONTROL_PAGES, Backing.PAGES_4K))
        self.memslot: Memslot | None = None
        self._begin = self.machine.counters()
        self._last: I64 | None = None
        self._harvested: list[I64] = []
        self._ops: dict[str, Callable[[dict[str, Any]], list[list[int]] | None]] = {
            "slot": self._slot,
            "read": self._read,
            "write": self._write,
            "parallel_write": self._parallel_write,
            "enable": self._enable,
            "disable": self._disable,
            "get": self._get,
            "clear": self._clear,
            "ring_collect": self._ring_collect,
            "ring_reset": self._ring_reset,
            "set_eager_page_split": self._set_eager_page_split,
            "dontneed": self._dontneed,
            "hostwrite": self._hostwrite,
            "delslot": self._delslot,
        }

    def steps(self) -> Iterator[dict[str, Any]]:
        """Carry the ops out, one a step.

        Yields:
            The model's `after` of the op.

        Raises:
            MmuvizError: an op that KVM or the recording's form refuses, led by its index.
        """
        for index, op in enumerate(self.recording.ops):
            try:
                yield self.step(op)
            except MmuvizError as error:
                raise InputError(f"op {index} ({op['op']}): {error}") from error

    def step(self, op: dict[str, Any]) -> dict[str, Any]:
        """Carry one op out.

        Args:
            op: a checked op.

        Returns:
            The model's `after`.
        """
        if op["op"] not in WITHOUT_SLOT and self.memslot is None:
            raise InputError("a slot op must come first: there is no memslot")
        before = self.machine.counters()
        dirty = self._ops[op["op"]](op)
        after: dict[str, Any] = {}
        events = self.machine.take_events()
        if op["op"] == "delslot":
            events = events[:0]  # the whole VM is zapped: no figures
        else:
            after["counters"] = self._counters()
        if dirty is not None:
            after["dirty_ranges"] = dirty
        if self.recording.config.pml:
            after["pml_full_exits"] = self.machine.counters().pml_full_exits - before.pml_full_exits
        return after | event_fields(events, self.tracepoints)

    def _counters(self) -> dict[str, int]:
        now, begin = self.machine.counters(), self._begin
        return {name: getattr(now, name) - getattr(begin, name) for name in COUNTER_NAMES}

    def _slot_gfns(self, offsets: I64) -> I64:
        memslot = self._memslot()
        outside = (offsets < 0) | (offsets >= memslot.pages)
        if outside.any():
            page = int(offsets[outside][0])
            raise InputError(f"page {page} lies outside the slot; pages are 0 to {memslot.pages - 1}")
        return memslot.base_gfn + offsets

    def _memslot(self) -> Memslot:
        if self.memslot is None:
            raise InputError("a slot op must come first: there is no memslot")
        return self.memslot

    def _slot(self, op: dict[str, Any]) -> None:
        memslot = memslot_of(op)
        self.machine.add_memslot(TEST_SLOT, memslot)
        self.memslot = memslot
        self._last = None
        self.machine.run(0, np.arange(CONTROL_PAGES), write=True)  # the program's own pages are mapped by now
        self.machine.take_events()
        self._begin = self.machine.counters()

    def _access(self, vcpus: int | I64, offsets: I64, *, write: bool) -> None:
        """Run the guest; while a ring is full, harvest all rings, reset them and go on."""
        self.machine.run(vcpus, self._slot_gfns(offsets), write=write, ring_full=self._harvest)

    def _harvest(self) -> None:
        self._harvested.extend(offsets for slot, offsets in self.machine.collect_dirty_rings() if slot == TEST_SLOT)
        self.machine.reset_dirty_rings()

    def _read(self, op: dict[str, Any]) -> None:
        self._access(op["vcpu"], pages_of(op["pages"]), write=False)

    def _write(self, op: dict[str, Any]) -> None:
        self._access(op["vcpu"], pages_of(op["pages"]), write=True)

    def _parallel_write(self, op: dict[str, Any]) -> None:
        vcpus, offsets = parallel_turns(op["how"], pages_of(op), self.recording.config.vcpus)
        self._access(vcpus, offsets, write=True)

    def _enable(self, _op: dict[str, Any]) -> None:
        self.machine.enable_dirty_logging(TEST_SLOT)

    def _disable(self, _op: dict[str, Any]) -> None:
        self.machine.disable_dirty_logging(TEST_SLOT)

    def _get(self, _op: dict[str, Any]) -> list[list[int]]:
        self._last = self._read_log()
        return bitmap_ranges(self._last)

    def _read_log(self) -> I64:
        return self.machine.get_dirty_log(TEST_SLOT)

    def _clear_log(self, first: int, num: int, bits: I64) -> None:
        self.machine.clear_dirty_log(TEST_SLOT, first, num, bits)

    def _clear(self, op: dict[str, Any]) -> None:
        first, num = op["first_page"], op["num_pages"]
        outside = first < 0 or num < 0 or first + num > self._memslot().pages
        bits = np.zeros(0, dtype=np.int64) if outside else self._bits(op, first, num)
        self._clear_log(first, num, bits)  # refuses a range outside the slot

    def _bits(self, op: dict[str, Any], first: int, num: int) -> I64:
        """The bitmap that userspace gives with a CLEAR of pages inside the slot."""
        words, word = -(-num // BITS_PER_LONG), first // BITS_PER_LONG
        if op["bits"] == "last" and self._last is not None:
            return self._last[word : word + words]
        if op["bits"] == "all":
            bits = np.full(words, -1, dtype=np.int64)
            if num % BITS_PER_LONG:
                bits[-1] = (1 << num % BITS_PER_LONG) - 1
            return bits
        if op["bits"] == "list":
            listed = np.array(op["list"], dtype=np.int64)
            self._slot_gfns(listed)
            return bitmap_of(listed[(listed >= first) & (listed < first + num)] - first, words)
        return np.zeros(words, dtype=np.int64)

    def _ring_collect(self, _op: dict[str, Any]) -> list[list[int]]:
        found = [offsets for slot, offsets in self.machine.collect_dirty_rings() if slot == TEST_SLOT]
        found += self._harvested
        self._harvested = []
        return ranges_of(np.unique(np.concatenate(found))) if found else []

    def _ring_reset(self, _op: dict[str, Any]) -> None:
        self.machine.reset_dirty_rings()

    def _set_eager_page_split(self, op: dict[str, Any]) -> None:
        self.machine.set_eager_page_split(value=op["value"])

    def _dontneed(self, op: dict[str, Any]) -> None:
        self.machine.madvise_dontneed(TEST_SLOT, op["start"], op["count"])

    def _hostwrite(self, op: dict[str, Any]) -> None:
        self.machine.host_write(TEST_SLOT, pages_of(op))

    def _delslot(self, _op: dict[str, Any]) -> None:
        self.machine.delete_memslot(TEST_SLOT)
        self.memslot = None


def replayed(document: dict[str, Any]) -> dict[str, Any]:
    """Replay a recording.

    Args:
        document: a recording; the `after` of its ops, if any, is not looked at.

    Returns:
        The same document with the model's own `after` of every op.

    Raises:
        MmuvizError: the document or one of its ops is refused.
    """
    recording = checked(document)
    ops = [{key: value for key, value in op.items() if key != "after"} for op in recording.ops]
    afters = Replay(recording).steps()
    return {**document, "ops": [{**op, "after": after} for op, after in zip(ops, afters, strict=True)]}


def replay_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz replay FILE...`: one JSON document a line; a bad file has its error in its place.

    Args:
        paths: recordings.
        out: where the lines go.

    Returns:
        Exit status: 1 if any file was bad.
    """
    status = 0
    for path in paths:
        try:
            line = json.dumps(replayed(read_document(path)), separators=(",", ":"), allow_nan=False)
        except MmuvizError as error:
            line = json.dumps({"file": str(path), "error": str(error)})
            status = 1
        except MemoryError:
            line = json.dumps({"file": str(path), "error": TOO_LARGE})
            status = 1
        out.write(line + "\n")
    return status
