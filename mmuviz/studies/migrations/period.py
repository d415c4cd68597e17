"""New dirty pages as a sync tells them: those of a period of the dirty rate, which is a second long or longer."""

from __future__ import annotations

from mmuviz.studies.migrations.compared import DIRTY_PAGES, Found


class Period:
    """Counts on through a migration; whether a period ended at a sync shows in what the next sync tells."""

    def __init__(self) -> None:
        self.told = 0
        """What the model would have told at the last sync."""
        self._base = 0
        self._before = 0

    def compared(self, text: str, found: int) -> Found:
        """What a sync tells, against all pages found new since the migration began."""
        told = told_pages(text)
        if told is None:
            return
        fitting = [base for base in (self._base, self._before) if found - base == told]
        self.told = told if fitting else found - self._before
        yield "new dirty pages", told, self.told
        self._base = fitting[0] if fitting else self._before
        self._before = found


def told_pages(text: str) -> int | None:
    """The number in the tracepoint migration_bitmap_sync_end."""
    match = DIRTY_PAGES.match(text)
    return None if match is None else int(match.group(1))
