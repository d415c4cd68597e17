"""The rate limit of the migration stream, and QEMU's measurements: migration/migration.c and qemu-file.c."""

from __future__ import annotations

from typing import Final

from mmuviz.core.pages import PAGE_BYTES
from mmuviz.engine.qemu.migration import migration_update_counters
from mmuviz.engine.qemu.state import QemuFeatures

BUFFER_DELAY_MS: Final = 100
"""Length of a rate-limit window, over which bandwidth is measured."""
MS_PER_S: Final = 1000
XFER_LIMIT_RATIO: Final = MS_PER_S // BUFFER_DELAY_MS
HEADER_BYTES: Final = 8
"""Header of each page in the stream: address and flags."""
STREAM_PAGE_BYTES: Final = HEADER_BYTES + PAGE_BYTES
IOV_PAGES: Final = 32
"""Pages per flush: MAX_IOV_SIZE is 64, with a header and a page each."""
BUFFER_BYTES: Final = 32_768
"""Size of the buffer for headers and zero pages that wait for a flush: IO_BUF_SIZE."""
PERIOD_MS: Final = 1000
"""The dirty rate is measured over more than this time."""
LEAST_MEASURED_BYTES: Final = 10_000
"""A window that sent fewer bytes does not update expected_downtime."""


class RateLimit:
    """The rate limit, in windows of 100 ms.

    Attributes:
        sent_bytes: bytes counted by the rate limit since the migration began.
        bandwidth: bytes per ms in the last window.
        threshold_bytes: bytes that may be left for the downtime.
        expected_downtime_ms: expected downtime as printed by query-migrate.
    """

    def __init__(self, features: QemuFeatures, bytes_per_s: int, downtime_limit_ms: int, now_ms: int) -> None:
        """Begin the first window.

        Args:
            features: behaviour of the QEMU release.
            bytes_per_s: max-bandwidth.
            downtime_limit_ms: downtime-limit.
            now_ms: the current time.
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
        """Whether this window's limit is exceeded. QEMU: qemu_file_rate_limit(), migration_rate_exceeded()."""
        return self.sent_bytes - self._window_bytes > self._limit

    @property
    def window_ends_ms(self) -> int:
        """End of the window, ms."""
        return self._window_ms + BUFFER_DELAY_MS

    def pages_to_limit(self) -> int:
        """Return the pages until the limit is exceeded: a window overshoots by less than one page, or one flush."""
        free = self._limit - (self.sent_bytes - self._window_bytes)
        if free < 0:
            return 0
        flushes = free // (self._flush_pages * STREAM_PAGE_BYTES) + 1
        return flushes * self._flush_pages - self._unflushed

    def send(self, pages: int, sent_bytes: int | None = None) -> None:
        """Count pages sent.

        Args:
            pages: pages sent with their content.
            sent_bytes: bytes sent, zero pages included; None: those of `pages`.
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
        """End the window if its time has passed.

        Args:
            now_ms: the current time.
            dirty_pages_rate: pages/s, 0 before the first measurement.
            left_at_sync_bytes: bytes to be sent after the last sync.

        QEMU: migration_update_counters()
        """
        if now_ms < self.window_ends_ms:
            return
        transferred, spent_ms = self.sent_bytes - self._window_bytes, now_ms - self._window_ms
        self.bandwidth, self.threshold_bytes = migration_update_counters(transferred, spent_ms, self._downtime_limit_ms)
        if dirty_pages_rate and transferred > LEAST_MEASURED_BYTES:
            self.expected_downtime_ms = int(left_at_sync_bytes / (transferred / spent_ms))  # a double, as in QEMU
        self._window_ms, self._window_bytes = now_ms, self.sent_bytes


class DirtyRate:
    """The dirty rate, measured over more than a second from sync to sync.

    Attributes:
        pages_per_s: dirty_pages_rate, pages/s.
    """

    def __init__(self) -> None:
        self.pages_per_s = 0
        self._last_ms: int | None = None

    def sync_started(self, now_ms: int) -> None:
        """Start a sync; the first one starts the first period."""
        if self._last_ms is None:
            self._last_ms = now_ms

    def sync_ended(self, now_ms: int, period_pages: int) -> bool:
        """End a sync and return whether a new period begins.

        Args:
            now_ms: the current time.
            period_pages: pages dirtied in the period (num_dirty_pages_period).

        QEMU: migration_bitmap_sync(), migration_update_rates()
        """
        took = 0 if self._last_ms is None else now_ms - self._last_ms
        if took <= PERIOD_MS:
            return False
        self.pages_per_s = period_pages * MS_PER_S // took
        self._last_ms = now_ms
        return True
