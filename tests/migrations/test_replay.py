"""`mmuviz replay` prints a migration with the loop's own calls, in the recorded form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmuviz.cli import main
from mmuviz.studies.migrations.replay import replayed_migration
from tests.migrations.files import FILES, FOLDER, read, short_name


@pytest.mark.parametrize("path", FILES, ids=short_name)
def test_the_answer_is_the_recording(path: Path) -> None:
    document = read(path)
    assert replayed_migration(document) == document


def test_a_changed_value_is_answered_as_the_loop_has_it() -> None:
    document = read(FOLDER / "thp_eager_seq64__k6.12_q10.0.json.gz")
    events = document["events"]
    chunk, clear, write = (
        next(at for at, event in enumerate(events) if event["op"] == op and event.get("last", op != "SEND"))
        for op in ("CHUNK", "CLEAR", "SEND")
    )
    events[chunk]["v"][3] += 5
    events[clear]["locks"] = 7
    events[write]["last"][1] -= 1
    right = read(FOLDER / "thp_eager_seq64__k6.12_q10.0.json.gz")["events"]
    rounds = document["rounds"]
    rounds[1]["gets"] += 1
    answer = replayed_migration(document)
    for at in (chunk, clear, write):
        assert answer["events"][at] == right[at]
    assert answer["rounds"][1]["gets"] == rounds[1]["gets"] - 1


def test_the_command_prints_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    document = read(FILES[0])
    at = next(at for at, event in enumerate(document["events"]) if event["op"] == "CLEAR")
    del document["events"][at]
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(document))
    assert main(["replay", str(FILES[0]), str(bad)]) == 1
    good, refused = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert good == read(FILES[0])
    assert refused["file"] == str(bad)
    assert refused["error"].startswith("cannot be replayed: event ")
