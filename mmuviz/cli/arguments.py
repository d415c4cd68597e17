"""Parts that commands share: paths from the command line, and standard output."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TextIO

from mmuviz.core.errors import InputError


def path_argument(value: str) -> Path:
    """Return a path; refuse empty text, which would mean the current folder."""
    if not value:
        raise argparse.ArgumentTypeError("'' must name a file or a folder; give a path, a dot for the current folder")
    return Path(value)


def output() -> TextIO:
    """Standard output, for a command that writes its answer there.

    Raises:
        InputError: the caller has closed it.
    """
    if sys.stdout is None:
        raise InputError("standard output is closed; it must be open for the answers: leave >&- out, or name a file")
    return sys.stdout
