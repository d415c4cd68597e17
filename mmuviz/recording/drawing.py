"""Registry of the function that draws a Recording: the package registers it, since figures are on a floor above."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording

Drawer = Callable[["Recording"], Any]
_drawers: list[Drawer] = []


def register_drawer(drawer: Drawer) -> None:
    """Let `Recording.figure()` return a function's result.

    Args:
        drawer: replaces the previous one.
    """
    _drawers[:] = [drawer]


def draw(recording: Recording) -> Any:  # noqa: ANN401 - Plotly ships no types
    """A Plotly figure of a Recording."""
    return _drawers[0](recording)
