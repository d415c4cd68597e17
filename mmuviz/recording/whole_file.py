"""Files that are read within bounds and written as a whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.regular_file import open_regular

MAX_FILE_BYTES: Final = 1 << 27


def read(path: Path) -> bytes:
    """The bytes of a file, of at most MAX_FILE_BYTES.

    Raises:
        InputError: it cannot be read, is no regular file, or is larger.
    """
    try:
        with open_regular(path) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except InputError as error:
        raise InputError(f"{path} {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}; name a file that `mmuviz run -o` wrote") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(
            f"{path} has more than {MAX_FILE_BYTES >> 20} MiB, and no Recording has; name a file that "
            "`mmuviz run -o` wrote"
        )
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a temporary file in the same folder is renamed to it.

    Args:
        path: replaced if it exists.
        data: the new content.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    check_place(path)
    try:
        path = path.resolve()  # through links, which are kept
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else short_repr(str(error))
        raise InputError(f"cannot write {path}: {reason}; name a file in a folder that you may write") from None


def check_place(path: Path) -> None:
    """Refuse a path where no file can be written, or where something else exists that must not be replaced.

    Raises:
        InputError: the path is a folder or a device, a dangling link, or its folder does not exist.
    """
    try:
        target = path.resolve()
        mode = target.stat().st_mode if target.exists() else None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else short_repr(str(error))
        raise InputError(f"cannot write {path}: {reason}; name another file") from None
    if mode is None and path.is_symlink():
        raise InputError(f"cannot write {path}: it is a link that leads nowhere; name another file")
    if mode is not None and stat.S_ISDIR(mode):
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    if mode is not None and not stat.S_ISREG(mode):
        raise InputError(f"cannot write {path}: it is no regular file; name another one")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it, or name another file")


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
