"""The model answers every recording of real KVM exactly."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from mmuviz.cli import main
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.studies.verify import verify_command, verify_document
from tests.mmu.recording_files import FILES, short_name


@pytest.mark.parametrize("path", FILES, ids=short_name)
def test_the_model_is_exact(path: Path) -> None:
    assert [difference.line(path.name) for difference in verify_document(read_document(path))] == []


def test_all_recordings_are_here() -> None:
    # 1036 were made; a folder that lost some would still be "all exact".
    assert len(FILES) == 1036


def test_the_command_ends_with_how_many_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    few = [str(path) for path in FILES if path.name.startswith("G_clear_firstpage_of_2M")]
    assert len(few) >= 4
    assert main(["verify", *few]) == 0
    assert capsys.readouterr().out == f"{len(few)} of {len(few)} recordings exact\n"


def test_a_folder_stands_for_the_recordings_in_it(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for path in FILES[-3:]:
        (inner / path.name).write_bytes(path.read_bytes())
    (inner / "notes.txt").write_text("no recording")
    out = io.StringIO()
    assert verify_command([tmp_path], out) == 0
    assert out.getvalue() == "3 of 3 recordings exact\n"


def test_as_json_it_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [str(path) for path in FILES if path.name.startswith("G_clear_firstpage_of_2M")]
    (tmp_path / "bad.json").write_text("{")
    assert main(["verify", "--json", *few, str(tmp_path / "bad.json")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["recordings"] == {"exact": len(few), "of": len(few) + 1}
    assert [each["exact"] for each in found["files"]] == [True] * len(few) + [False]
    assert main(["verify", *few, str(tmp_path / "bad.json")]) == 1
    assert found["files"][-1]["differences"] == capsys.readouterr().out.splitlines()[:-1]
