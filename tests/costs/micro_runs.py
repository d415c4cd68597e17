"""The counted runs as documents: the ops of the program before and while each label was counted.

A Step is an op; the one whose instructions were counted has its size. A Doc is one VM: sizes that were counted one
after another in it start from the state that the earlier ones left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

Op = dict[str, Any]


class Step(NamedTuple):
    """An op, and its size where it was counted."""

    op: Op
    size: int | None = None


class Doc(NamedTuple):
    """One VM: mode and eager, and its steps."""

    mode: str
    eager: bool
    steps: list[Step]


Maker = Callable[[list[int]], Iterator[Doc]]

GET: Final = Step({"op": "get"})
ENABLE: Final = Step({"op": "enable"})
DISABLE: Final = Step({"op": "disable"})
COLLECT: Final = Step({"op": "ring_collect"})
RESET: Final = Step({"op": "ring_reset"})


def slot(backing: str, pages: int, *, populated: bool = True, size: int | None = None) -> Step:
    names = {"4k": "4k", "2m": "hugetlb_2m", "1g": "hugetlb_1g"}
    fields = {"base_gfn": 262144, "pages": pages, "hva_offset_pages": 0, "host_populated": populated}
    return Step({"op": "slot", "backing": names[backing], **fields}, size)


def touch(start: int, stride: int, count: int, size: int | None = None, *, kind: str = "write") -> Step:
    return Step({"op": kind, "vcpu": 0, "pages": {"start": start, "stride": stride, "count": count}}, size)


def clear(first: int, pages: int, bits: str = "all", size: int | None = None, listed: list[int] | None = None) -> Step:
    fields = {} if listed is None else {"list": listed}
    return Step({"op": "clear", "first_page": first, "num_pages": pages, "bits": bits, **fields}, size)


def counted(step: Step, size: int) -> Step:
    return Step(step.op, size)


def mapped(backing: str, pages: int) -> list[Step]:
    """A slot, every page mapped as large as it goes."""
    stride = {"4k": 1, "2m": 512, "1g": 262144}[backing]
    return [slot(backing, pages), touch(0, stride, -(-pages // stride))]


def logged(mode: str, backing: str, pages: int) -> list[Step]:
    """A mapped slot, logged; under initially-all-set every page was cleared once."""
    steps = [*mapped(backing, pages), ENABLE]
    return [*steps, GET, clear(0, pages)] if mode == "manual_initially_set" else steps


def in_turn(before: list[Step], sizes: list[int], stride: int = 1, kind: str = "write", first: int = 0) -> list[Step]:
    """One access op a size, each going on behind the last."""
    steps, at = list(before), first
    for size in sizes:
        steps.append(touch(at, stride, size, size, kind=kind))
        at += stride * size
    return steps


def fast(mode: str, backing: str, stride: int = 1, *, again: bool = False) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        pages = -(-sum(sizes) * stride // 512) * 512
        steps = logged(mode, backing, pages)
        if again:
            steps += [touch(0, stride, sum(sizes)), GET]
        yield Doc(mode, eager=True, steps=in_turn(steps, sizes, stride))

    return make


def fresh(backing: str, stride: int, *, log: bool = False, kind: str = "write", populated: bool = True) -> Maker:
    """Faults of pages that no table maps."""

    def make(sizes: list[int]) -> Iterator[Doc]:
        whole = 262144 if backing == "1g" else 512
        pages = -(-sum(sizes) * stride // whole) * whole
        steps = [slot(backing, pages, populated=populated), *([ENABLE] if log else [])]
        yield Doc("legacy", eager=True, steps=in_turn(steps, sizes, stride, kind))

    return make


def lazy_first(mode: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        yield Doc(mode, eager=False, steps=in_turn(logged(mode, "2m", sum(sizes) * 512), sizes, 512))

    return make


def rest_of(regions: int) -> list[int]:
    """Every page of the first regions but the first of each, which was touched before."""
    return [page for page in range(regions * 512) if page % 512]


def lazy_rest(mode: str, kind: str = "write", *, round_two: bool = False) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        regions = sum(-(-size // 511) for size in sizes) + 1
        steps = [*logged(mode, "2m", regions * 512), touch(0, 512, regions)]
        pages, at = rest_of(regions), 0
        if round_two:
            everything = {"op": "write", "vcpu": 0, "pages": pages[: sum(sizes)]}
            steps += [Step(everything), GET, clear(0, regions * 512, "last")]
        for size in sizes:
            steps.append(Step({"op": kind, "vcpu": 0, "pages": pages[at : at + size]}, size))
            at += size
        yield Doc(mode, eager=False, steps=steps)

    return make


def lazy_1g(mode: str, part: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        steps = logged(mode, "1g", 2 * 262144)
        if part in ("first", "second"):
            at = {"first": 0, "second": 262144}[part]
            before = [touch(0, 1, 1)] if part == "second" else []
            yield Doc(mode, eager=False, steps=[*steps, *before, touch(at, 1, 1, sizes[0])])
        elif part == "next":
            yield Doc(mode, eager=False, steps=in_turn([*steps, touch(0, 1, 1)], sizes, 512, first=512))
        else:
            for size in sizes:
                yield Doc(mode, eager=False, steps=[*steps, touch(0, 1, 1), touch(1, 1, size, size)])

    return make


def retouch(backing: str, stride: int) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            steps = [*logged("legacy", backing, size * stride), DISABLE]
            yield Doc("legacy", eager=True, steps=[*steps, touch(0, stride, size, size)])

    return make


def whole(mode: str, backing: str, *, eager: bool, unit: int, op: str, after: str = "") -> Maker:
    """An ioctl on a slot of `size` units; `after` says what came before it."""

    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            pages = size * unit
            steps = [slot(backing, pages)] if after == "unmapped" else mapped(backing, pages)
            if op != "enable" or after == "again":
                steps += [ENABLE, GET, clear(0, pages)] if after == "cleared" else [ENABLE]
            if after == "again":
                stride = {"4k": 1, "2m": 512, "1g": 262144}[backing]
                steps += [DISABLE, *([touch(0, stride, size)] if eager and backing != "4k" else [])]
            yield Doc(mode, eager, [*steps, Step({"op": op}, size)])

    return make


def create(backing: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            yield Doc("legacy", eager=True, steps=[slot(backing, size, size=size)])

    return make


def delete(backing: str, *, unit: int, split: bool) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            steps = [*mapped(backing, size * unit), *([ENABLE] if split else [])]
            yield Doc("legacy", eager=True, steps=[*steps, Step({"op": "delslot"}, size)])

    return make


def log_words(mode: str, *, stride: int, call: str, words: int = 1024) -> Maker:
    """Write `size` pages, then GET or CLEAR; one VM."""

    def make(sizes: list[int]) -> Iterator[Doc]:
        pages = words * 64
        steps = logged(mode, "2m", pages)
        for size in sizes:
            steps += [touch(0, stride, size)] if size else []
            if call == "get":
                steps.append(counted(GET, size))
                steps += [clear(0, pages, "last")] if mode != "legacy" else []
            else:
                steps += [GET, clear(0, pages, "last", size)]
        yield Doc(mode, eager=True, steps=steps)

    return make


def clean_get(mode: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            yield Doc(mode, eager=True, steps=[slot("2m", size * 64), ENABLE, counted(GET, size)])

    return make


def clean_clear(bits: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            steps = [*logged("manual", "2m", 65536), GET, clear(0, size * 64, bits, size)]
            yield Doc("manual", eager=True, steps=steps)

    return make


def first_clear(*, eager: bool, chunk: bool = True, listed: bool = False) -> Maker:
    """The first CLEAR of `size` 2M pages under initially-all-set; each size on pages not cleared before."""

    def make(sizes: list[int]) -> Iterator[Doc]:
        pages = sum(sizes) * 512
        steps, at = [*mapped("2m", pages), ENABLE, GET], 0
        for size in sizes:
            end = at + size * 512
            bits = [page + 7 for page in range(at, end, 512)] if listed else None
            steps.append(clear(at, end - at, "list" if listed else "all", size, bits))
            at = end
        if chunk:
            yield Doc("manual_initially_set", eager, steps)
            return
        for size in sizes:
            alone = [*mapped("2m", size * 512), ENABLE, GET, clear(0, size * 512, "all", size)]
            yield Doc("manual_initially_set", eager, alone)

    return make


def one_word(*, split: bool) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        steps = [*mapped("2m", 512), ENABLE, GET]
        steps += [] if split else [clear(0, 64)]
        first = 0 if split else 64
        yield Doc("manual_initially_set", eager=True, steps=[*steps, clear(first, 64, "all", sizes[0])])

    return make


def manual_word(pages: int) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        steps = [*logged("manual", "2m", 8192), touch(0, 1, pages), GET, clear(0, 64, "last", sizes[0])]
        yield Doc("manual", eager=True, steps=steps)

    return make


def clear_1g(part: str, *, eager: bool = True) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        steps = [*mapped("1g", 262144), ENABLE, GET]
        if part == "whole":
            yield Doc("manual_initially_set", eager, [*steps, clear(0, 262144, "all", sizes[0])])
        elif part == "word":
            yield Doc("manual_initially_set", eager, [*steps, clear(0, 64, "all", sizes[0])])
        else:
            steps, at = [*steps, clear(0, 64)], 512
            for size in sizes:
                steps.append(clear(at, size * 512, "all", size))
                at += size * 512
            yield Doc("manual_initially_set", eager, steps)

    return make


def partial_1g(*, eager: bool) -> Maker:
    """Disable a gigabyte of which CLEAR split a part, or in which lazily handled writes left small tables."""

    def make(sizes: list[int]) -> Iterator[Doc]:
        for size in sizes:
            if eager:
                steps = [*mapped("1g", 262144), ENABLE, GET, clear(0, 64), clear(512, (size - 1) * 512)]
                yield Doc("manual_initially_set", eager, [*steps, counted(DISABLE, size)])
                continue
            steps = [*logged("legacy", "1g", 2 * 262144), *(touch(262144 * each, 1, 1) for each in range(size))]
            steps += [touch(512, 512, 127), touch(1, 1, 300), touch(513, 1, 400), counted(DISABLE, size)]
            yield Doc("legacy", eager, steps)

    return make


def bits_of_512() -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        for bits in sizes:
            listed = list(range(0, 512, 512 // bits))
            steps = [*mapped("2m", 512), ENABLE, GET, clear(0, 512, "list", bits, listed)]
            yield Doc("manual_initially_set", eager=True, steps=steps)

    return make


def ring(stride: int, call: str) -> Maker:
    def make(sizes: list[int]) -> Iterator[Doc]:
        steps = logged("ring", "2m", 65536)
        for size in sizes:
            steps += [touch(0, stride, size)] if size else []
            if call == "collect":
                steps += [counted(COLLECT, size), RESET]
            else:
                steps += [COLLECT, counted(RESET, size)]
        yield Doc("ring", eager=True, steps=steps)

    return make
