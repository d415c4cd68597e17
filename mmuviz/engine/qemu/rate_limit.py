"""How much a migration stream may send, and what QEMU measures of it: migration/migration.c and qemu-file.c."""

from __future__ import annotations

from typing import Final

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.migration import migration_update_counters
from mmuviz.engine.qemu.state import QemuFeatures

BUFFER_DELAY_MS: Final = 100
"""A window of the rate limit; bandwidth is measured over one."""
MS_PER_S: Final = 1000
XFER_LIMIT_RATIO: Final = MS_PER_S // BUFFER_DELAY_MS
HEADER_BYTES: Final = 8
"""Before each page: its address and flags."""
STREAM_PAGE_BYTES: Final = HEADER_BYTES + PAGE_BYTES
IOV_PAGES: Final = 32
"""Pages of one flush: MAX_IOV_SIZE is 64, a header and a page each."""
BUFFER_BYTES: Final = 32_768
"""Headers, and pages of zeros, that wait for a flush: IO_BUF_SIZE."""
PERIOD_MS: Final = 1000
"""The dirty rate is that of more than a second."""
LEAST_MEASURED_BYTES: Final = 10_000
"""Of a window from which expected_downtime is computed."""


class RateLimit:
    """Windows of 100 ms.

    Attributes:
        sent_bytes: that the rate limit has counted since the migration began.
        bandwidth: bytes a millisecond of the last window.
        threshold_bytes: what may be left for the downtime.
        expected_downtime_ms: as query-migrate prints it.
    """

    def __init__(self, features: QemuFeatures, bytes_per_s: int, downtime_limit_ms: int, now_ms: int) -> None:
        """The first window begins.

        Args:
            features: of the release.
            bytes_per_s: max-bandwidth.
            downtime_limit_ms: downtime-limit.
            now_ms: the time.
        """
        self.sent_bytes = 0
        self.bandwidth = 0
        self.threshold_bytes = 0
        self.expected_downtime_ms = downtime_limit_ms
        self._limit = bytes_per_s // XFER_LIMIT_RATIO
        self._downtime_limit_ms = downtime_limit_ms
        self._flush_pages = IOV_PAGES if features.limits_flushed_bytes else 1
        self._unflushed = 0
        self._unflushed_bytes = 0
        self._window_ms = now_ms
        self._window_bytes = 0

    @property
    def over_limit(self) -> bool:
        """Whether no more may be sent in this window. QEMU: qemu_file_rate_limit(), migration_rate_exceeded()."""
        return self.sent_bytes - self._window_bytes > self._limit

    @property
    def window_ends_ms(self) -> int:
        """The time, ms, at which the window ends."""
        return self._window_ms + BUFFER_DELAY_MS

    def pages_to_limit(self) -> int:
        """Pages until the limit is exceeded: the window overshoots by less than one page, or one flush of them."""
        free = self._limit - (self.sent_bytes - self._window_bytes)
        if free < 0:
            return 0
        flushes = free // (self._flush_pages * STREAM_PAGE_BYTES) + 1
        return flushes * self._flush_pages - self._unflushed

    def send(self, pages: int, sent_bytes: int | None = None) -> None:
        """Pages go into the stream.

        Args:
            pages: those whose content does.
            sent_bytes: of all that goes into it, pages of zeros included; None for those of these pages.
        """
        self._unflushed += pages
        self._unflushed_bytes += pages * STREAM_PAGE_BYTES if sent_bytes is None else sent_bytes
        left = self._unflushed % self._flush_pages
        waits = self._flush_pages > 1 and self._unflushed_bytes < BUFFER_BYTES + left * STREAM_PAGE_BYTES
        if waits and left == self._unflushed:
            return
        self._unflushed = left
        self.sent_bytes += self._unflushed_bytes - left * STREAM_PAGE_BYTES
        self._unflushed_bytes = left * STREAM_PAGE_BYTES

    def update(self, now_ms: int, dirty_pages_rate: int, left_at_sync_bytes: int) -> None:
        """The window ends, if it is over.

        Args:
            now_ms: the time.
            dirty_pages_rate: pages a second, 0 where none was measured yet.
            left_at_sync_bytes: what was dirty after the last sync.

        QEMU: migration_update_counters()
        """
        if now_ms < self.window_ends_ms:
            return
        transferred = self.sent_bytes - self._window_bytes
        self.bandwidth, self.threshold_bytes = migration_update_counters(
            transferred, now_ms - self._window_ms, self._downtime_limit_ms
        )
        if dirty_pages_rate and transferred > LEAST_MEASURED_BYTES and self.bandwidth:
            self.expected_downtime_ms = left_at_sync_bytes // self.bandwidth
        self._window_ms, self._window_bytes = now_ms, self.sent_bytes


class DirtyRate:
    """The dirty rate, measured over more than a second from sync to sync.

    Attributes:
        pages_per_s: dirty_pages_rate.
    """

    def __init__(self) -> None:
        self.pages_per_s = 0
        self._last_ms: int | None = None

    def sync_started(self, now_ms: int) -> None:
        """A sync begins; the first one begins the first period."""
        if self._last_ms is None:
            self._last_ms = now_ms

    def sync_ended(self, now_ms: int, period_pages: int) -> bool:
        """A sync is over; whether a new period begins.

        Args:
            now_ms: the time.
            period_pages: num_dirty_pages_period.

        QEMU: migration_bitmap_sync(), migration_update_rates()
        """
        took = 0 if self._last_ms is None else now_ms - self._last_ms
        if took <= PERIOD_MS:
            return False
        self.pages_per_s = period_pages * MS_PER_S // took
        self._last_ms = now_ms
        return True
