"""The export of a Recording to a folder of Parquet files; it needs the extra `frames`."""

from __future__ import annotations

from pathlib import Path

from mmuviz.exports.folder import write_folder
from mmuviz.recording.flat import FlatColumn
from mmuviz.recording.frames import arrow_of, required
from mmuviz.recording.recording import Recording


def write_parquet(recording: Recording, folder: Path) -> None:
    """Write one Parquet file per table, and header.json.

    Args:
        recording: the Recording.
        folder: a folder that is new, empty, or of an earlier export.

    Raises:
        InputError: pyarrow is not installed; or see write_folder().
    """
    required("pyarrow")
    write_folder(recording, folder, ".parquet", _write_table)


def _write_table(path: Path, columns: dict[str, FlatColumn]) -> None:
    required("pyarrow.parquet").write_table(arrow_of(columns), path)
