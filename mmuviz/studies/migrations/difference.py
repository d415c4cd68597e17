"""What a migration's recording and the model differ in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmuviz.core.errors import one_line, short_repr

Differ = Callable[[str, object, object], None]
"""Notes a difference of the event that is played: field, recorded value, the model's."""


@dataclass(frozen=True)
class Difference:
    """One value that the model has otherwise.

    Attributes:
        where: "event 12 (GET)" or "round 3".
        field: what of it.
        expected: the recording's value.
        got: the model's.
    """

    where: str
    field: str
    expected: object
    got: object

    def line(self, file: str) -> str:
        """The difference on one line."""
        expected, got = (
            each[:200] if isinstance(each, str) else short_repr(each) for each in (self.expected, self.got)
        )
        return one_line(f"{file}: {self.where}: {self.field[:100]}: expected {expected}, got {got}")


class Derailed(Exception):  # noqa: N818  # it ends a playback and is no error of the user's
    """The model makes another call than the recording: what follows cannot be compared."""
