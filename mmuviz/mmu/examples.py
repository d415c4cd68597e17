"""Examples: the first event of each kind since the rows were last taken, with all its details.

A run takes them at the end of each bin of time. The event log (mmu/events.py) of a large guest would have hundreds of
millions of rows, so only a Focus has one; examples are one row per kind, so every run has them.
"""

from __future__ import annotations

from typing import Final

from mmuviz.core.jit import jit_inline_llvm
from mmuviz.mmu.state import I64, STAT_EXAMPLES, STAT_STAMP, STAT_WHO, MmuState

# Rows of `MmuState.examples`.
MAP_4K: Final = 0
MAP_2M: Final = 1
MAP_1G: Final = 2
FIX_4K: Final = 3
FIX_HUGE: Final = 4
SLOW_FIX: Final = 5
SPLIT_2M: Final = 6
SPLIT_1G: Final = 7
ZAP_4K: Final = 8
ZAP_2M: Final = 9
ZAP_1G: Final = 10
PROTECT_4K: Final = 11
PROTECT_2M: Final = 12
PROTECT_1G: Final = 13
CLEAR_DIRTY_4K: Final = 14
CLEAR_DIRTY_HUGE: Final = 15
LINK_TABLE: Final = 16
REMOVE_TABLE: Final = 17
CPU_DIRTY: Final = 18
PML_FULL: Final = 19
RING_FULL: Final = 20
USERSPACE_EXIT: Final = 21
SPURIOUS: Final = 22
LONGEST: Final = 23
EXAMPLES: Final = 24
EXAMPLE_NAMES: Final = (
    "map_4k",
    "map_2m",
    "map_1g",
    "fix_4k",
    "fix_huge",
    "slow_fix",
    "split_2m",
    "split_1g",
    "zap_4k",
    "zap_2m",
    "zap_1g",
    "protect_4k",
    "protect_2m",
    "protect_1g",
    "clear_dirty_4k",
    "clear_dirty_huge",
    "link_table",
    "remove_table",
    "cpu_dirty",
    "pml_full",
    "ring_full",
    "userspace_exit",
    "spurious",
    "longest",
)

# Columns.
EX_SEEN: Final = 0
EX_STAMP: Final = 1
EX_WHO: Final = 2
EX_LEVEL: Final = 3
EX_OLD: Final = 4
EX_NEW: Final = 5
EX_GFN: Final = 6
EX_PATH: Final = 7
EX_STALL: Final = 8
EXAMPLE_COLUMNS: Final = 9
NO_PATH: Final = -1
"""EX_PATH of an event that is not a fault."""


@jit_inline_llvm
def is_earlier(examples: I64, kind: int, stamp: int, who: int) -> bool:
    """Whether a row is empty, has a later stamp, or has the same stamp and a higher actor."""
    row = examples[kind]
    if row[EX_SEEN] == 0 or stamp < row[EX_STAMP]:
        return True
    return bool(stamp == row[EX_STAMP] and who < row[EX_WHO])


@jit_inline_llvm
def write_example(examples: I64, stat: I64, kind: int, level: int, old: int, new: int, gfn: int) -> None:
    """Fill a row; path and stall are added later, where they are known."""
    row = examples[kind]
    row[EX_SEEN], row[EX_STAMP], row[EX_WHO] = 1, stat[STAT_STAMP], stat[STAT_WHO]
    row[EX_LEVEL], row[EX_OLD], row[EX_NEW], row[EX_GFN] = level, old, new, gfn
    row[EX_PATH], row[EX_STALL] = NO_PATH, 0
    stat[STAT_EXAMPLES] += 1


@jit_inline_llvm
def note_example(state: MmuState, kind: int, level: int, old: int, new: int, gfn: int) -> None:
    """Keep an event, if it is the first of its kind since the rows were last taken."""
    if state.examples.shape[0] > 0 and is_earlier(state.examples, kind, state.stat[STAT_STAMP], state.stat[STAT_WHO]):
        write_example(state.examples, state.stat, kind, level, old, new, gfn)
