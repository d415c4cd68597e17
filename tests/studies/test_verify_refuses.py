"""Malformed answers in recordings: each is reported in one line, without a traceback and without taking memory."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.cli import main
from mmuviz.mmu.events import runs_of
from mmuviz.mmu.state import I64
from mmuviz.studies.recorded_events import MAX_EVENTS, Place, first_difference, first_difference_of_sets
from mmuviz.studies.verify import Difference, verify_command, verify_document
from tests.studies.test_verify_finds import PML, SPLITS, Document, op_with

After = dict[str, Any]
CLASS = ["spte", 1, "a", "b"]


def found_with(change: Callable[[After], None], index: int = 1) -> list[Difference]:
    changed = copy.deepcopy(SPLITS)
    change(changed["ops"][index]["after"])
    return verify_document(changed)


def lines_of(differences: list[Difference]) -> list[str]:
    lines = [difference.line("f") for difference in differences]
    assert all("\n" not in line and len(line) < 700 for line in lines)
    return lines


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[CLASS, 1, [[0, 1, 10**10], [0, 1, -(10**10)]]]], "run [0, 1, -10000000000] must"),
        ([[CLASS, 1, [[0, 1, -1]]]], "must have times from 0"),
        ([[CLASS, -5, None]], "count -5 must be a whole number"),
        ([[CLASS, 1.0, None]], "count 1.0 must be a whole number"),
        ([[CLASS, 1, [[True, 0, 1]]]], "run [True, 0, 1] must be"),
        ([[CLASS, 1, [[1 << 40, 0, 1]]]], "gfns 0 to"),
        ([[CLASS, 1, [[5, -3, 4]]]], "gfns 0 to"),
        ([[CLASS, 1, {}]], "runs must be a list or null"),
        ([[CLASS, 1, ""]], "runs must be a list or null"),
        ([[CLASS, 1, None], [CLASS, 2, None]], "must stand in one row"),
        ([[[], 1, [[0, 1, 1]]]], "class [] must be a list of texts"),
        ([[[[]], 1, None]], "must be a list of texts"),
        ([[CLASS, 1]], "must be [class, count, runs]"),
        ({}, "events must be a list, not dict"),
        (0, "events must be a list, not int"),
        ("", "events must be a list, not str"),
    ],
)
def test_events_of_no_form(rows: object, said: str) -> None:
    (difference,) = found_with(lambda after: after.update(events=rows))
    assert difference.field == "events"
    assert said in lines_of([difference])[0]


def test_the_bound_on_events_is_one_of_all_classes() -> None:
    many = [[["spte", 1, "a", str(each)], MAX_EVENTS // 4, [[0, 1, MAX_EVENTS // 4]]] for each in range(6)]
    (difference,) = found_with(lambda after: after.update(events=many))
    assert f"an op must have at most {MAX_EVENTS}; make several ops" in lines_of([difference])[0]


def test_an_empty_class_after_a_parallel_write() -> None:
    changed = copy.deepcopy(SPLITS)
    op = {"op": "parallel_write", "start": 0, "stride": 1, "count": 4, "how": "contig"}
    changed["ops"].insert(1, {**op, "after": {"events": [[[], 1, [[0, 1, 1]]]]}})
    assert any("class [] must be" in line for line in lines_of(verify_document(changed)))


@pytest.mark.parametrize("page", [10**4299, -1, 1.0, True, None, "0", []])
def test_a_dirty_range_of_any_number(page: object) -> None:
    index = op_with(SPLITS, lambda after: bool(after.get("dirty_ranges")))
    (difference,) = found_with(lambda after: after.update(dirty_ranges=[[page, 1]]), index)
    assert difference.field == "dirty_ranges"
    assert len(lines_of([difference])[0]) < 300


def test_figures_of_another_type_are_other_figures() -> None:
    document = copy.deepcopy(PML)
    wrong = 0
    for op in document["ops"]:
        counters = op["after"].get("counters", {})
        for name, value in counters.items():
            counters[name] = bool(value) if value in (0, 1) else float(value)
            wrong += 1
    found = verify_document(document)
    assert wrong > 0
    assert len([each for each in found if each.field.startswith("counters.")]) == wrong


@pytest.mark.parametrize("name", ["pml_full_exits", "first_events_in_order"])
def test_other_figures_of_another_type(name: str) -> None:
    changed = copy.deepcopy(PML)
    index = op_with(changed, lambda after: bool(after["first_events_in_order"]))
    after = changed["ops"][index]["after"]
    if name == "pml_full_exits":
        after[name] = float(after[name])
    else:
        after[name][0][-1] = float(after[name][0][-1])
    (difference,) = verify_document(changed)
    assert difference.field.startswith(name)


def test_fields_that_nobody_knows() -> None:
    changed = copy.deepcopy(SPLITS)
    changed["ops"][2]["after"]["speed"] = "light"
    changed["ops"][3]["after"]["counters"]["warp\n"] = 9
    lines = lines_of(verify_document(changed))
    assert len(lines) == 2
    assert "after.speed: expected 'light', got no such field; fields are counters, " in lines[0]
    assert "counters.warp\\n: expected 9, got no such field; fields are pages_4k, " in lines[1]


@pytest.mark.parametrize("by", [1, 7])
def test_a_count_counts_where_runs_are_absent(by: int) -> None:
    def change(after: After) -> None:
        after["first_events_in_order"] = []
        for row in after["events"]:
            row[1:] = [row[1] + by, None]

    found = found_with(change)
    assert len(found) == len(SPLITS["ops"][1]["after"]["events"]) > 0
    assert all(each.field.startswith("events ") for each in found)


def test_a_count_that_is_right_is_enough_where_runs_are_absent() -> None:
    def change(after: After) -> None:
        for row in after["events"]:
            row[2] = None

    assert found_with(change) == []


def test_a_difference_is_one_line_whatever_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines\udcff.json"
    path.write_text("no JSON")
    out = io.StringIO()
    assert verify_command([path], out) == 1
    assert out.getvalue().count("\n") == 2
    out.getvalue().encode()
    found = found_with(lambda after: after["counters"].update(pages_4k="1\n2\u2028" + "3" * 5000))
    assert "'1\\n2\\u2028" in lines_of(found)[0]


def test_a_name_that_is_too_long_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "x" * 5000]) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "cannot be read: File name too long" in printed.out
    assert printed.out.endswith("\n0 of 1 recordings exact\n")


def plain_difference(one: list[int], other: list[int]) -> Place | None:
    both = max(len(one), len(other))
    sides = [[*side, *[None] * (both - len(side))] for side in (one, other)]
    return next((Place(at, a, b) for at, (a, b) in enumerate(zip(*sides, strict=True)) if a != b), None)


def folded(gfns: list[int]) -> I64:
    return runs_of(np.array(gfns, dtype=np.int64))


GFNS = st.lists(st.integers(0, 3), max_size=9)


@given(GFNS, GFNS, GFNS)
def test_runs_differ_where_their_gfns_differ(begin: list[int], one: list[int], other: list[int]) -> None:
    one, other = begin + one, begin + other
    assert first_difference(folded(one), folded(other)) == plain_difference(one, other)
    assert first_difference_of_sets(folded(one), folded(other)) == plain_difference(sorted(one), sorted(other))


def test_a_document_is_not_changed() -> None:
    before: Document = copy.deepcopy(SPLITS)
    verify_document(SPLITS)
    assert before == SPLITS
