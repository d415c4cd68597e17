"""The Focus: a range of pages and a window of time that are shown page by page."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import Field

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.choices.base import Choices
from mmuviz.engine.choices.errors import ContradictionError
from mmuviz.engine.choices.units import Time, Whole, size_text, time_of, time_text
from mmuviz.mmu.config import MAX_GFN

MOST_FOCUS_PAGES: Final = (64 << 20) // PAGE_BYTES


class Focus(Choices):
    """A range of pages and a window of time whose events are all kept."""

    first_gfn: Annotated[Whole, Field(ge=0, le=MAX_GFN - 1, description="the first guest frame")]
    pages: Annotated[Whole, Field(ge=1, le=MOST_FOCUS_PAGES, description="4K pages, at most 64 MiB of them")]
    start: Annotated[Time, Field(description="simulated time from which events are kept")] = 0
    end: Annotated[Time | None, Field(description="simulated time up to which they are kept; none: to the end")] = None

    def _check(self) -> None:
        """Refuse a range beyond the address space, and a window that does not end after its start."""
        if self.first_gfn + self.pages > MAX_GFN:
            raise ContradictionError(
                f"first_gfn={self.first_gfn} with pages={self.pages} must end at or below {MAX_GFN}"
            )
        if self.end is not None and self.end <= self.start:
            raise ContradictionError(f"end={time_text(self.end)} must be later than start={time_text(self.start)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read FIRST:PAGES[@FROM..TO].

        Args:
            text: e.g. "0x100000:512@10ms..20ms"; FROM and TO may be empty.

        Returns:
            The Focus.

        Raises:
            InputError: the text has another form.
        """
        first, colon, rest = text.partition(":")
        pages, at, window = rest.partition("@")
        begin, dots, end = window.partition("..")
        rule = f"focus={short_repr(text)} must be FIRST:PAGES[@FROM..TO], e.g. 0x100000:512@10ms..20ms"
        number = re.fullmatch(r"0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19}", first)
        if not colon or not number or not re.fullmatch(r"[0-9]{1,19}", pages) or (at and not dots):
            raise InputError(rule)
        try:
            start_ns, end_ns = (time_of(each.strip()) if each.strip() else None for each in (begin, end))
        except ValueError as error:
            raise InputError(f"{rule}; a time {error}") from error
        try:
            return cls(first_gfn=int(first, 0), pages=int(pages), start=start_ns or 0, end=end_ns)
        except InputError as error:
            raise InputError(f"focus={short_repr(text)}: {error}") from error

    def text(self) -> str:
        """The Focus as text that parse() reads."""
        window = ""
        if self.start or self.end is not None:
            window = f"@{time_text(self.start)}..{'' if self.end is None else time_text(self.end)}".replace(" ", "")
        return f"{self.first_gfn:#x}:{self.pages}{window}"

    @property
    def description(self) -> str:
        """The range as a label."""
        return f"{size_text(self.pages * PAGE_BYTES)} from {self.first_gfn * PAGE_BYTES:#x}"
