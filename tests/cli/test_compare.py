"""`mmuviz compare`: the same stream of accesses under several choices."""

import json
import re
from pathlib import Path

import pytest

from mmuviz.cli import baseline, main
from mmuviz.cli.progress import Progress
from mmuviz.cli.recording_folder import file_names, write_recordings
from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.json_document import json_document
from mmuviz.recording.file import load
from mmuviz.recording.recording import Recording
from mmuviz.studies import side_by_side
from mmuviz.studies.comparison import Comparison
from mmuviz.studies.policies import POLICIES
from mmuviz.studies.scenario_files import read_scenario
from mmuviz.studies.side_by_side import compare, run_all
from tests.cli.small_files import SMALL, VARIANTS, small_file
from tests.cli.test_advise import file as migrating
from tests.cli.test_run import Interrupted
from tests.recording.made_recordings import made_recording

Out = pytest.CaptureFixture[str]
COMPARISON = Comparison(Scenario.model_validate(SMALL), tuple(VARIANTS))


def test_it_prints_a_table(tmp_path: Path, capsys: Out) -> None:
    """Lazily, huge pages are split in faults; eagerly by the ioctl: four of them, at enable."""
    source = small_file(tmp_path, variants=VARIANTS, look_at="The stall.")
    assert main(["compare", str(source)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert lines[0] == "A small guest"
    assert lines[2].startswith("2 vCPUs, 8 MiB of guest memory, kernel 6.12, intel with PML")
    assert "manual_lazy" in printed.out.splitlines()[5]
    assert "eager_at_enable" in lines[5]
    rows = {line[:20].strip(): line[20:].split() for line in lines}
    assert rows["splits at enable"] == ["0", "4"]
    assert rows["enable, calls"] == ["1", "1"]
    assert any(line.startswith("Least stall of all vCPUs: eager_at_enable") for line in lines)
    assert lines[-1] == "Look at: The stall."
    assert max(map(len, lines)) <= 80


def test_json_is_what_run_prints_with_a_label(tmp_path: Path, capsys: Out) -> None:
    assert main(["compare", str(small_file(tmp_path, variants=VARIANTS)), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    expected = [{"label": label, **json_document(found)} for label, found in compare(COMPARISON).items()]
    assert shown == expected
    assert [list(each) for each in shown] == [["label", "hash", "scenario", "totals", "calls"]] * 2


@pytest.mark.parametrize(
    ("arguments", "labels"),
    [
        (["--policies", "lazy, ring_lazy"], ["lazy", "ring_lazy"]),
        (["--vary", "vm.kernel=6.1,6.12"], ["kernel 6.1", "kernel 6.12"]),
        (["--policies", "lazy,manual_lazy", "--set", "vm.kernel=6.1"], ["lazy", "manual_lazy"]),
    ],
)
def test_variants_come_from_the_command_line(
    arguments: list[str], labels: list[str], tmp_path: Path, capsys: Out
) -> None:
    source = small_file(tmp_path, variants=VARIANTS, memory=[{"size": "2 MiB"}])
    assert main(["compare", str(source), "--json", *arguments]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [each["label"] for each in shown] == labels
    if "--set" in arguments:
        assert {each["scenario"]["vm"]["kernel"] for each in shown} == {"6.1"}


def test_it_says_when_the_guest_does_something_else(tmp_path: Path, capsys: Out) -> None:
    source = small_file(tmp_path, memory=[{"size": "2 MiB"}])
    assert main(["compare", str(source), "--vary", "workload.write_percent=50,100"]) == 0
    assert "The guest does something else in each variant" in capsys.readouterr().out


def progress_of(text: str) -> list[str]:
    """The guest's progress in the migrations of a text."""
    return re.findall(r"guest progress +(.+?) without a migration", " ".join(text.split()))


def test_progress_in_migrations_is_that_which_run_prints(tmp_path: Path, capsys: Out) -> None:
    """Relative to the same guest without a migration, which is run once, as both variants are one guest."""
    source, expected = str(migrating(tmp_path, 20_000)), []
    for policy in ("lazy", "eager_in_clear"):
        assert main(["run", source, "--no-range", "--set", f"policy={policy}"]) == 0
        expected += progress_of(capsys.readouterr().out)
    assert main(["compare", source, "--no-range", "--policies", "lazy,eager_in_clear"]) == 0
    assert progress_of(capsys.readouterr().out) == expected
    assert len(expected) == 2
    assert main(["compare", source, "--no-range", "--no-baseline", "--policies", "lazy,eager_in_clear"]) == 0
    assert progress_of(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("changed", "guests"),
    [("--policies=lazy,ring_lazy,legacy_eager", 1), ("--vary=vm.kernel=6.1,6.12", 2), ("--vary=vm.vcpus=1,2", 2)],
)
def test_each_guest_is_run_once_without_its_migrations(
    changed: str, guests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    made: list[Scenario] = []

    def noted(_: object, some: tuple[Scenario, ...], *__: object) -> list[Recording]:
        made.extend(some)
        return run_all(some)

    monkeypatch.setattr(baseline, "run_side_by_side", noted)
    source = str(migrating(tmp_path))
    assert main(["compare", source, "--no-range", "--json", "--baseline", changed]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(made) == guests
    assert len({each["without_logging"]["hash"] for each in shown}) == guests
    assert all(each["without_logging"]["totals"]["end_ns"] >= each["totals"]["end_ns"] for each in shown)


@pytest.mark.parametrize("policy", list(POLICIES))
def test_a_guest_that_is_not_logged_is_the_same_under_every_policy(policy: str, tmp_path: Path) -> None:
    runs = []
    for each in ("lazy", policy):
        scenario = read_scenario(migrating(tmp_path, 20_000), {"policy": each})
        assert isinstance(scenario, Scenario)
        plain = baseline.baseline_of(scenario, 10**8)
        assert plain is not None
        runs.append((baseline.guest_of(scenario), run(plain)))
    (one, first), (other, second) = runs
    assert one == other
    assert (first.totals["accesses"], first.totals["end_ns"]) == (second.totals["accesses"], second.totals["end_ns"])


def test_baseline_needs_migrations(tmp_path: Path, capsys: Out) -> None:
    assert main(["compare", str(small_file(tmp_path, variants=VARIANTS)), "--baseline"]) == 2
    assert "--baseline of compare needs migrations" in capsys.readouterr().err


def test_the_recordings_are_written_and_replaced(tmp_path: Path, capsys: Out) -> None:
    folder = tmp_path / "new"
    source = small_file(tmp_path, variants=VARIANTS, memory=[{"size": "2 MiB"}])
    for _ in range(2):
        assert main(["compare", str(source), "--json", "-o", str(folder)]) == 0
        shown = json.loads(capsys.readouterr().out)
        names = ["1-manual_lazy.mmuviz", "2-eager_at_enable.mmuviz"]
        assert sorted(each.name for each in folder.iterdir()) == names
        assert [load(folder / name).hash for name in names] == [each["hash"] for each in shown]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["new", "small.json"]


def test_side_by_side_is_the_same_as_one_after_the_other() -> None:
    expected = [run(each) for each in COMPARISON.scenarios]
    for at_once in (1, 2, 4):
        assert run_all(COMPARISON.scenarios, at_once=at_once) == expected


def test_progress_is_reported_for_every_run() -> None:
    times: dict[int, list[int]] = {0: [], 1: []}
    found = run_all(COMPARISON.scenarios, progress=lambda index, time_ns, _: times[index].append(time_ns))
    for index, recording in enumerate(found):
        assert times[index] == sorted(times[index])
        assert 0 < times[index][-1] <= recording.totals["end_ns"]


def test_the_first_failure_ends_the_other_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one would go on for ever: only its being abandoned ends it."""
    ended = []

    def failing(scenario: Scenario, focus: object, *, progress: object) -> object:
        if scenario is COMPARISON.scenarios[1]:
            raise InputError("it fails")
        assert callable(progress)
        try:
            while True:
                progress(1, 1)
        finally:
            ended.append(focus)

    monkeypatch.setattr(side_by_side, "run", failing)
    with pytest.raises(InputError, match="it fails"):
        run_all(COMPARISON.scenarios)
    assert ended == [None]


def test_the_simulated_time_of_the_bar_only_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants run side by side: the time of one and then of the other would jump to and fro."""
    shown: list[int] = []
    monkeypatch.setattr(Progress, "update", lambda _, _share, simulated_ns: shown.append(simulated_ns))
    assert main(["compare", str(small_file(tmp_path, variants=VARIANTS)), "--json"]) == 0
    assert len(shown) > 2
    assert shown == sorted(shown)


def test_ctrl_c_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    monkeypatch.setattr("mmuviz.cli.runs.Progress", Interrupted)
    source = small_file(tmp_path, variants=VARIANTS)
    assert main(["compare", str(source), "-o", str(tmp_path / "new")]) == 130
    assert capsys.readouterr().out == ""
    assert list(tmp_path.iterdir()) == [source]


def test_a_folder_that_cannot_be_written_is_refused_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mmuviz.recording.recording.Recording.save", full)
    with pytest.raises(InputError, match="No space left on device; name a folder that you may write"):
        write_recordings(tmp_path / "new", {"1-a.mmuviz": made_recording()})
    assert list(tmp_path.iterdir()) == []


def test_names_of_files_are_plain() -> None:
    labels = ["eager_in_clear, clear_chunk 64 GiB", "kernel 6.1", "../µ", "x" * 200]
    assert file_names(labels) == [
        "1-eager_in_clear-clear_chunk-64-GiB.mmuviz",
        "2-kernel-6.1.mmuviz",
        "3-.mmuviz",
        f"4-{'x' * 80}.mmuviz",
    ]


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ("foo", "--policies='foo' must be one of lazy, "),
        ("lazy,lasy", "; did you mean lazy?"),
        ("lazy", "--policies='lazy' names 1 of them; compare needs 2 to 4, e.g. lazy,eager_at_enable"),
        (",".join(list(POLICIES)[:5]), " names 5 of them; compare needs 2 to 4"),
    ],
)
def test_what_compare_cannot_compare_is_named(policies: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "running-guest", "--policies", policies]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1
