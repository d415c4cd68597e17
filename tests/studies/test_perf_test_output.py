"""Output of dirty_log_perf_test as measurements: surrounding text does not matter, and missing fields are requested."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.cli import main
from mmuviz.core.errors import InputError
from mmuviz.studies.perf_test_output import command_fields, rows_of

OUTPUT = """\
Test iterations: 2
Testing guest mode: PA-bits:ANY, VA-bits:48,  4K pages
guest physical test memory: [0x7bffffc000, 0x7fffffc000)
Random seed: 1
Populate memory time: 2.250000001s
Enabling dirty logging time: 0.000451670s

Iteration 1 dirty memory time: 1.051582140s
Iteration 1 get dirty log time: 0.000010510s
Iteration 1 clear dirty log time: 0.400421730s
Iteration 2 dirty memory time: 0.046593760s
Iteration 2 get dirty log time: 0.000002110s
Iteration 2 clear dirty log time: 0.000418020s
Disabling dirty logging time: 0.002948490s
Get dirty log over 2 iterations took 0.000012620s. (Avg 0.000006310s/iteration)
Clear dirty log over 2 iterations took 0.400839750s. (Avg 0.200419875s/iteration)
"""
COMMAND = "./dirty_log_perf_test -v 16 -b 1G -s anonymous_hugetlb_1gb"
GIVEN = {"kernel": "6.12", "strategy": "eager", "cmd": COMMAND}
VALUES = {
    "populate_memory_time": 2.250000001,
    "enable_dirty_logging_time": 0.00045167,
    "iteration1_dirty_memory_time": 1.05158214,
    "iteration1_get_dirty_log_time": 0.00001051,
    "iteration1_clear_dirty_log_time": 0.40042173,
    "iteration2_dirty_memory_time": 0.04659376,
    "iteration2_get_dirty_log_time": 0.00000211,
    "iteration2_clear_dirty_log_time": 0.00041802,
    "disable_dirty_logging_time": 0.00294849,
}


def values_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {row["metric"]: row["value"] for row in rows}


def test_every_time_is_a_row_with_what_was_run() -> None:
    rows = rows_of(OUTPUT, GIVEN)
    assert values_of(rows) == VALUES
    assert {row["unit"] for row in rows} == {"s"}
    assert {row["strategy"] for row in rows} == {"eager"}
    assert rows[0]["workload"] == {
        "tool": "dirty_log_perf_test",
        "kernel": "6.12",
        "vcpus": 16,
        "mem_per_vcpu_mib": 1024,
        "backing": "hugetlb_1g",
        "mode": "manual_protect+initially_set",
        "write_pct": 100,
        "access": "sequential",
        "runs_while_disabling": False,
        "iterations": 2,
        "mmu": "tdp",
    }
    assert rows[0]["notes"] == "mmu=tdp is assumed"


@pytest.mark.parametrize("prefix", ["> ", ">> > ", "# ", "    ", "[  12.345678] ", "> # ", "| "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_stands_before_and_behind_its_lines_changes_nothing(prefix: str, end: str) -> None:
    quoted = end.join(f"{prefix}{line}" for line in [f"$ {COMMAND}", *OUTPUT.splitlines()])
    letter = f"On Tue, somebody wrote:{end}{quoted}{end}The 1.5 s are odd.{end}"
    given = {name: value for name, value in GIVEN.items() if name != "cmd"}
    assert rows_of(letter, given) == rows_of(OUTPUT, GIVEN)


def test_other_tests_of_a_kselftest_log_are_left_out() -> None:
    other = "# selftests: kvm: demand_paging_test\n# guest physical test memory: [0x0, 0x1000)\nok 1\n"
    log = f"{other}# selftests: kvm: dirty_log_perf_test\n" + "".join(f"# {line}\n" for line in OUTPUT.splitlines())
    again = "# selftests: kvm: access_tracking_perf_test\n# Populate memory time: 9.000000000s\n"
    assert rows_of(log + again, GIVEN) == rows_of(OUTPUT, GIVEN)


def test_several_runs_have_their_own_commands() -> None:
    text = f"$ {COMMAND}\n{OUTPUT}\n$ {COMMAND} -g -w 5\n{OUTPUT}"
    given = {"kernel": "6.12", "strategy": "lazy"}
    rows = rows_of(text, given)
    assert len(rows) == 2 * len(VALUES)
    first, second = rows[0]["workload"], rows[-1]["workload"]
    assert (first["mode"], first["write_pct"]) == ("manual_protect+initially_set", 100)
    assert (second["mode"], second["write_pct"]) == ("legacy(no manual protect)", 5)
    assert len({row["id"] for row in rows}) == len(rows)


def test_what_the_output_does_not_say_is_asked_for_by_name() -> None:
    with pytest.raises(InputError) as caught:
        rows_of(OUTPUT, {})
    said = str(caught.value)
    for name in ("kernel", "strategy", "vcpus", "backing", "write_pct", "access"):
        assert f"{name} (" in said
    assert "mode (" not in said  # a CLEAR was timed
    with pytest.raises(InputError, match=r"^does not say kernel"):
        rows_of(OUTPUT, {"strategy": "lazy", "cmd": COMMAND})


@pytest.mark.parametrize(
    ("output", "command", "given", "iterations"),
    [
        ("Test iterations: 7", COMMAND, {}, 7),
        ("", f"{COMMAND} -i 5", {}, 5),
        ("", COMMAND, {"iterations": "4"}, 4),
        ("", COMMAND, {}, None),
    ],
)
def test_iterations_are_those_of_the_run(
    output: str, command: str, given: dict[str, str], iterations: int | None
) -> None:
    text = f"{output}\nDisabling dirty logging time: 0.5s\n"
    (found,) = rows_of(text, {"kernel": "6.12", "strategy": "lazy", "cmd": command, **given})
    assert found["workload"].get("iterations") == iterations


def test_memory_is_that_of_its_range_where_no_command_says_it() -> None:
    given = {"kernel": "6.12", "strategy": "lazy", "backing": "4k", "vcpus": "8", "write_pct": "100"}
    rows = rows_of(OUTPUT, {**given, "access": "sequential"})
    assert rows[0]["workload"]["mem_per_vcpu_mib"] == 2048


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-v many", "-v='many' must be a whole number"),
        ("-b 10", "must be a size in whole MiB"),
        ("-s shmem", "the model has anonymous"),
        ("-n", "-n: the model has no such experiment"),
        ("-z 3", "it has no such option"),
        ("-v", "or its value is missing"),
        ("-w '5", "No closing quotation"),
    ],
)
def test_a_command_that_it_cannot_follow_is_refused(options: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        command_fields(options)
    assert said in str(caught.value)


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"has no line of dirty_log_perf_test"):
        rows_of(text, GIVEN)


@given(st.text(alphabet="-abeginsvwx 0123456789MG\"'\\", max_size=40))
def test_any_command_is_read_or_refused(options: str) -> None:
    with contextlib.suppress(InputError):
        found = command_fields(options)
        assert found["vcpus"] >= 0
        assert found["mem_per_vcpu_mib"] >= 1


def test_the_command_prints_rows_that_validate_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = OUTPUT.replace("[0x7bffffc000, 0x7fffffc000)", "[0x0, 0x4000000)")
    (tmp_path / "log").write_text(f"# {COMMAND} -v 2 -b 32M\n{small}")
    given = ["--set", "kernel=6.12", "--set", "strategy=lazy"]
    assert main(["import-perf-test", str(tmp_path / "log"), *given]) == 0
    (tmp_path / "rows.json").write_text(capsys.readouterr().out)
    assert main(["validate", str(tmp_path / "rows.json"), "--json"]) == 0
    points = json.loads(capsys.readouterr().out)
    assert len(points) == len(VALUES)
    assert all(each["covered"] for each in points), [each["reason"] for each in points]
    (assumed,) = {each["assumed"] for each in points}
    assert assumed.startswith(
        "host tdp_eager, the nearest profile: the row names none; assumed, as the row does not say"
    )
    assert "pml" in assumed
    assert "write_pct" not in assumed


def test_the_command_refuses_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("empty", b""), ("bytes", bytes(range(256)))):
        (tmp_path / name).write_bytes(content)
        assert main(["import-perf-test", str(tmp_path / name)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1
    assert main(["import-perf-test", str(tmp_path / "none")]) == 2
    assert main(["import-perf-test", str(tmp_path / "empty"), "--set", "vcpu=4"]) == 2
    assert "vcpu' is no field" in capsys.readouterr().err
