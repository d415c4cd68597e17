"""Progress of a long run: a bar on standard error, on a terminal only, once the run has taken two seconds."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from mmuviz.cli.status_line import ERASE
from mmuviz.recording.quantities import time_text

AFTER_S: Final = 2.0
STEPS: Final = 1000


class Progress:
    """A bar with the share done, the time left and the simulated time.

    Used as `with Progress("run") as progress: run(…, progress.update)`.

    Args:
        label: text before the bar.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._stack = ExitStack()
        self._bar: Any = None  # click has its type in no public module
        self._done = 0
        self._began_s = 0.0
        self._began = 0.0

    def __enter__(self) -> Self:
        self._began_s, self._began = time.monotonic(), time.time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def update(self, share: float, simulated_ns: int) -> None:
        """Show the progress.

        Args:
            share: share of the work that is done, 0 to 1.
            simulated_ns: simulated time of the run.
        """
        if self._bar is None:
            if time.monotonic() - self._began_s < AFTER_S or sys.stderr is None or not sys.stderr.isatty():
                return
            self._bar = self._stack.enter_context(self._new_bar())
            # The time left is computed from the beginning of the run, not of the bar.
            self._bar.start = self._began
        done = min(max(int(share * STEPS), self._done), STEPS)
        self._bar.update(done - self._done, simulated_ns)
        self._done = done

    def erase(self) -> None:
        """Erase the bar's line, because a line of output follows; the next update() shows the bar again."""
        if self._bar is not None:
            sys.stderr.write(ERASE)
            sys.stderr.flush()

    def _new_bar(self) -> Any:  # noqa: ANN401 - as above
        import click

        return click.progressbar(
            length=STEPS, label=self._label, file=sys.stderr, show_percent=True, item_show_func=_simulated
        )


def _simulated(simulated_ns: int | None) -> str:
    return "" if simulated_ns is None else f"{time_text(simulated_ns)} simulated"
