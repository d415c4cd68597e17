"""`mmuviz show` and `mmuviz export`."""

import json
from pathlib import Path

import pytest

from mmuviz.cli import main
from mmuviz.exports.summary import summary_of
from tests.recording.made_recordings import made_recording


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    made_recording().save(tmp_path / "out.mmuviz")
    return tmp_path / "out.mmuviz"


def test_show_prints_the_summary(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(saved)]) == 0
    assert capsys.readouterr().out == summary_of(made_recording())


def test_show_prints_json(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(saved), "--json"]) == 0
    shown, recording = json.loads(capsys.readouterr().out), made_recording()
    assert list(shown) == ["hash", "scenario", "totals", "calls"]
    assert (shown["hash"], shown["totals"]) == (recording.hash, recording.totals)
    assert shown["scenario"] == recording.header.document()["scenario"]
    calls = shown["calls"]
    assert [each["kind"] for each in calls[:3]] == ["enable", "get", "clear"]
    assert calls[1]["end_ns"] == (int(recording.calls.end_ps[1]) + 500) // 1000
    assert not any(name.endswith("_ps") for name in calls[0])
    assert {"vcpu", "hold_ns", "wait_ns", "reported_pages", "table_pages"} <= set(calls[0])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_export_writes_a_folder(kind: str, saved: Path, tmp_path: Path) -> None:
    assert main(["export", str(saved), f"--{kind}", str(tmp_path / "tables")]) == 0
    assert (tmp_path / "tables" / f"bins.{kind}").is_file()
    assert json.loads((tmp_path / "tables" / "header.json").read_text())["hash"] == made_recording().hash


def test_export_writes_a_trace_and_replaces_it(saved: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["export", str(saved), "--perfetto", str(tmp_path / "trace.json")]) == 0
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "the following arguments are required: OUT"),
        (["show", ""], "'' must name a file or a folder"),
        (["show", "none"], "cannot read none: No such file or directory; name a file"),
        (["show", "letter.txt"], "letter.txt: it is no Recording of mmuviz; name a file that `mmuviz run -o`"),
        (["export", "out.mmuviz"], "one of the arguments --csv --parquet --perfetto is required"),
        (["export", "out.mmuviz", "--csv", "a", "--parquet", "b"], "not allowed with argument --csv"),
        (["export", "out.mmuviz", "--csv", "."], "holds other things, e.g. 'letter.txt'; name a new or empty folder"),
        (["export", "out.mmuviz", "--csv", "letter.txt"], "it is no folder; name a new one"),
        (["export", "out.mmuviz", "--perfetto", "out.mmuviz"], "holds something else than a trace of mmuviz"),
        (["export", "out.mmuviz", "--perfetto", "."], "it is a folder; name a file in it"),
        (["export", "letter.txt", "--csv", "new"], "it is no Recording"),
    ],
)
@pytest.mark.usefixtures("saved")
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("letter.txt").write_text("mine")
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["letter.txt", "out.mmuviz"]
    assert Path("letter.txt").read_text() == "mine"
