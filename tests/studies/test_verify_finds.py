"""One value changed in a copy of a recording: verify names that op and that field, and nothing else."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.cli import main
from mmuviz.core.errors import MmuvizError
from mmuviz.studies.verify import verify_document
from tests.mmu.recording_files import FOLDER, read

Document = dict[str, Any]
Change = Callable[[Document], None]

PML = read(FOLDER / "P_2m_initset_nofull_lazy__6.12-intel-pml.json.gz")
SPLITS = read(FOLDER / "G_clear_firstpage_of_2M_eager__6.12.json.gz")
COUNTERS = ("pages_4k", "pages_2m", "pages_1g", "pf_taken", "pf_fixed", "pf_fast", "pf_spurious", "table_pages")


def verify(document: Document, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    """Exit status and lines of the command."""
    path = folder / "changed.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    status = main(["verify", str(path)])
    printed = capsys.readouterr()
    assert printed.err == ""
    return status, printed.out.splitlines()


def found_in(document: Document) -> list[tuple[int, str]]:
    return [(difference.op_index, difference.field) for difference in verify_document(document)]


def op_with(document: Document, wanted: Callable[[Document], bool]) -> int:
    return next(index for index, op in enumerate(document["ops"]) if wanted(op["after"]))


def only(field: str, index: int, document: Document, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one difference, at this op and field, and exits 1."""
    kind = document["ops"][index]["op"]
    status, lines = verify(document, folder, capsys)
    assert status == 1
    assert len(lines) == 2, lines
    assert lines[0].startswith(f"{folder / 'changed.json.gz'}: op {index} ({kind}): {field}: expected "), lines[0]
    assert lines[1] == "0 of 1 recordings exact"


@pytest.mark.parametrize("document", [PML, SPLITS], ids=["pml", "splits"])
def test_the_unchanged_copy_is_exact(document: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(document, tmp_path, capsys) == (0, ["1 of 1 recordings exact"])


@pytest.mark.parametrize("name", COUNTERS)
@pytest.mark.parametrize("by", [1, -1])
def test_a_counter(name: str, by: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    for index in (0, 4, len(changed["ops"]) - 1):
        changed = copy.deepcopy(SPLITS)
        changed["ops"][index]["after"]["counters"][name] += by
        only(f"counters.{name}", index, changed, tmp_path, capsys)


def test_a_counter_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    del changed["ops"][1]["after"]["counters"]["pf_fast"]
    only("counters.pf_fast", 1, changed, tmp_path, capsys)


@pytest.mark.parametrize("what", ["first", "count", "dropped", "added", "gone"])
def test_a_dirty_range(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    index = op_with(changed, lambda after: bool(after.get("dirty_ranges")))
    ranges = changed["ops"][index]["after"]["dirty_ranges"]
    if what == "first":
        ranges[0][0] += 1
    elif what == "count":
        ranges[-1][1] -= 1
    elif what == "dropped":
        ranges.pop()
    elif what == "added":
        ranges.append([4095, 1])
    else:
        del changed["ops"][index]["after"]["dirty_ranges"]
    only("dirty_ranges", index, changed, tmp_path, capsys)


@pytest.mark.parametrize("by", [1, -1])
def test_pml_full_exits(by: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = PML
    for index in range(len(PML["ops"])):
        changed = copy.deepcopy(PML)
        changed["ops"][index]["after"]["pml_full_exits"] += by
        assert found_in(changed) == [(index, "pml_full_exits")]
    only("pml_full_exits", len(PML["ops"]) - 1, changed, tmp_path, capsys)


def rows(document: Document) -> list[tuple[int, int]]:
    """(op, row) of every class of events whose order counts."""
    return [
        (index, row)
        for index, op in enumerate(document["ops"])
        if op["op"] not in ("disable", "dontneed", "delslot")
        for row in range(len(op["after"]["events"]))
    ]


def gfn_first(row: list[Any]) -> None:
    row[2][0][0] += 1


def gfn_last(row: list[Any]) -> None:
    """The gfn of the last event alone; its run is cut before it."""
    first, stride, count = row[2][-1]
    row[2][-1:] = [[first, stride, count - 1], [first + stride * (count - 1) + 7, 0, 1]]


def count(row: list[Any]) -> None:
    row[1] += 1


def one_too_many(row: list[Any]) -> None:
    row[1] += 1
    row[2].append([row[2][-1][0] + 3, 0, 1])


def one_too_few(row: list[Any]) -> None:
    row[1] -= 1
    row[2][-1][2] -= 1


def class_name(row: list[Any]) -> None:
    row[0][-1] += "?"


@pytest.mark.parametrize("change", [gfn_first, gfn_last, count, one_too_many, one_too_few, class_name])
@pytest.mark.parametrize("document", [PML, SPLITS], ids=["pml", "splits"])
def test_an_event(
    document: Document, change: Callable[[list[Any]], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(rows(document)) >= 5
    index, field, changed = 0, "", document
    for index, row in rows(document):
        changed = copy.deepcopy(document)
        event_class = changed["ops"][index]["after"]["events"][row]
        change(event_class)
        field = "events " + " ".join(str(part) for part in event_class[0])
        assert found_in(changed) == [(index, field)]
    only(field, index, changed, tmp_path, capsys)


def test_the_order_inside_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tried = 0
    for index, row in rows(SPLITS):
        changed = copy.deepcopy(SPLITS)
        event_class, events, runs = changed["ops"][index]["after"]["events"][row]
        first, stride, times = runs[0]
        if events < 2 or times < 2 or stride == 0:
            continue
        tried += 1
        runs[:1] = [[first + stride, 0, 1], [first, 0, 1], [first + 2 * stride, stride, times - 2]]
        field = "events " + " ".join(str(part) for part in event_class)
        only(field, index, changed, tmp_path, capsys)
    assert tried >= 3


@pytest.mark.parametrize("document", [PML, SPLITS], ids=["pml", "splits"])
def test_a_missing_class(document: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index, field, changed = 0, "", document
    for index, row in rows(document):
        changed = copy.deepcopy(document)
        event_class, _, _ = changed["ops"][index]["after"]["events"].pop(row)
        field = "events " + " ".join(str(part) for part in event_class)
        assert found_in(changed) == [(index, field)]
    only(field, index, changed, tmp_path, capsys)


def test_a_class_too_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    changed["ops"][1]["after"]["events"].append([["split", 3, "W+D"], 1, [[262144, 0, 1]]])
    only("events split 3 W+D", 1, changed, tmp_path, capsys)


def test_the_order_of_first_events(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at, changed = 0, PML
    for document in (PML, SPLITS):
        for index, op in enumerate(document["ops"]):
            first = op["after"]["first_events_in_order"]
            if len(first) < 2:
                continue
            for at in (0, len(first) // 2 - 1, len(first) - 2):
                changed = copy.deepcopy(document)
                events = changed["ops"][index]["after"]["first_events_in_order"]
                events[at], events[at + 1] = events[at + 1], events[at]
                assert found_in(changed) == [(index, f"first_events_in_order[{at}]")]
    only(f"first_events_in_order[{at}]", 12, changed, tmp_path, capsys)


@pytest.mark.parametrize("what", ["gfn", "class", "added"])
def test_a_first_event(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    index = op_with(changed, lambda after: 0 < len(after["first_events_in_order"]) < 120)
    events = changed["ops"][index]["after"]["first_events_in_order"]
    at = len(events) - 1
    if what == "gfn":
        events[at][-1] += 1
    elif what == "class":
        events[at][0] = "split"
    else:
        at += 1
        events.append(events[-1])
    only(f"first_events_in_order[{at}]", index, changed, tmp_path, capsys)


def test_fewer_first_events_are_no_difference() -> None:
    changed = copy.deepcopy(SPLITS)
    changed["ops"][1]["after"]["first_events_in_order"][3:] = []
    assert found_in(changed) == []


def test_runs_that_are_null_are_not_compared() -> None:
    changed = copy.deepcopy(SPLITS)
    changed["ops"][1]["after"]["events"][0][2] = None
    assert found_in(changed) == []


@pytest.mark.parametrize("index", [0, 5, -1])
def test_a_missing_answer(index: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy.deepcopy(SPLITS)
    del changed["ops"][index]["after"]
    only("after", index % len(changed["ops"]), changed, tmp_path, capsys)


def test_a_missing_op(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # What follows a missing op differs as well; nothing before it does, and the first line points at it.
    changed, kinds = SPLITS, [op["op"] for op in SPLITS["ops"]]
    for index in (kinds.index("write"), kinds.index("enable"), kinds.index("clear"), len(kinds) - 2):
        changed = copy.deepcopy(SPLITS)
        del changed["ops"][index]
        if kinds[index] == "enable":
            with pytest.raises(MmuvizError, match="ENOENT"):  # GET of a slot that does not log
                verify_document(changed)
            continue
        assert found_in(changed)[0][0] == index
    # The last write is missing: only the GET after it can tell, in its figures and its pages.
    assert {each for each, _ in found_in(changed)} == {len(kinds) - 2}
    assert (len(kinds) - 2, "dirty_ranges") in found_in(changed)
    assert verify(changed, tmp_path, capsys)[0] == 1


def test_a_dirty_page_is_named_by_its_gfn() -> None:
    changed = copy.deepcopy(SPLITS)
    base = changed["ops"][0]["base_gfn"]
    index = op_with(changed, lambda after: bool(after.get("dirty_ranges")))
    changed["ops"][index]["after"]["dirty_ranges"] = [[7, 1]]
    (difference,) = verify_document(changed)
    assert base > 0
    assert difference.gfn == base + 7


def test_each_difference_has_its_gfn() -> None:
    changed = copy.deepcopy(SPLITS)
    gfn_first(changed["ops"][1]["after"]["events"][0])
    (difference,) = verify_document(changed)
    wrong = changed["ops"][1]["after"]["events"][0][2][0][0]
    assert difference.gfn == wrong
    assert difference.line("f").startswith("f: op 1 (write): events ")
    assert difference.line("f").endswith(f" gfn={wrong}")


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of every value inside a JSON value."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
ANSWERS = [path for path in places(PML["ops"][:5]) if "after" in path]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(st.sampled_from(ANSWERS), ANYTHING)
def test_an_answer_of_any_form_is_compared_or_refused(path: tuple[Any, ...], value: object) -> None:
    changed = {**PML, "ops": copy.deepcopy(PML["ops"][:5])}
    holder: Any = changed["ops"]
    for key in path[:-1]:
        holder = holder[key]
    same = holder[path[-1]] == value
    holder[path[-1]] = value
    found = verify_document(changed)
    assert found or same or value in (None, []) or "first_events_in_order" in path or isinstance(value, bool)
