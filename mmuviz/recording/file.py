"""Recordings in files: `load(path)` reads what `Recording.save(path)` wrote."""

from __future__ import annotations

from pathlib import Path

from mmuviz.core.errors import InputError
from mmuviz.recording import content, gzip_file, whole_file
from mmuviz.recording.recording import Recording


def load(path: str | Path) -> Recording:
    """Read a Recording.

    Args:
        path: a file that `mmuviz run -o` or Recording.save() wrote.

    Returns:
        The Recording.

    Raises:
        InputError: the file cannot be read, is no Recording, or is damaged, cut short, too large or newer.
    """
    data = whole_file.read(Path(path))
    try:
        return from_bytes(data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def from_bytes(data: bytes) -> Recording:
    """Read a Recording from the bytes of its file.

    Args:
        data: the file.

    Returns:
        The Recording.

    Raises:
        InputError: see load().
    """
    header, tables = content.decode(gzip_file.decompress(data))
    return Recording(header, tables)


def to_bytes(recording: Recording) -> bytes:
    """The bytes of the file that Recording.save() writes."""
    return gzip_file.compress(recording.content())


def save(recording: Recording, path: str | Path) -> None:
    """See Recording.save()."""
    recording.save(path)
