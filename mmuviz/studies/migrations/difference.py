"""Differences between the recording of a migration and the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmuviz.core.errors import one_line, short_repr

Differ = Callable[[str, object, object], None]
"""Function that notes a difference at the current event: field, recorded value, value of the model."""


@dataclass(frozen=True)
class Difference:
    """A value in which the model differs from the recording.

    Attributes:
        where: event or round, e.g. "event 12 (GET)", "round 3".
        field: field of the event or round.
        expected: the recording's value.
        got: the model's value.
    """

    where: str
    field: str
    expected: object
    got: object

    def line(self, file: str) -> str:
        """Write the difference on one line."""
        expected, got = (
            each[:200] if isinstance(each, str) else short_repr(each) for each in (self.expected, self.got)
        )
        return one_line(f"{file}: {self.where}: {self.field[:100]}: expected {expected}, got {got}")


class Diverged(Exception):  # noqa: N818  # it ends a playback and is no error of the user's
    """The model makes another call than the recorded one; the rest of the recording cannot be compared."""
