"""How a Recording finds the function that draws it: the package registers one, since figures stand on a floor above."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording

Drawer = Callable[["Recording"], Any]
_drawers: list[Drawer] = []


def register_drawer(drawer: Drawer) -> None:
    """Let `Recording.figure()` return what a function makes of the Recording.

    Args:
        drawer: replaces the one before.
    """
    _drawers[:] = [drawer]


def draw(recording: Recording) -> Any:  # noqa: ANN401 - Plotly ships no types
    """A Plotly figure of a Recording."""
    return _drawers[0](recording)
