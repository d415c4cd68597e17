"""Folders of CSV and Parquet files: every table is written or none, and files of others are kept."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it ships no types
import pytest
from hypothesis import given, settings

from mmuviz.core.errors import InputError
from mmuviz.exports.csv_tables import write_csv
from mmuviz.exports.parquet_tables import write_parquet
from mmuviz.recording.flat import FlatColumn
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import TABLES
from tests.recording.made_recordings import made_recording, recordings

WRITERS = {"csv": write_csv, "parquet": write_parquet}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@settings(max_examples=10)
@given(recordings())
def test_csv_and_parquet_hold_every_table(tmp_path_factory: pytest.TempPathFactory, recording: Recording) -> None:
    folder = tmp_path_factory.mktemp("out")
    write_csv(recording, folder / "csv")
    write_parquet(recording, folder / "parquet")
    for name in TABLES:
        table = recording.frame(name, kind="arrow")
        assert pq.read_table(folder / "parquet" / f"{name}.parquet").to_pydict() == table.to_pydict()
        rows = [{each: str(value) for each, value in row.items()} for row in table.to_pylist()]
        assert rows_of(folder / "csv" / f"{name}.csv") == rows


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    recording = made_recording()
    write_csv(recording, tmp_path / "a" / "b")
    document = json.loads((tmp_path / "a" / "b" / "header.json").read_text())
    assert document == {
        "hash": recording.hash,
        "header": recording.header.document(),
        "totals": recording.totals,
    }


@pytest.mark.parametrize("kind", WRITERS)
def test_only_an_export_before_is_replaced(kind: str, tmp_path: Path) -> None:
    write: Callable[[Recording, Path], None] = WRITERS[kind]
    write(made_recording(1), tmp_path / "out")
    write(made_recording(), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "header.json").read_text())["hash"] == made_recording().hash
    (tmp_path / "out" / "letter.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds other things, e\.g\. 'letter\.txt'; name a new or empty folder"):
        write(made_recording(1), tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="it is no folder; name a new one"):
        write(made_recording(), tmp_path / "file")
    with pytest.raises(InputError, match="cannot write"):
        write(made_recording(), tmp_path / "file" / "below")
    with pytest.raises(InputError, match="cannot write"):
        write(made_recording(), tmp_path / "a\0b")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "out"]


def test_an_interrupted_export_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FlatColumn, "decoded", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_csv(made_recording(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'mmuviz\[frames\]'"):
        write_parquet(made_recording(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
