"""The queue of pages that the model has sent and that the recording's writes have not yet contained."""

from __future__ import annotations

from dataclasses import dataclass

from mmuviz.engine.qemu.calls import SendPages

Place = list[str | int]


@dataclass(frozen=True)
class Written:
    """The model's pages that one recorded write contains.

    Attributes:
        first: block and page of the first page.
        last: block and page of the last page.
        call: the call that sent the first page.
    """

    first: Place
    last: Place
    call: SendPages


class Stream:
    """A queue of pages in the order in which the model sent them."""

    def __init__(self) -> None:
        self.taken = 0
        """Pages that the model has sent in this pass."""
        self._stretches: list[SendPages] = []
        self._begun = 0

    def add(self, call: SendPages) -> None:
        """Add pages that the model sends."""
        self._stretches.append(call)
        self.taken += call.sent.pages

    @property
    def waiting(self) -> int:
        """Number of pages that no recorded write has contained yet."""
        return sum(each.sent.pages for each in self._stretches) - self._begun

    def write(self, pages: int) -> Written | None:
        """Remove `pages` pages and return the first and last of them; None if there are fewer."""
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
