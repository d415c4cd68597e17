"""One line of status on standard error, on a terminal only, once the command has taken two seconds."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Final, Self

AFTER_S: Final = 2.0
ERASE: Final = "\r\x1b[K"
"""Move to the start of the line, and erase it."""


class StatusLine:
    """A line that each say() replaces, and that is erased at the end."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._said = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._said:
            sys.stderr.write(ERASE)
            sys.stderr.flush()

    def say(self, text: str) -> None:
        """Replace the line.

        Args:
            text: printable text; cut to the width of the terminal.
        """
        if time.monotonic() - self._began_s < AFTER_S or sys.stderr is None or not sys.stderr.isatty():
            return
        self._said = True
        sys.stderr.write(ERASE + text[: shutil.get_terminal_size().columns - 1])
        sys.stderr.flush()
