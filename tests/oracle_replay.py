"""Drive the slow twin by a recording's ops and answer in the recording's own schema."""

from __future__ import annotations

from typing import Any

from tests.oracle import Oracle, RingFullError, Rules
from tests.oracle_host import HostMemory

Document = dict[str, Any]


def ranges(offsets: set[int]) -> list[list[int]]:
    """Maximal ascending [first, count] ranges of a set of pages."""
    found: list[list[int]] = []
    for offset in sorted(offsets):
        if found and sum(found[-1]) == offset:
            found[-1][1] += 1
        else:
            found.append([offset, 1])
    return found


def pages_of(spec: list[int] | dict[str, int]) -> list[int]:
    """The pages of an access op: a list, or start, stride and count."""
    if isinstance(spec, list):
        return spec
    return [spec["start"] + spec["stride"] * each for each in range(spec["count"])]


def parallel_turns(op: Document, vcpus: int) -> list[tuple[int, int]]:
    """(vCPU, page) in turn, one access each, from vCPU 0."""
    pages, share = pages_of(op), op["count"] // vcpus
    if op["how"] == "same":
        return [(vcpu, page) for page in pages for vcpu in range(vcpus)]
    if op["how"] == "interleave":
        return [(index % vcpus, pages[index]) for index in range(share * vcpus)]
    return [(vcpu, pages[vcpu * share + turn]) for turn in range(share) for vcpu in range(vcpus)]


class Driver:
    """Runs one recording's ops on the slow twin."""

    def __init__(self, document: Document) -> None:
        major, minor = (int(part) for part in document["kernel"].split(".")[:2])
        self.rules = Rules.of(major, minor)
        self.config = document["config"]
        self.vm = Oracle(self.rules, self.config)
        self.last: set[int] = set()
        self.harvested: set[int] = set()

    def run(self, op: Document) -> Document:
        """Carry one op out; the `after` of the recording's schema, events flat and in order."""
        self.vm.events = []
        self.vm.pml_full_exits = 0
        dirty = getattr(self, "op_" + op["op"])(op)
        after: Document = {"counters": self.vm.counters(), "order": self.vm.events}
        if op["op"] == "delslot":
            after = {"counters": None, "order": []}
        if dirty is not None:
            after["dirty_ranges"] = ranges(dirty)
        if self.config["pml"]:
            after["pml_full_exits"] = self.vm.pml_full_exits
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
        self.vm.add_slot(op["base_gfn"], op["pages"], op["hva_offset_pages"], host)

    def access(self, turns: list[tuple[int, int]], *, write: bool) -> None:
        running: set[int] = set()
        for vcpu, page in turns:
            while True:
                try:
                    if vcpu not in running:
                        running.add(vcpu)
                        self.vm.enter_guest(vcpu)
                    self.vm.access(vcpu, page, write=write)
                except RingFullError:
                    self.harvested |= self.vm.ring_collect()
                    self.vm.ring_reset()
                    continue
                break
        for vcpu in sorted(running):
            self.vm.exit_guest(vcpu)

    def op_read(self, op: Document) -> None:
        self.access([(op["vcpu"], page) for page in pages_of(op["pages"])], write=False)

    def op_write(self, op: Document) -> None:
        self.access([(op["vcpu"], page) for page in pages_of(op["pages"])], write=True)

    def op_parallel_write(self, op: Document) -> None:
        self.access(parallel_turns(op, len(self.vm.vcpus)), write=True)

    def op_enable(self, _op: Document) -> None:
        self.vm.enable()

    def op_disable(self, _op: Document) -> None:
        self.vm.disable()

    def op_get(self, _op: Document) -> set[int]:
        self.last = self.vm.get()
        return self.last

    def op_clear(self, op: Document) -> None:
        span = range(op["first_page"], op["first_page"] + op["num_pages"])
        if op["bits"] == "all":
            wanted = set(span)
        else:
            wanted = (self.last if op["bits"] == "last" else set(op["list"])) & set(span)
        self.vm.clear(wanted)

    def op_ring_collect(self, _op: Document) -> set[int]:
        found = self.harvested | self.vm.ring_collect()
        self.harvested = set()
        return found

    def op_ring_reset(self, _op: Document) -> None:
        self.vm.ring_reset()

    def op_set_eager_page_split(self, op: Document) -> None:
        self.vm.eager = op["value"]

    def op_dontneed(self, op: Document) -> None:
        for start, end in self.vm.host.dontneed(op["start"] + self.vm.hva_offset, op["count"]):
            self.vm.notifier_invalidates(start, end)

    def op_hostwrite(self, op: Document) -> None:
        for page in pages_of(op):
            done = self.vm.host.fault(page + self.vm.hva_offset, write=True)
            if done.invalidated:
                self.vm.notifier_invalidates(*done.invalidated)

    def op_delslot(self, _op: Document) -> None:
        self.vm.leaf.clear()
        self.vm.table.clear()
