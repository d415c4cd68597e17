"""The export of a Recording to a folder of CSV files."""

from __future__ import annotations

import csv
from pathlib import Path

from mmuviz.exports.folder import write_folder
from mmuviz.recording.flat import FlatColumn
from mmuviz.recording.recording import Recording


def write_csv(recording: Recording, folder: Path) -> None:
    """Write one CSV file per table, and header.json.

    Args:
        recording: the Recording.
        folder: a folder that is new, empty, or of an earlier export.

    Raises:
        InputError: see write_folder().
    """
    write_folder(recording, folder, ".csv", _write_table)


def _write_table(path: Path, columns: dict[str, FlatColumn]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*(column.decoded() for column in columns.values()), strict=True))
