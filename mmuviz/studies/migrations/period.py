"""The dirty pages that a sync reports: those found in the current period of the dirty rate, at least one second."""

from __future__ import annotations

from mmuviz.studies.migrations.compared import DIRTY_PAGES, Found


class Period:
    """The count of new dirty pages in a period; the next sync's report shows whether a sync ended the period."""

    def __init__(self) -> None:
        self.reported = 0
        """The count that the model reports at the last sync."""
        self._base = 0
        self._before = 0

    def compared(self, text: str, found: int) -> Found:
        """Compare the report of a sync; `found` is the number of new pages since the migration began."""
        reported = reported_pages(text)
        if reported is None:
            return
        fitting = [base for base in (self._base, self._before) if found - base == reported]
        self.reported = reported if fitting else found - self._before
        yield "new dirty pages", reported, self.reported
        self._base = fitting[0] if fitting else self._before
        self._before = found


def reported_pages(text: str) -> int | None:
    """Return the number of pages in the tracepoint migration_bitmap_sync_end."""
    match = DIRTY_PAGES.match(text)
    return None if match is None else int(match.group(1))
