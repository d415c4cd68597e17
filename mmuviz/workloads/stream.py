"""Columns of a vCPU's stream of accesses, which every pattern fills; accesses.py computes the accesses.

A stream is a rule, not a list: the access at a position is computed from the columns and the position
alone, so looking ahead and going back cost nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

# Columns of a stream, one row per vCPU; periods are in ps, 0 for none.
KIND: Final = 0
FIRST_PAGE: Final = 1
"""First page of the vCPU's part, counted over the memslots; for lists, the start of its part in `Clock.listed`."""
PAGES: Final = 2
STRIDE: Final = 3
ACCESSES: Final = 4
WRITE_PERMILLE: Final = 5
SEED: Final = 6
PERIOD: Final = 7
POSITION: Final = 8
PASS: Final = 9
EXIT_PERIOD: Final = 10
HOT_PAGES: Final = 11
HOT_PERMILLE: Final = 12
ZIPF_FIRST: Final = 13
OCTAVES: Final = 41
"""Columns from ZIPF_FIRST on: cumulative probabilities of the octaves of ranks, 63 bits; enough for MOST pages."""
COLUMNS: Final = ZIPF_FIRST + OCTAVES

# Values of KIND.
STEPS: Final = 0
RANDOM: Final = 1
LISTED: Final = 2
HOT_SET: Final = 3
ZIPF: Final = 4
COPY: Final = 5
TRACED: Final = 6

# Entries of `Clock.listed` for one access of a TRACED stream.
TRACE_GFN: Final = 0
"""The gfn shifted left by one, plus 1 for a write."""
TRACE_DUE: Final = 1
"""Earliest time of the access, ps."""
TRACE_ENTRIES: Final = 2
TRACE_MORE: Final = HOT_PAGES
"""Column of a TRACED stream: time at which the next part of the trace is due, ps; 0 after the last."""

# Columns of the table of memslots, see gfn_at().
RAM_FIRST: Final = 0
RAM_MOVE: Final = 1
RAM_COLUMNS: Final = 2

ALWAYS: Final = 1000
"""WRITE_PERMILLE of a vCPU that only writes."""

GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
MIX_2: Final = np.uint64(0x94D049BB133111EB)
