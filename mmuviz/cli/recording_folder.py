"""A folder with one Recording per variant, written by `mmuviz compare -o`."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mmuviz.core.errors import InputError, short_repr

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording

SUFFIX: Final = ".mmuviz"
LONGEST_NAME: Final = 80


def file_names(labels: Sequence[str]) -> list[str]:
    """A file name for each label: its number and its text, e.g. "2-eager_in_clear-clear_chunk-64-GiB.mmuviz".

    Args:
        labels: labels of the variants.
    """
    stems = [re.sub(r"[^A-Za-z0-9_.]+", "-", label)[:LONGEST_NAME].strip("-.") for label in labels]
    return [f"{number}-{stem}{SUFFIX}" for number, stem in enumerate(stems, start=1)]


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Refuse an unsuitable folder before the runs, which may take long.

    Args:
        folder: new, empty, or with only files of these names.
        names: names of the files.

    Raises:
        InputError: the folder has other content, or its parent does not exist.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write {folder}: it is no folder; name a new one")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"cannot write {folder}: there is no folder {folder.parent}; make it, or name another one")
    others = sorted(each.name for each in folder.iterdir() if each.name not in names) if folder.exists() else []
    if others:
        raise InputError(
            f"{folder} holds other things, e.g. {short_repr(others[0])}; name a new or empty folder, or one of the "
            "same comparison before"
        )


def write_recordings(folder: Path, recordings: Mapping[str, Recording]) -> None:
    """Write Recordings to a folder; all are complete before the first one appears.

    Args:
        folder: see check_folder().
        recordings: file name -> Recording.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.absolute().name}.", dir=folder.absolute().parent))
        try:
            for name, recording in recordings.items():
                recording.save(beside / name)
            folder.mkdir(exist_ok=True)
            for name in recordings:
                (beside / name).replace(folder / name)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else short_repr(str(error))
        raise InputError(f"cannot write {folder}: {reason}; name a folder that you may write") from None
