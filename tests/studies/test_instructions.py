"""`mmuviz instructions`: bills that add up, by rules worked out by hand, and bad files in their places."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmuviz.cli import main
from mmuviz.costs.ledger import COSTS, lookup
from mmuviz.engine.replayed import record_replay
from mmuviz.mmu.recordings import read_document
from mmuviz.studies.bills.follow import Followed, Standing
from mmuviz.studies.bills.words import groups_of, walk_of, words_of
from mmuviz.studies.instructions import _bill, bills, instructions, listed_pages, total
from tests.costs.micro_runs import clear, logged, touch
from tests.mmu.recording_files import FILES, short_name

SOME = [
    path for path in FILES if path.name.startswith(("A_2m", "B_4k_", "B_thp", "C_2m", "D_", "S_shadow_2m", "P_2m_r"))
]
KINDS = SOME[::17]


def document(
    ops: list[dict[str, Any]], *, mode: str = "legacy", eager: bool = True, kernel: str = "6.1"
) -> dict[str, Any]:
    config = {"dirty_log_mode": mode, "eager_page_split": eager, "tdp_mmu": True, "vcpus": 1}
    config |= {"ring_entries": 256, "vendor": "amd", "pml": False}
    return {"schema": "kvm-recording/1", "name": "hand", "kernel": kernel, "config": config, "ops": ops}


def billed(asked: dict[str, Any]) -> list[dict[str, int]]:
    found = bills(record_replay(asked), listed_pages(asked))
    return [{name: count for name, count in bill.items() if count} for bill in found]


@pytest.mark.parametrize("path", KINDS, ids=short_name)
def test_every_op_has_its_price(path: Path) -> None:
    asked = read_document(path)
    answer = instructions(asked)
    assert answer["name"] == asked["name"]
    assert [each["op"] for each in answer["ops"]] == [op["op"] for op in asked["ops"]]
    assert all(type(each["instructions"]) is int and each["instructions"] >= 0 for each in answer["ops"])
    assert {name for bill in billed(asked) for name in bill} <= set(COSTS)


@pytest.mark.parametrize("path", KINDS, ids=short_name)
def test_the_recorded_answer_is_not_looked_at(path: Path) -> None:
    asked = read_document(path)
    bare = {**asked, "ops": [{key: value for key, value in op.items() if key != "after"} for op in asked["ops"]]}
    assert instructions(bare) == instructions(asked)


@pytest.mark.parametrize("path", [path for path in SOME if "manual" in path.name and "pml" not in path.name][::11])
def test_the_followed_bitmap_is_kvm_s(path: Path) -> None:
    # A manual GET tells of every bit of KVM's own bitmap.
    asked = read_document(path)
    recording, listed = record_replay(asked), listed_pages(asked)
    followed, gets = Followed(recording), 0
    for op, each in enumerate(recording.ops):
        _bill(followed, op, listed.get(op))
        if each.kind == "get":
            gets += 1
            assert (followed.told == followed.dirty).all()
    assert gets


def test_eager_and_lazy_differ_where_they_should() -> None:
    ops = [step.op for step in [*logged("legacy", "2m", 1024), touch(0, 1, 600), touch(0, 1, 600)]]
    eager, lazy = billed(document(ops, kernel="6.12")), billed(document(ops, eager=False, kernel="6.12"))
    assert eager[2]["split_enable"] == 2
    assert eager[2]["protect_4k"] == 1024
    assert lazy[2] == {"enable": 1, "protect_huge": 2}
    assert eager[3] == {"run": 1, "guest_write": 600, "fault_fast": 600}
    assert lazy[3] == {"run": 1, "guest_write": 600, "fault_fast": 598, "fault_slow": 2, "fault_split_2m": 2}
    assert eager[4] == lazy[4] == {"run": 1, "guest_write": 600}


def test_before_6_2_a_lazy_fault_zaps_and_the_rest_is_mapped_again() -> None:
    ops = [step.op for step in [*logged("legacy", "2m", 512), touch(0, 1, 3)]]
    asked = billed(document([*ops, {"op": "disable"}], eager=False))
    assert asked[3] == {
        "run": 1,
        "guest_write": 3,
        "fault_map_4k_of_huge": 3,
        "fault_table": 1,
        "fault_zap_2m": 1,
    }
    assert asked[4] == {"disable": 1, "disable_visit": 1, "zap_table": 1, "zap_child": 3}


def test_a_cache_of_40_is_filled_up_below_5() -> None:
    # 36 are left at first: the root and three tables of the program's own pages; one more goes over this gigabyte.
    steps = [*logged("legacy", "2m", 512 * 80)[:1], *(touch(512 * each, 1, 1) for each in range(72))]
    ops = [step.op for step in [steps[0], logged("legacy", "2m", 512)[-1], *steps[1:]]]
    refills = [bill.get("cache_refill", 0) for bill in billed(document(ops))[2:]]
    assert [index for index, filled in enumerate(refills) if filled] == [31, 67]
    assert {filled for filled in refills if filled} == {36}


def test_words_are_walked_to_the_next_present_entry() -> None:
    present = np.zeros(192, dtype=np.bool_)
    present[[3, 9, 20, 70, 150]] = True
    standing = Standing(np.ones(192, np.bool_), present, np.ones(192, np.bool_), 1, 1, 0, 1)
    one = np.array([0]), np.array([3]), np.array([9])
    # From 3 to 9 (5 holes), then over 10 to 19 to the present 20.
    assert walk_of(standing, *one)[3:] == (1, 15)
    # 70 stands alone: the walk ends with its word at 128.
    assert walk_of(standing, np.array([64]), np.array([70]), np.array([70]))[3:] == (0, 57)
    # A full table has no holes to walk over.
    full = standing._replace(present=np.ones(192, dtype=np.bool_))
    assert walk_of(full, *one)[3:] == (6, 0)


def test_words_of_a_bitmap() -> None:
    starts, lows, highs = words_of(np.array([5, 63, 64, 200]))
    assert (starts.tolist(), lows.tolist(), highs.tolist()) == ([0, 64, 192], [5, 64, 200], [63, 64, 200])
    assert len(words_of(np.array([], dtype=np.int64))[0]) == 0


@pytest.mark.parametrize(
    ("entries", "groups"),
    [
        ([], []),
        ([0], [(0, 0, 0)]),
        ([5, 6, 68], [(5, 5, 68)]),
        ([5, 69], [(5, 5, 5), (69, 69, 69)]),
        ([10, 8, 9], [(8, 8, 10)]),
        ([0, 63, 1, 64], [(0, 0, 63), (64, 64, 64)]),
        ([40, 100, 20], [(40, 40, 100), (20, 20, 20)]),
    ],
)
def test_ring_entries_are_put_together_as_the_kernel_does(
    entries: list[int], groups: list[tuple[int, int, int]]
) -> None:
    assert groups_of(entries) == groups


def test_a_full_ring_is_harvested_reset_and_entered_again() -> None:
    ops = [step.op for step in [*logged("ring", "2m", 512), touch(0, 1, 300)]]
    # 256 entries less 64 reserved: full at 192; its last page is armed again before the write retires.
    assert billed(document(ops, mode="ring"))[3] == {
        "run": 2,
        "guest_write": 300,
        "fault_fast": 301,
        "ring_push": 301,
        "collect_entry": 192,
        "collect_first": 1,
        "ring_reset": 1,
        "ring_flush": 1,
        "ring_word": 3,
        "ring_page": 192,
        "walk": 189,
    }


def test_clear_tells_asked_clean_and_idle_words_apart() -> None:
    steps = [*logged("manual", "2m", 512), touch(0, 64, 2), clear(0, 512), clear(0, 512, "list", listed=[3, 70])]
    found = billed(document([step.op for step in steps], mode="manual"))
    assert found[4] == {
        "clear": 1,
        "clear_idle_word": 8,
        "clear_clean_word": 6,
        "clear_flush": 1,
        "clear_word": 2,
        "clear_page": 2,
    }
    assert found[5] == {"clear": 1, "clear_idle_word": 8, "clear_clean_word": 2}


def test_a_total_is_the_sum_of_its_bill() -> None:
    bill = Counter({"run": 2, "guest_write": 10, "fault_slow": 3})
    by_hand = 2 * lookup("run", (6, 12)).value + 70 + 3 * lookup("fault_slow", (6, 12)).value
    assert total(bill, (6, 12)) == round(by_hand)
    assert total(Counter(), (6, 12)) == 0


def test_a_bad_file_has_its_error_in_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(document([step.op for step in logged("legacy", "2m", 512)])))
    bad.write_text("{")
    assert main(["instructions", str(good), str(bad), str(tmp_path / "none.json"), str(good)]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == lines[3]
    assert [each["op"] for each in lines[0]["ops"]] == ["slot", "write", "enable"]
    assert set(lines[1]) == set(lines[2]) == {"file", "error"}
    assert lines[1]["file"] == str(bad)


def test_good_files_alone_end_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instructions", str(KINDS[0])]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == read_document(KINDS[0])["name"]
