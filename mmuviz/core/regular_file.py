"""Opening regular files only, without blocking on pipes or devices."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from mmuviz.core.errors import InputError


def open_regular(path: Path) -> BufferedReader:
    """Open a file, once and without blocking: opening a pipe or a device could block without end.

    Raises:
        InputError: it is not a regular file; the text follows the file's name.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        raise InputError(f"is {kinds.get(stat.S_IFMT(mode), 'no file')}; give a regular file")
    return os.fdopen(descriptor, "rb")
