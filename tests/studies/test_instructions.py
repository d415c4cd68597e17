"""`mmuviz instructions`: counts that add up, by rules worked out by hand, and bad files in their places."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmuviz.cli import main
from mmuviz.costs.ledger import COSTS, lookup
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.studies.instruction_counts import counts_of_ops
from mmuviz.studies.instructions import instructions, total
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


def counted(asked: dict[str, Any]) -> list[dict[str, int]]:
    return [dict(each) for each in counts_of_ops(asked)]


def small_pages(steps: list[dict[str, Any]], *, mode: str = "legacy", pages: int = 192) -> list[dict[str, int]]:
    slot = {"op": "slot", "backing": "4k", "base_gfn": 512, "pages": pages, "hva_offset_pages": 0}
    return counted(document([{**slot, "host_populated": True}, {"op": "enable"}, *steps], mode=mode, kernel="6.12"))


def write(*pages: int) -> dict[str, Any]:
    return {"op": "write", "vcpu": 0, "pages": list(pages)}


@pytest.mark.parametrize("path", KINDS, ids=short_name)
def test_every_op_has_its_price(path: Path) -> None:
    asked = read_document(path)
    answer = instructions(asked)
    assert answer["name"] == asked["name"]
    assert [each["op"] for each in answer["ops"]] == [op["op"] for op in asked["ops"]]
    assert all(type(each["instructions"]) is int and each["instructions"] >= 0 for each in answer["ops"])
    assert {name for each in counted(asked) for name in each} <= set(COSTS)


@pytest.mark.parametrize("path", KINDS, ids=short_name)
def test_the_recorded_answer_is_not_looked_at(path: Path) -> None:
    asked = read_document(path)
    bare = {**asked, "ops": [{key: value for key, value in op.items() if key != "after"} for op in asked["ops"]]}
    assert instructions(bare) == instructions(asked)


def test_eager_and_lazy_differ_where_they_should() -> None:
    ops = [step.op for step in [*logged("legacy", "2m", 1024), touch(0, 1, 600), touch(0, 1, 600)]]
    eager, lazy = counted(document(ops, kernel="6.12")), counted(document(ops, eager=False, kernel="6.12"))
    assert eager[2]["split_enable"] == 2
    assert eager[2]["protect_4k"] == 1024
    assert lazy[2] == {"enable": 1, "protect_huge": 2}
    assert eager[3] == {"run": 1, "guest_write": 600, "fault_fast": 600}
    assert lazy[3] == {"run": 1, "guest_write": 600, "fault_fast": 598, "fault_slow": 2, "fault_split_2m": 2}
    assert eager[4] == lazy[4] == {"run": 1, "guest_write": 600}


def test_before_6_2_a_lazy_fault_zaps_and_the_rest_is_mapped_again() -> None:
    ops = [step.op for step in [*logged("legacy", "2m", 512), touch(0, 1, 3)]]
    asked = counted(document([*ops, {"op": "disable"}], eager=False))
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
    refills = [each.get("cache_refill", 0) for each in counted(document(ops))[2:]]
    assert [index for index, filled in enumerate(refills) if filled] == [31, 67]
    assert {filled for filled in refills if filled} == {36}


def test_words_are_walked_to_the_next_present_entry() -> None:
    found = small_pages([write(20, 150), {"op": "get"}, write(3, 9, 70), {"op": "get"}])
    # From 3 to 9 (5 holes), then over 10 to 19 to the present 20; 70 stands alone: the walk ends with its word at 128.
    assert (found[5]["walk"], found[5]["hole"]) == (1, 15 + 57)
    assert found[5]["get_word"] == 2
    # A full table has no holes to walk over.
    full = small_pages([write(*range(192)), {"op": "get"}, write(3, 9), {"op": "get"}])
    assert (full[5]["walk"], full[5].get("hole", 0)) == (6, 0)


def test_a_word_ends_with_its_slot() -> None:
    # Pages 129 to 131 are the last ones of the slot.
    found = small_pages([write(128), {"op": "get"}], pages=132)
    assert found[3]["hole"] == 3


@pytest.mark.parametrize(
    ("entries", "groups"),
    [
        ([0], 1),
        ([5, 6, 68], 1),
        ([5, 69], 2),
        ([10, 8, 9], 1),
        ([0, 63, 1, 64], 2),
        ([40, 100, 20], 2),
    ],
)
def test_ring_entries_are_put_together_as_the_kernel_does(entries: list[int], groups: int) -> None:
    found = small_pages([write(*entries), {"op": "ring_collect"}, {"op": "ring_reset"}], mode="ring")
    assert found[2]["ring_push"] == found[3]["collect_entry"] == found[4]["ring_page"] == len(entries)
    assert found[4]["ring_word"] == groups


def test_the_shadow_mmu_is_counted_where_it_walks() -> None:
    ops = [step.op for step in [*logged("legacy", "2m", 1024), touch(0, 1, 600), touch(0, 1, 600)]]
    asked = document([*ops, {"op": "get"}], kernel="6.12")
    asked["config"]["tdp_mmu"] = False
    found = counted(asked)
    assert found[2] == {"enable": 1, "protect_huge": 2}
    assert found[3]["fault_zap_2m"] == found[3]["fault_table"] == 2
    assert found[3]["fault_map_4k_of_huge"] == 600
    assert found[5]["get_page"] == 600


def test_a_huge_host_page_is_zeroed_whole() -> None:
    slot = {"op": "slot", "base_gfn": 1 << 18, "pages": 1 << 18, "hva_offset_pages": 0, "host_populated": False}
    for backing, pages in (("thp", 1), ("hugetlb_1g", 512)):
        found = counted(document([{**slot, "backing": backing}, touch(0, 1, 1).op], kernel="6.12"))
        assert found[1]["host_fault_2m"] == pages


def test_a_full_ring_is_harvested_reset_and_entered_again() -> None:
    ops = [step.op for step in [*logged("ring", "2m", 512), touch(0, 1, 300)]]
    # 256 entries less 64 reserved: full at 192; its last page is armed again before the write retires.
    assert counted(document(ops, mode="ring"))[3] == {
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
    found = counted(document([step.op for step in steps], mode="manual"))
    assert found[4] == {
        "clear": 1,
        "clear_idle_word": 8,
        "clear_clean_word": 6,
        "clear_flush": 1,
        "clear_word": 2,
        "clear_page": 2,
    }
    assert found[5] == {"clear": 1, "clear_idle_word": 8, "clear_clean_word": 2}


def test_a_total_is_the_sum_of_its_counts() -> None:
    counts = Counter({"run": 2, "guest_write": 10, "fault_slow": 3})
    by_hand = 2 * lookup("run", (6, 12)).value + 70 + 3 * lookup("fault_slow", (6, 12)).value
    assert total(counts, (6, 12)) == round(by_hand)
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
