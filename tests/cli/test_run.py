"""`mmuviz run`: a file in, a summary, JSON or a Recording out."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from mmuviz.cli import main, progress
from mmuviz.core.pages import PG_LEVEL_2M
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.json_document import json_document
from mmuviz.exports.summary import summary_of
from mmuviz.recording.file import load
from mmuviz.studies.estimate import cost_of, share_done
from tests.cli.small_files import SMALL, VARIANTS, small_file
from tests.cli.test_progress import Terminal

Out = pytest.CaptureFixture[str]
PASSES = {"kind": "dirty_log_perf_test", "iterations": 1}


def test_it_prints_the_summary_and_writes_the_recording(tmp_path: Path, capsys: Out) -> None:
    out = tmp_path / "out.mmuviz"
    assert main(["run", str(small_file(tmp_path, driver=PASSES)), "-o", str(out)]) == 0
    expected = run(Scenario.model_validate({**SMALL, "driver": PASSES}))
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (summary_of(expected), "")
    assert load(out) == expected


def test_it_prints_json(tmp_path: Path, capsys: Out) -> None:
    assert main(["run", str(small_file(tmp_path)), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert list(shown) == ["hash", "scenario", "totals", "calls"]
    assert shown == json_document(run(Scenario.model_validate(SMALL)))


@pytest.mark.parametrize(
    ("arguments", "compared"),
    [
        ([], True),
        (["--no-baseline"], False),
        (["--json"], False),
        (["--json", "--baseline"], True),
        (["--set", "driver.tail=0", "--set", "driver.lead=0"], False),
        (["--set", "driver.kind=dirty_log_perf_test", "--set", "driver.iterations=1"], False),
    ],
)
def test_a_guest_that_runs_on_is_compared_with_one_without_logging(
    arguments: list[str], *, compared: bool, tmp_path: Path, capsys: Out
) -> None:
    """5 million accesses a second and vCPU, which nothing slows down without logging."""
    assert main(["run", str(small_file(tmp_path)), *arguments]) == 0
    shown = capsys.readouterr().out
    assert ("without logging" in shown or "without_logging" in shown) == compared
    if compared and "--json" in arguments:
        document = json.loads(shown)
        plain = document["without_logging"]
        assert plain["totals"]["end_ns"] == document["totals"]["end_ns"]
        assert plain["scenario"]["driver"]["kind"] == "without_logging"
        assert sum(each["calls"] for each in plain["totals"]["ioctls"].values()) == 0
    elif compared:
        assert "million/s without logging" in " ".join(shown.split())


def test_a_long_second_run_is_made_only_when_it_is_asked_for(
    tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmuviz.cli.baseline.CHEAP_SECONDS", -1.0)
    for option, said in (([], False), (["--baseline"], True)):
        assert main(["run", str(small_file(tmp_path)), *option]) == 0
        assert ("without logging" in capsys.readouterr().out) == said


def test_fields_are_changed(tmp_path: Path, capsys: Out) -> None:
    changes = ["--set", "vm.kernel=6.1", "--set", "memory[0].size=4 MiB", "--set", "policy=legacy_lazy"]
    assert main(["run", str(small_file(tmp_path)), "--json", *changes]) == 0
    scenario = json.loads(capsys.readouterr().out)["scenario"]
    assert (scenario["vm"]["kernel"], scenario["memory"][0]["size"]) == ("6.1", 4 << 20)
    assert (scenario["vm"]["dirty_log_mode"], scenario["vm"]["eager_page_split"]) == ("legacy", False)


def test_of_a_comparison_the_base_is_run(tmp_path: Path, capsys: Out) -> None:
    assert main(["run", str(small_file(tmp_path, variants=VARIANTS)), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json_document(run(Scenario.model_validate(SMALL)))
    assert printed.err.count("\n") == 1
    assert "has 2 variants; this runs what they have in common, mmuviz compare runs them" in printed.err


MODES = [{"vm.dirty_log_mode": "manual"}, {"vm.dirty_log_mode": "legacy"}]


@pytest.mark.parametrize("chosen", ["policy=lazy", "policy=legacy_eager", "vm.dirty_log_mode=manual"])
def test_no_word_is_said_of_variants_where_one_was_chosen(chosen: str, tmp_path: Path, capsys: Out) -> None:
    source = str(small_file(tmp_path, variants=MODES))
    assert main(["run", source, "--set", chosen, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_another_choice_leaves_the_variants_open(tmp_path: Path, capsys: Out) -> None:
    source = str(small_file(tmp_path, variants=MODES))
    assert main(["run", source, "--set", "vm.kernel=6.1", "--json"]) == 0
    assert "has 2 variants; this runs what they have in common, mmuviz compare runs them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("chosen", "variants"),
    [
        ("vm.pml=false", [{"policy": "lazy"}, {"policy": "lazy", "vm.pml": False}]),
        ("vm.kernel=5.17", [{"policy": "lazy"}, {"policy": "eager_at_enable"}]),
    ],
    ids=["two_alike", "one_contradicts"],
)
def test_variants_that_are_not_run_may_be_at_odds_with_a_choice(
    chosen: str, variants: list[dict[str, object]], tmp_path: Path, capsys: Out
) -> None:
    source = str(small_file(tmp_path, variants=variants))
    assert main(["run", source, "--set", chosen, "--json"]) == 0
    assert main(["compare", source, "--set", chosen, "--policies", "lazy,legacy_lazy", "--json"]) == 0
    capsys.readouterr()
    assert main(["compare", source, "--set", chosen]) == 2


def test_a_focus_keeps_its_events_alone(tmp_path: Path) -> None:
    out = tmp_path / "out.mmuviz"
    source = str(small_file(tmp_path, driver=PASSES))
    assert main(["run", source, "-o", str(out), "--focus", "0x100200:512"]) == 0
    recording = load(out)
    assert recording.header.focus is not None
    inside = recording.events.gfn[recording.events.level <= PG_LEVEL_2M]  # entries above cover other pages as well
    assert set((inside // 512).tolist()) == {0x100200 // 512}
    assert recording.totals == run(Scenario.model_validate({**SMALL, "driver": PASSES})).totals


MISTAKES: list[tuple[list[str], str]] = [
    (["run"], "the following arguments are required: FILE_OR_NAME"),
    (["run", ""], "'' must name a file or a packaged scenario"),
    (["run", "runing-guest"], "did you mean running-guest?"),
    (["run", "no.toml"], "cannot be read"),
    (["run", "letter.txt"], "letter.txt"),
    (["run", "small.json", "--set", "vm.kernel"], "--set 'vm.kernel' must be FIELD=VALUE, e.g. --set vm.kernel=6.1"),
    (["run", "small.json", "--set", "=1"], "--set '=1' must be FIELD=VALUE"),
    (["run", "small.json", "--set", "vm.kernle=6.1"], "did you mean kernel?"),
    (["run", "small.json", "--set", "vm.vcpus=0"], "vm.vcpus=0 must be"),
    (["run", "small.json", "--set", "memory[3].size=1 MiB"], "memory[3] is not there"),
    (["run", "small.json", "--set", "policy=lazzy"], "did you mean lazy?"),
    (
        ["run", "small.json", "--set", "driver.kind=qemu_precopy", "--set", "vm.dirty_log_mode=ring_initially_set"],
        "never asked for by QEMU",
    ),
    (["run", "small.json", "--focus", "all"], "focus='all' must be FIRST:PAGES[@FROM..TO]"),
    (["run", "small.json", "--focus", "0:99999"], "focus='0:99999': pages=99999 must be 1 to 16384"),
    (["run", "small.json", "--limit-seconds", "0"], "--limit-seconds='0' must be a number above 0"),
    (["run", "small.json", "--limit-seconds", "nan"], "--limit-seconds='nan' must be a number above 0"),
    (["run", "small.json", "--limit-memory", "4 gb"], "--limit-memory='4 gb' must be a number with a unit"),
    (["run", "small.json", "--limit-memory", "4 MiB"], "or raise the limit: --limit-memory 1GiB"),
    (["run", "small.json", "--set", "driver.tail=9s", "--limit-seconds", ".1"], "raise the limit: --limit-seconds 2"),
    (["run", "small.json", "--set", "memory[0].size=6 TiB", "--limit-memory", "2GiB"], "GiB of memory and"),
    (["run", "small.json", "-o", "."], "cannot write .: it is a folder; name a file in it"),
    (["run", "small.json", "-o", "no/out"], "cannot write no/out: there is no folder no"),
    (["run", "small.json", "-o", ""], "'' must name a file"),
    (["run", "passes.json", "--baseline"], "--baseline needs a guest that runs on"),
    (["compare"], "the following arguments are required: FILE_OR_NAME"),
    (
        ["compare", "small.json"],
        "small.json has no variants; say what to compare, e.g. --policies lazy,eager_at_enable",
    ),
    (["compare", "small.json", "--policies", "lazy"], "--policies='lazy' names 1 of them; compare needs 2 to 4"),
    (["compare", "small.json", "--policies", "lazy,lazzy"], "did you mean lazy?"),
    (["compare", "small.json", "--policies", "lazy,"], "--policies='' must be one of lazy"),
    (["compare", "small.json", "--policies", "lazy,lazy"], "is the same as"),
    (["compare", "small.json", "--vary", "vm.kernel"], "must be FIELD=VALUE,VALUE,…"),
    (["compare", "small.json", "--vary", "vm.kernel=6.1,5.0"], "5.0"),
    (["compare", "small.json", "--vary", "vm.kernel=6.1,6.12,6.18", "--policies", "lazy,legacy_lazy"], "variants=6"),
    (
        ["compare", "small.json", "--policies", "lazy,manual_lazy", "-o", "small.json"],
        "it is no folder; name a new one",
    ),
    (["compare", "small.json", "--policies", "lazy,manual_lazy", "-o", "."], "holds other things, e.g. 'letter.txt'"),
    (["compare", "small.json", "--policies", "lazy,manual_lazy", "-o", "no/new"], "there is no folder no"),
    (["compare", "small.json", "--policies", "lazy,manual_lazy", "--limit-memory", "4 MiB"], "--limit-memory 1GiB"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.chdir(tmp_path)
    small_file(tmp_path, driver=PASSES).rename("passes.json")
    small_file(tmp_path)
    Path("letter.txt").write_text("mine")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mmuviz: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["letter.txt", "passes.json", "small.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--focus", "all"],
        ["--focus", "0:512"],
        ["--focus", "0x100000:512@20ms..10ms"],
        ["--limit-seconds", "nan"],
        ["--limit-memory", "4 MiB"],
        ["--baseline", "--set", "driver.kind=dirty_log_perf_test"],
        ["-o", "no/out"],
    ],
)
def test_a_mistake_is_one_line_in_a_file_with_variants_too(arguments: list[str], tmp_path: Path, capsys: Out) -> None:
    """A mistake stops the command before its first run, so no line on the variants' common fields is printed."""
    assert main(["run", str(small_file(tmp_path, variants=VARIANTS)), *arguments]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "variants" not in printed.err


def test_an_op_that_is_refused_is_one_line(tmp_path: Path, capsys: Out) -> None:
    """The list is checked as the run goes: memory is written before it is there."""
    driver = {"kind": "listed_ops", "ops": [{"op": "write", "vcpu": 0, "pages": [0]}]}
    path = tmp_path / "ops.json"
    path.write_text(json.dumps({"driver": driver}))
    assert main(["run", str(path)]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert "ops.json: driver.ops[0]" in printed.err


class Interrupted(progress.Progress):
    """Ctrl-C in the middle of the run."""

    def update(self, share: float, simulated_ns: int) -> None:
        if share > 0.5 and simulated_ns > 0:
            raise KeyboardInterrupt


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr("mmuviz.cli.run.Progress", Interrupted)
    source = small_file(tmp_path)
    assert main(["run", str(source), "-o", str(tmp_path / "out.mmuviz")]) == 130
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == [source]


def test_a_long_run_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress, "AFTER_S", 0)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["run", str(small_file(tmp_path)), "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert "simulated" in terminal.getvalue()


@pytest.mark.parametrize("driver", [SMALL["driver"], PASSES])
def test_the_share_that_is_done_grows_to_all_of_it(driver: dict[str, Any]) -> None:
    scenario = Scenario.model_validate({**SMALL, "driver": driver})
    shares: list[float] = []
    cost = cost_of(scenario)
    with_progress = run(scenario, progress=lambda *now: shares.append(share_done(cost, *now)))
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.5
    assert 0.9 < shares[-1] <= 1
    assert with_progress == run(scenario)


def test_a_trace_that_ends_before_the_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time_ns,vcpu,gfn,access\n0,0,0x100000,w\n1500,0,0x100001,w\n")
    text = (
        f'[vm]\nvcpus = 1\n[[memory]]\nsize = "4 MiB"\n[workload]\npattern = "trace"\nfile = "{trace}"\n'
        '[driver]\nkind = "enable_only"\nlead = "{}"\ntail = "{}"\n'
    )
    (tmp_path / "long.toml").write_text(text.format("1 us", "1 ms"))
    assert main(["run", str(tmp_path / "long.toml")]) == 0
    assert "The trace ends 1.50 µs after the guest's start" in " ".join(capsys.readouterr().out.split())
    trace.write_text("time_ns,vcpu,gfn,access\n0,0,0x100000,w\n5000000,0,0x100001,w\n")
    (tmp_path / "short.toml").write_text(text.format("1 us", "1 us"))
    assert main(["run", str(tmp_path / "short.toml")]) == 0
    assert "The trace" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vcpus", "traced", "said"),
    [
        (1, (0,), ""),
        (2, (0, 1), ""),
        (
            4,
            (0, 1),
            "The trace has accesses of 2 of the guest's 4 vCPUs, and the others make none; vm.vcpus=2 has only",
        ),
        (3, (0, 2), "The trace has accesses of 2 of the guest's 3 vCPUs, and the others make none."),
    ],
)
def test_a_trace_of_fewer_vcpus_than_the_guest_has_is_said(
    vcpus: int, traced: tuple[int, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"{at * 1000},{vcpu},{0x100000 + at:#x},w" for at, vcpu in enumerate(traced)]
    trace = tmp_path / "trace.csv"
    trace.write_text("\n".join(["time_ns,vcpu,gfn,access", *lines, ""]))
    (tmp_path / "guest.toml").write_text(
        f'[vm]\nvcpus = {vcpus}\n[[memory]]\nsize = "4 MiB"\n[workload]\npattern = "trace"\nfile = "{trace}"\n'
        '[driver]\nkind = "enable_only"\nlead = "1 us"\ntail = "1 us"\n'
    )
    for command in (["run"], ["compare", "--policies", "lazy,manual_lazy"]):
        assert main([command[0], str(tmp_path / "guest.toml"), *command[1:]]) == 0
        text = " ".join(capsys.readouterr().out.split())
        assert said in text
        assert ("of the guest's" in text) == bool(said)
