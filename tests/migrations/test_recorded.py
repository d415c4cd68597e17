"""The loop makes every call of every recording of real QEMU."""

from __future__ import annotations

import copy
import gzip
import json
from pathlib import Path

import pytest

from mmuviz.cli import main
from mmuviz.studies.migrations.verify import verify_migration
from tests.migrations.files import FILES, FOLDER, read, short_name
from tests.mmu.recording_files import FILES as OF_KVM


@pytest.mark.parametrize("path", FILES, ids=short_name)
def test_the_loop_is_exact(path: Path) -> None:
    assert [difference.line(path.name) for difference in verify_migration(read(path))] == []


def test_all_recordings_are_here() -> None:
    assert len(FILES) == 73


def test_the_command_says_how_many_are_exact(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(FOLDER)]) == 0
    assert capsys.readouterr().out == "73 of 73 migrations exact\n"


def test_recordings_of_kvm_are_counted_beside_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(FILES[0]), str(OF_KVM[0])]) == 0
    assert capsys.readouterr().out == "1 of 1 recordings exact\n1 of 1 migrations exact\n"


def test_a_difference_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = read(FOLDER / "thp_eager_seq64__k6.1_q7.2.json.gz")
    index = next(at for at, event in enumerate(document["events"]) if event["op"] == "CHUNK")
    document["events"][index]["v"][3] += 1
    path = tmp_path / "changed.json.gz"
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    assert main(["verify", str(path), str(FILES[0])]) == 1
    lines = capsys.readouterr().out.splitlines()
    field = "CHUNK [RAM block, first, pages, page]"
    values = "expected ['pc.ram', 0, 262144, 1], got ['pc.ram', 0, 262144, 0]"
    assert lines == [f"{path}: event {index} (CHUNK): {field}: {values}", "1 of 2 migrations exact"]


BAD = {
    "a later schema": {"schema": "qemu-migration/2"},
    "another QEMU": {"qemu": "5.0"},
    "no events": {"events": None},
    "an unknown op": {"events": [{"op": "PUT"}]},
    "a row that is too short": {"events": [{"op": "GET", "by": "x", "bql": 1, "locks": 1, "n": 1, "l": [[0]]}]},
    "runs of no form": {
        "events": [{"op": "GET", "by": "x", "bql": 1, "locks": 1, "n": 1, "l": [[0, 0, 1, [["a", 1]]]]}]
    },
    "a number that is none": {"events": [{"op": "RESET_RINGS", "by": "x", "bql": 1, "locks": True, "ret": 1}]},
    "a slot outside RAM": {"memslots_before_migration": [[0, 0, 1 << 24, 64, 0]]},
    "a slot of a third address space": {"memslots_before_migration": [[2, 0, 0, 64, 0]]},
    "a shift that is too small": {"config": {"glob": "-global migration.x-clear-bitmap-shift=3"}},
    "an unknown field": {"answers": []},
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_bad_migration_is_one_line(
    change: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = copy.deepcopy(read(FILES[0]))
    for name, value in change.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(document))
    assert main(["verify", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.err == ""
    lines = printed.out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{path}: ")
    assert lines[1] == "0 of 1 migrations exact"
