"""The pages that the model has sent, taken off again as the recording's writes show them."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.engine.qemu.calls import SendPages

Place = list[str | int]


@dataclass(frozen=True)
class Written:
    """What one write of the recording holds of the model's pages.

    Attributes:
        first: block and page of the first one.
        last: block and page of the last one.
        call: the call that sent the first one.
    """

    first: Place
    last: Place
    call: SendPages


class Stream:
    """Pages in the order in which they were sent."""

    def __init__(self) -> None:
        self.taken = 0
        """Pages that the model has sent in this pass."""
        self._stretches: list[SendPages] = []
        self._begun = 0

    def add(self, call: SendPages) -> None:
        """The model sends pages."""
        self._stretches.append(call)
        self.taken += call.sent.pages

    @property
    def waiting(self) -> int:
        """Pages that no write has shown yet."""
        return sum(each.sent.pages for each in self._stretches) - self._begun

    def write(self, pages: int) -> Written | None:
        """Take off as many pages; the first and the last of them, None if there are not as many."""
        if pages > self.waiting:
            return None
        first, call = self._place(), self._stretches[0]
        self._skip(pages - 1)
        last = self._place()
        self._skip(1)
        return Written(first, last, call)

    def _skip(self, pages: int) -> None:
        self._begun += pages
        while self._stretches and self._begun >= self._stretches[0].sent.pages:
            self._begun -= self._stretches.pop(0).sent.pages

    def _place(self) -> Place:
        stretch = self._stretches[0]
        numbers = stretch.sent.numbers
        return [stretch.block.name, stretch.sent.first if numbers is None else int(numbers[self._begun])]
