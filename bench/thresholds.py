"""Performance targets of the page. `make bench` checks them exactly; tests allow GUARD times as much."""

from __future__ import annotations

from typing import Final

FRAME_MS: Final = 17.5
"""95th percentile of the interval between frames during playback, ms."""
DROPPED: Final = 0.01
"""Share of the display's frames that are dropped."""
WORK_MS: Final = 8.0
"""95th percentile of the time of script and paint of a frame, ms."""
KEY_MS: Final = 100.0
"""95th percentile of the time from a key, or a press on the scrubber, to the end of the frame that shows it, ms."""
ZOOM_MS: Final = 1_000.0
"""Median time from a click on the map of a guest of 64 GiB to the end of the frame with single pages, ms."""
FIRST_MS: Final = 1_000.0
"""Median time from the start of a cold load to the end of the frame with the first map and charts, ms."""
SHIFT: Final = 0.02
"""Cumulative layout shift of a load."""
BYTES: Final = 1_200_000
"""Bytes transferred until playback can start."""
REQUESTS: Final = 0
"""Requests to the server during playback."""
MIB_AN_HOUR: Final = 16.0
"""Growth of the page's heap in an hour of playback, MiB."""

GUARD: Final = 15
"""Factor for tests: a busy machine without a GPU takes several times as long."""
GUARD_DROPPED: Final = 0.9
