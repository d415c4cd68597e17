"""How good the page has to be. `make bench` measures exactly; tests hold it to GUARD times these, on any machine."""

from __future__ import annotations

from typing import Final

FRAME_MS: Final = 17.5
"""95th percentile of the time from one frame to the next, while it plays."""
DROPPED: Final = 0.01
"""Share of the display's frames that do not come."""
WORK_MS: Final = 8.0
"""95th percentile of script and paint of a frame."""
KEY_MS: Final = 100.0
"""95th percentile from a key, or from a press on the scrubber, to the end of the frame that shows it."""
FIRST_MS: Final = 1_000.0
"""Median from the beginning of a cold load to the end of the frame with the first map and charts."""
SHIFT: Final = 0.02
"""Cumulative layout shift of a load."""
BYTES: Final = 1_200_000
"""What travels until it plays."""
REQUESTS: Final = 0
"""While it plays."""
MIB_AN_HOUR: Final = 16.0
"""By which the heap of the page may grow in an hour of play."""

GUARD: Final = 15
"""A machine that does much else, and draws in software, takes several times as long."""
GUARD_DROPPED: Final = 0.9
