"""The slow twin is exact on the recordings of small slots; compared by the rules, without mmuviz."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.mmu.recording_files import FILES, read, short_name
from tests.oracle_replay import Driver

MOST_PAGES = 64 * 256  # 64 MiB
PAGE_COUNTS = ("pages_4k", "pages_2m", "pages_1g", "table_pages")
UNORDERED = ("disable", "dontneed")

Class = tuple[Any, ...]


def slot_pages(path: Path) -> int:
    # The slot is described in the first few hundred bytes, but reading all of it keeps this plain.
    return int(read(path)["ops"][0]["pages"])


SMALL = [path for path in FILES if slot_pages(path) <= MOST_PAGES]


def kinds_recorded(document: dict[str, Any]) -> set[str]:
    """The tracepoints that were on: with tdp_mmu off none is compared; some runs had the split one alone."""
    if not document["config"]["tdp_mmu"]:
        return set()
    afters = [op.get("after") or {} for op in document["ops"]]
    kinds = {event_class[0] for after in afters for event_class, _, _ in after.get("events") or []}
    faulted = any((after.get("counters") or {}).get("pf_taken") for after in afters)
    return {"split"} if faulted and kinds <= {"split"} else {"spte", "split", "fault", "fast"}


def check_figures(expected: dict[str, Any], got: dict[str, Any], *, parallel: bool, where: str) -> None:
    names = PAGE_COUNTS if parallel else tuple(expected["counters"])
    for name in names:
        assert got["counters"][name] == expected["counters"][name], f"{where}: {name}"
    if not parallel:
        assert got.get("pml_full_exits") == expected.get("pml_full_exits"), where
    assert got.get("dirty_ranges") == expected.get("dirty_ranges"), where


def check_events(
    expected: dict[str, Any], order: list[tuple[Class, int]], *, parallel: bool, ordered: bool, where: str
) -> None:
    mine: dict[Class, list[int]] = defaultdict(list)
    for event_class, gfn in order:
        mine[event_class].append(gfn)
    theirs = {tuple(event_class): (count, runs) for event_class, count, runs in expected["events"]}
    for event_class in set(mine) | set(theirs):
        if parallel and event_class[0] != "split":
            continue
        count, runs = theirs.get(event_class, (0, []))
        assert len(mine[event_class]) == count, f"{where}: {event_class}"
        if runs is None:
            continue
        gfns = [first + stride * each for first, stride, times in runs for each in range(times)]
        if ordered:
            assert mine[event_class] == gfns, f"{where}: {event_class}"
        else:
            assert sorted(mine[event_class]) == sorted(gfns), f"{where}: {event_class}"
    if ordered:
        first = [(tuple(event[:-1]), event[-1]) for event in expected["first_events_in_order"]]
        assert order[: len(first)] == first, where


@pytest.mark.parametrize("path", SMALL, ids=short_name)
def test_the_slow_twin_is_exact(path: Path) -> None:
    document = read(path)
    kinds, driver, parallel = kinds_recorded(document), Driver(document), False
    for index, op in enumerate(document["ops"]):
        got, where = driver.run(op), f"op {index} ({op['op']})"
        parallel = parallel or op["op"] == "parallel_write"
        if op["op"] == "delslot":
            continue
        check_figures(op["after"], got, parallel=parallel, where=where)
        if kinds:
            order = [event for event in got["order"] if event[0][0] in kinds]
            ordered = not parallel and op["op"] not in UNORDERED
            check_events(op["after"], order, parallel=parallel, ordered=ordered, where=where)


def test_most_recordings_are_small() -> None:
    assert len(SMALL) > len(FILES) // 2


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever in it that stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_slow_twin_shares_nothing_with_mmuviz() -> None:
    """Each of its files imports the standard library and its other files, and nothing else."""
    tests = Path(__file__).resolve().parent.parent
    files = sorted(tests.glob("oracle*.py"))
    own = {f"tests.{each.stem}" for each in files}
    assert {"tests.oracle", "tests.oracle_stage2", "tests.oracle_slots"} <= own
    for path in files:
        others = {name for name in imported(path) - own if name.split(".")[0] not in sys.stdlib_module_names}
        assert not others, path.name
