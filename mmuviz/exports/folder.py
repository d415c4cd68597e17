"""The folder of an export to CSV or Parquet: one file per table."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.recording.flat import FlatColumn, flat_columns
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import TABLES

HEADER_FILE: Final = "header.json"
WriteTable = Callable[[Path, dict[str, FlatColumn]], None]


def write_folder(recording: Recording, folder: Path, suffix: str, write: WriteTable) -> None:
    """Write one file per table, and header.json with hash, header and totals.

    The files are written to a temporary folder next to `folder`, and moved when all are complete.

    Args:
        recording: the Recording.
        folder: a folder that is new, empty, or of an earlier export of the same kind.
        suffix: suffix of the tables' files, with the dot.
        write: function that writes one table to a path.

    Raises:
        InputError: the folder has other content, or cannot be written.
    """
    names = {HEADER_FILE, *(f"{table}{suffix}" for table in TABLES)}
    try:
        _check_free(folder, names)
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.absolute().name}.", dir=folder.absolute().parent))
        try:
            for table in TABLES:
                write(beside / f"{table}{suffix}", flat_columns(recording, table))
            (beside / HEADER_FILE).write_text(_header_text(recording), encoding="utf-8")
            folder.mkdir(exist_ok=True)
            for name in sorted(names):
                (beside / name).replace(folder / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else short_repr(str(error))
        raise InputError(f"cannot write {folder}: {reason}; name a folder that you may write") from None


def _check_free(folder: Path, names: set[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write {folder}: it is no folder; name a new one")
    others = sorted(each.name for each in folder.iterdir() if each.name not in names) if folder.exists() else []
    if others:
        raise InputError(
            f"{folder} holds other things, e.g. {short_repr(others[0])}; name a new or empty folder, or one of an "
            "export before"
        )


def _header_text(recording: Recording) -> str:
    document = {"hash": recording.hash, "header": recording.header.document(), "totals": recording.totals}
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
