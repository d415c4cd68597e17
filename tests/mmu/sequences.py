"""Random recordings: every choice of a VM and a slot, and ops that KVM accepts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hypothesis import strategies as st

Document = dict[str, Any]
Op = dict[str, Any]

KERNELS: Final = (
    *("5.15", "5.16", "5.17", "5.18", "5.19", "6.0", "6.1", "6.2", "6.4"),
    *("6.5", "6.8", "6.11", "6.12", "6.13", "6.14", "6.18", "7.3"),
)
BITMAP_MODES: Final = ("legacy", "manual", "manual_initially_set")
RING_MODES: Final = ("ring", "ring_initially_set")
MODES: Final = (*BITMAP_MODES, *RING_MODES)
BACKINGS: Final = ("4k", "thp", "hugetlb_2m", "hugetlb_1g")
ANY_TIME: Final = ("read", "write", "parallel_write", "enable", "disable", "set_eager_page_split")
HOST_OPS: Final = ("dontneed", "hostwrite")
BITMAP_OPS: Final = ("get", "clear")
RING_OPS: Final = ("ring_collect", "ring_reset")
HOW: Final = ("contig", "interleave", "same")

REGION_2M: Final = 512
REGION_1G: Final = 512 * 512
REGION_512G: Final = 512 * REGION_1G
SPAN_OF: Final = {"hugetlb_2m": REGION_2M, "hugetlb_1g": REGION_1G}


def op_kinds(mode: str) -> tuple[str, ...]:
    """Every op kind that a mode allows."""
    own = RING_OPS if mode in RING_MODES else BITMAP_OPS
    return ("slot", *ANY_TIME, *HOST_OPS, *own, "delslot")


SERIES: Final = {
    "rfc-2021": (5, 16),
    "shadow-eager-v1": (5, 18),
    "shadow-eager-v3": (5, 18),
    "nested-eager-v4": (5, 18),
}
"""Series that were never merged, with the release that each lay on."""


def release_of(kernel: str) -> tuple[int, int]:
    if kernel in SERIES:
        return SERIES[kernel]
    major, minor = (int(part) for part in kernel.split("."))
    return major, minor


def has_eager(kernel: str) -> bool:
    return kernel in SERIES or release_of(kernel) >= (5, 18)


@st.composite
def configs(draw: st.DrawFn, kernel: str) -> Document:
    mode = draw(st.sampled_from((*MODES, "manual_initially_set", "ring")))
    tdp_mmu = draw(st.sampled_from((True, True, True, False)))
    vendor = draw(st.sampled_from(("amd", "intel")))
    pml = vendor == "intel" and draw(st.booleans())
    rings = (1024, 2048, 4096) if pml else (256, 512, 1024, 2048, 4096)
    return {
        "dirty_log_mode": mode,
        "eager_page_split": has_eager(kernel) and draw(st.booleans()),
        "tdp_mmu": tdp_mmu,
        "vcpus": draw(st.integers(1, 4)),
        "ring_entries": draw(st.sampled_from(rings)),
        "vendor": vendor,
        "pml": pml,
    }


@st.composite
def small_slots(draw: st.DrawFn) -> Op:
    """A slot of a few 2M regions: any alignment, across 2M, 1G and 512G, congruent with the host or not."""
    region = draw(st.sampled_from((2 * REGION_1G, 3 * REGION_1G, REGION_512G, 2 * REGION_512G)))
    near = draw(st.sampled_from((0, 0, 0, 512, 1024, 1, 511, 32, 64, -512, -1, -700)))
    base = region + draw(st.one_of(st.just(near), st.just(near), st.integers(0, 3000)))
    some = st.sampled_from((1536, 1536, 2048, 1024, 1100, 65, 513, 1))
    pages = draw(st.one_of(some, some, st.integers(1, 1700)))
    congruent = draw(st.sampled_from((True, True, True, True, True, False)))
    aligned = base % REGION_2M + REGION_2M * draw(st.integers(0, 2))
    return {
        "op": "slot",
        "backing": draw(st.sampled_from(("hugetlb_2m", "thp", *BACKINGS))),
        "base_gfn": base,
        "pages": pages,
        "hva_offset_pages": aligned if congruent else draw(st.integers(0, 1100)),
        "host_populated": draw(st.booleans()),
    }


@st.composite
def gigantic_slots(draw: st.DrawFn) -> Op:
    """A slot that holds a whole 1G page, and may have a head and a tail."""
    head, tail = draw(st.sampled_from(((0, 0), (0, 0), (600, 0), (0, 700), (1, 77))))
    return {
        "op": "slot",
        "backing": draw(st.sampled_from(("hugetlb_1g", "hugetlb_1g", "hugetlb_1g", "thp"))),
        "base_gfn": 4 * REGION_1G - head,
        "pages": head + REGION_1G + tail,
        "hva_offset_pages": (REGION_1G - head) % REGION_1G,
        "host_populated": draw(st.booleans()),
    }


@dataclass
class Ops:
    """Draws the ops of one sequence; knows what KVM would refuse."""

    draw: st.DrawFn
    config: Document
    kernel: str
    slot: Op
    logging: bool = False

    def page(self) -> int:
        pages = self.slot["pages"]
        # Around 2M boundaries of the guest and the ends of the slot, where the rules change.
        first_2m = -self.slot["base_gfn"] % REGION_2M
        near = [0, pages - 1, first_2m, first_2m - 1, first_2m + REGION_2M, first_2m + 63]
        inside = [page for page in near if 0 <= page < pages]
        return int(self.draw(st.one_of(st.sampled_from(inside), st.integers(0, pages - 1))))

    def strided(self, most: int = 1200) -> Op:
        """start, stride, count inside the slot."""
        start, last = self.page(), self.slot["pages"] - 1
        stride = self.draw(st.sampled_from((1, 1, 1, 2, 7, 64, 512, -1, -3, 0)))
        room = (last - start) // stride if stride > 0 else start // -stride if stride else 5
        count = self.draw(st.one_of(st.just(room + 1), st.integers(0, room + 1)))
        return {"start": start, "stride": stride, "count": min(count, most)}

    def pages(self) -> Any:  # noqa: ANN401  # a list or an object, as the schema has it
        if self.draw(st.booleans()):
            return self.strided()
        return [self.page() for _ in range(self.draw(st.integers(1, 12)))]

    def accesses(self, kind: str) -> Op:
        return {"op": kind, "vcpu": self.draw(st.integers(0, self.config["vcpus"] - 1)), "pages": self.pages()}

    def clear(self) -> Op:
        pages = self.slot["pages"]
        first = 64 * self.draw(st.integers(0, (pages - 1) // 64))
        whole = self.draw(st.booleans())
        words = self.draw(st.integers(0, (pages - first) // 64))
        op: Op = {"op": "clear", "first_page": first, "num_pages": pages - first if whole else 64 * words}
        op["bits"] = self.draw(st.sampled_from(("last", "all", "list", "list")))
        if op["bits"] == "list":
            op["list"] = self.boundary() or [self.page() for _ in range(self.draw(st.integers(1, 6)))]
        if op["bits"] == "list" and self.draw(st.booleans()):
            op |= {"first_page": 0, "num_pages": pages}
        return op

    def boundary(self) -> list[int]:
        """A mask that ends on the first page of a 2M region, or starts before it; empty half the time."""
        first_2m = -self.slot["base_gfn"] % REGION_2M
        ends = list(range(first_2m, self.slot["pages"], REGION_2M))
        if not ends or self.draw(st.booleans()):
            return []
        end = self.draw(st.sampled_from(ends))
        return sorted({end, max(0, end - self.draw(st.sampled_from((0, 0, 1, 5, 31, 60))))})

    def dontneed(self) -> Op:
        span = SPAN_OF.get(self.slot["backing"], 1)
        offset, pages = self.slot["hva_offset_pages"], self.slot["pages"]
        aligned = range(-offset % span, pages, span)
        if not aligned or (span > 1 and release_of(self.kernel) < (5, 18)):
            return {"op": "hostwrite", **self.strided(100)}
        start = aligned[self.draw(st.integers(0, len(aligned) - 1))] if span > 1 else self.page()
        count = self.draw(st.one_of(st.integers(0, pages - start), st.integers(0, min(600, pages - start))))
        return {"op": "dontneed", "start": start, "count": count}

    def eager(self) -> bool:
        return has_eager(self.kernel) and bool(self.draw(st.booleans()))

    def next(self, kinds: tuple[str, ...]) -> Op:
        kind = self.draw(st.sampled_from(kinds))
        if kind == "set_eager_page_split" and self.config.get("mmu") == "arm64_stage2":
            kind = "write"  # it has no such parameter
        if kind in BITMAP_OPS and not self.logging:
            kind = "enable"  # KVM would answer ENOENT
        with_arguments: dict[str, Callable[[], Op]] = {
            "read": lambda: self.accesses("read"),
            "write": lambda: self.accesses("write"),
            "parallel_write": lambda: {"op": kind, **self.strided(600), "how": self.draw(st.sampled_from(HOW))},
            "hostwrite": lambda: {"op": kind, **self.strided(100)},
            "dontneed": self.dontneed,
            "set_eager_page_split": lambda: {"op": kind, "value": self.eager()},
            "clear": self.clear,
        }
        if kind in with_arguments:
            return with_arguments[kind]()
        if kind in ("enable", "disable"):
            self.logging = kind == "enable"
        return {"op": kind}

    def missing(self, met: list[Op], every: frozenset[str]) -> list[Op]:
        """One op of each kind that was not met; dontneed may come as hostwrite, as elsewhere."""
        found: list[Op] = []
        wanted = every - {op["op"] for op in met} - {"slot", "delslot"}
        for kind in self.draw(st.permutations(sorted(wanted))) if wanted else ():
            if kind in BITMAP_OPS and not self.logging:
                found.append(self.next(("enable",)))
            found.append(self.next((kind,)))
        return found

    def everything(self, kind: str = "write") -> Op:
        """Every page, or one of each 2M region, so that what can be huge is mapped huge."""
        stride = self.draw(st.sampled_from((1, 512)))
        count = min(-(-self.slot["pages"] // stride), 2100)
        return {"op": kind, "vcpu": 0, "pages": {"start": 0, "stride": stride, "count": count}}

    def chain(self) -> list[Op]:
        """Calls that mean something together."""
        mode = self.config["dirty_log_mode"]
        if mode == "manual_initially_set" and (mask := self.boundary()):
            self.logging = True
            clear = {"op": "clear", "first_page": 0, "num_pages": self.slot["pages"], "bits": "list", "list": mask}
            write = {"op": "write", "vcpu": 0, "pages": [*mask, self.page()]}
            return [{"op": "enable"}, clear, write, {"op": "get"}]
        if self.slot["backing"] == "thp" and self.draw(st.booleans()):  # a host table that empties
            first = -self.slot["hva_offset_pages"] % REGION_2M
            if first + REGION_2M <= self.slot["pages"]:
                self.logging = False
                drop = {"op": "dontneed", "start": first}
                return [{**drop, "count": 3}, {**drop, "count": 512}, {"op": "disable"}, self.everything()]
        if self.draw(st.booleans()):  # huge pages come back, and are split again
            self.logging = True
            middle = [self.everything(self.draw(st.sampled_from(("read", "write"))))]
            return [{"op": "disable"}, *middle, {"op": "enable"}, self.accesses("write")]
        if mode in RING_MODES:
            return [self.accesses("write"), {"op": "ring_collect"}, {"op": "ring_reset"}]
        self.logging = True
        return [{"op": "enable"}, {"op": "get"}, self.clear(), self.accesses("write"), {"op": "get"}]


@st.composite
def documents(
    draw: st.DrawFn,
    slots: st.SearchStrategy[Op],
    kernel: str,
    most: int = 14,
    config: Document | None = None,
    every: frozenset[str] = frozenset(),
) -> Document:
    """A recording without answers: at least 10 ops, an enable among them and accesses after it, and each of `every`."""
    config = draw(configs(kernel)) if config is None else config
    slot = draw(slots)
    ops = Ops(draw, config, kernel, slot)
    own = RING_OPS if config["dirty_log_mode"] in RING_MODES else BITMAP_OPS
    before = [ops.next(("read", "write", "write", "parallel_write", *HOST_OPS)) for _ in range(draw(st.integers(0, 2)))]
    mapped = [ops.everything()] if draw(st.sampled_from((True, True, False))) else [ops.accesses("write")]
    ops.logging = True
    kinds = ("read", "write", "write", *ANY_TIME, *HOST_OPS, *own, *own, *own)
    middle = ops.chain() if draw(st.sampled_from((True, True, False))) else []
    middle += [ops.next(kinds) for _ in range(draw(st.integers(7, most)))]
    middle += ops.chain() if draw(st.booleans()) else []
    begun = [slot, *mapped, *before, {"op": "enable"}, ops.accesses("write"), *middle]
    last: list[Op] = [{"op": "delslot"}] if "delslot" in every or draw(st.booleans()) else []
    listed = [*begun, *ops.missing(begun, every), *last]
    return {"schema": "kvm-recording/1", "name": "random", "kernel": kernel, "config": config, "ops": listed}
