"""A store of Recordings on disk, by run, up to a size limit. It may delete a Recording; it never returns a wrong one.

A file's name holds the key of the run and the content hash of its result. A reader computes both again from the
bytes, and deletes the file if they do not match. Any number of processes may share the folder: files appear as a
whole, by renaming, and a file that is deleted while it is read is read to its end.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError
from mmuviz.core.jit import PACKAGE, cache_folder, source_hash
from mmuviz.core.version import __version__
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.recorder import default_focus
from mmuviz.engine.run import spans_of
from mmuviz.recording import content, gzip_file, whole_file
from mmuviz.recording.header import Header
from mmuviz.recording.json_values import canonical_json
from mmuviz.recording.recording import Recording

FOLDER_ENV: Final = "MMUVIZ_RESULTS_DIR"
SUFFIX: Final = ".mmuviz"
LIMIT_BYTES: Final = 256 << 20
"""Limit of all files together; a Recording of the default guest takes 20 KB."""
MOST_FILES: Final = 4096
"""Limit of the number of files, so that listing the folder takes milliseconds."""
KEPT: Final = 4
"""Files that are kept regardless of the limit: those of one request, which its client is about to fetch."""
STALE_S: Final = 3600.0
"""Age after which an unfinished file counts as left over from a crash."""
STAMPED_ROOMS: Final = ("costs", "recording", "data")
"""Folders that decide a Recording, in addition to those with compiled code."""


class Entry(NamedTuple):
    """A file of the store.

    Attributes:
        path: path of the file.
        key: key of the run.
        hash: content hash of the Recording.
    """

    path: Path
    key: str
    hash: str


class Result(NamedTuple):
    """A Recording in the form that is sent.

    Attributes:
        hash: its content hash.
        data: the gzip file; checked against the hash.
    """

    hash: str
    data: bytes


@cache
def program_stamp() -> str:
    """Return a hash of the program that makes Recordings, 16 hex digits: each version has its own results."""
    digest = hashlib.sha256(source_hash().encode())
    for path in sorted(path for room in STAMPED_ROOMS for path in (PACKAGE / room).rglob("*.*")):
        if path.is_file() and path.suffix != ".pyc":
            digest.update(str(path.relative_to(PACKAGE)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _key(scenario: Mapping[str, Any], focus: Mapping[str, Any] | None, version: str, ledger: str) -> str:
    parts = [scenario, focus, version, ledger, program_stamp()]
    return hashlib.sha256(canonical_json(tuple(parts))).hexdigest()


def key_of(scenario: Scenario, focus: Focus | None) -> str:
    """Return the key of a run: a hash of its Scenario and Focus, the ledger, and the program that runs it.

    Args:
        scenario: the input of the run; its texts are hashed too, because the Recording contains them.
        focus: see run().

    Returns:
        64 hex digits.
    """
    seen = default_focus(spans_of(scenario)) if focus is None else focus
    document = None if seen is None else seen.model_dump(mode="json")
    return _key(scenario.as_document(), document, __version__, scenario.host.ledger_hash())


def key_of_header(header: Header) -> str:
    """Return the key of the run that made a Recording, from the Recording's header and this program."""
    document = header.document()
    return _key(document["scenario"], document["focus"], document["versions"]["mmuviz"], header.ledger_hash)


def results_folder() -> Path:
    """Return the folder of results: MMUVIZ_RESULTS_DIR, else a folder in the user's cache folder."""
    named = os.environ.get(FOLDER_ENV)
    return Path(named).expanduser() if named else cache_folder().parent / "results"


class ResultStore:
    """The Recordings in a folder.

    Attributes:
        folder: the folder; may be shared with other processes.
        limit_bytes: limit of all files together, except the newest KEPT.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = LIMIT_BYTES) -> None:
        """Make the folder if it does not exist.

        Args:
            folder: None for results_folder().
            limit_bytes: limit of the kept files, in bytes.

        Raises:
            InputError: the folder cannot be made or written to.
        """
        self.folder = results_folder() if folder is None else folder
        self.limit_bytes = limit_bytes
        program_stamp()  # hashed now, before the sources can change
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{FOLDER_ENV}: cannot make {self.folder}: {error.strerror}; name another one") from error
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise InputError(f"{FOLDER_ENV}: cannot write to {self.folder}; name another folder")

    def get(self, key: str) -> str | None:
        """Return the content hash of a run's Recording after checking its file; None if there is no file."""
        for entry in self._entries(f"{key}."):
            if self._checked(entry) is not None:
                return entry.hash
        return None

    def has(self, key: str, hash_: str) -> bool:
        """Whether a file of this key and hash exists; its content is not checked."""
        return self._path(key, hash_).exists()

    def data(self, hash_: str) -> Result | None:
        """Return the Recording with a content hash.

        Args:
            hash_: 64 hex digits; other text is accepted and finds nothing.

        Returns:
            Its bytes, checked; None if it is not stored.
        """
        for entry in self._entries(""):
            if entry.hash == hash_ and (data := self._checked(entry)) is not None:
                return Result(hash_, data)
        return None

    def put(self, key: str, recording: Recording) -> str:
        """Store a Recording; if the limit is reached, delete the least recently used ones.

        Args:
            key: key of the run that made it.
            recording: the result of the run.

        Returns:
            Its content hash.

        Raises:
            InputError: it cannot be written.
            ValueError: the key is that of another run.
        """
        if key_of_header(recording.header) != key:
            raise ValueError(f"the Recording {recording.hash} is not one of the run {key}")
        whole_file.write(self._path(key, recording.hash), gzip_file.compress(recording.content()))
        self.evict()
        return recording.hash

    def evict(self) -> None:
        """Delete files beyond the limit, least recently used first, and unfinished files that a crash left."""
        found = []
        for path in self._paths():
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        total, kept = 0, 0
        for used, size, path in sorted(found, reverse=True):
            if path.name.startswith("."):
                if used < time.time() - STALE_S:
                    _delete(path)
                continue
            total, kept = total + size, kept + 1
            if kept > KEPT and (total > self.limit_bytes or kept > MOST_FILES):
                total -= size
                _delete(path)

    def _path(self, key: str, hash_: str) -> Path:
        return self.folder / f"{key}.{hash_}{SUFFIX}"

    def _paths(self) -> list[Path]:
        """Return the file of every Recording, and files that are being written."""
        try:
            with os.scandir(self.folder) as listed:
                return [Path(each.path) for each in listed if SUFFIX in each.name]
        except OSError:
            return []

    def _entries(self, beginning: str) -> list[Entry]:
        found = []
        for path in self._paths():
            parts = path.name.split(".")
            if path.name.startswith(beginning) and len(parts) == 3 and parts[0]:
                found.append(Entry(path, parts[0], parts[1]))
        return found

    def _checked(self, entry: Entry) -> bytes | None:
        """Return the bytes of a file if they match its name; otherwise delete the file."""
        try:
            data = whole_file.read(entry.path)
            inside = gzip_file.decompress(data)
            header, _ = content.decode(inside)  # which checks the hash
            is_right = content.hash_of(inside) == entry.hash and key_of_header(header) == entry.key
        except InputError:
            is_right, data = False, b""
        if not is_right:
            _delete(entry.path)
            return None
        with contextlib.suppress(OSError):
            os.utime(entry.path)  # its time of use, for evict()
        return data


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
