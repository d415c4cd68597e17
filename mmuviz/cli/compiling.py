"""Progress of the first compilation: a line on standard error, on a terminal only."""

from __future__ import annotations

import sys
import time
from threading import Event, Thread
from types import TracebackType
from typing import Final, Self

from mmuviz.cli.status_line import StatusLine

EVERY_S: Final = 0.5
INDEX: Final = "*.nbi"
"""Files that Numba writes, one per compiled function."""


class Compiling:
    """A line that is shown while the simulation is compiled, which happens once; nothing afterwards."""

    def __init__(self) -> None:
        self._over = Event()
        self._began_s = time.monotonic()
        self._ticker: Thread | None = None

    def __enter__(self) -> Self:
        from mmuviz.core.jit import cache_folder

        if sys.stderr is not None and sys.stderr.isatty() and not any(cache_folder().rglob(INDEX)):
            self._ticker = Thread(target=self._tick, daemon=True)
            self._ticker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Remove the line, as the run begins."""
        if self._ticker is not None:
            self._over.set()
            self._ticker.join()
            self._ticker = None

    def _tick(self) -> None:
        from mmuviz.core.jit import cache_folder

        with StatusLine() as line:
            while not self._over.wait(EVERY_S):
                done = sum(1 for _ in cache_folder().rglob(INDEX))
                minutes, seconds = divmod(int(time.monotonic() - self._began_s), 60)
                line.say(f"compiling the simulation, once: {done} functions so far, {minutes}:{seconds:02}")
