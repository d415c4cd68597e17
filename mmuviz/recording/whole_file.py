"""Files that are read within bounds, and appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from mmuviz.ground.errors import InputError, shown

MAX_FILE_BYTES: Final = 1 << 27


def read(path: Path) -> bytes:
    """The bytes of a file, of at most MAX_FILE_BYTES.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}; name a file that `mmuviz run -o` wrote") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path} has more than {MAX_FILE_BYTES} bytes; a Recording has at most as many")
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: another one of the same folder is renamed to it.

    Args:
        path: replaced where it exists.
        data: its bytes.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    try:
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
        reason = error.strerror if isinstance(error, OSError) else shown(str(error))
        raise InputError(f"cannot write {path}: {reason}; name a file in a folder that you may write") from None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
