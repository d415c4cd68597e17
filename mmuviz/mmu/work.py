"""Work counters of the machine: one entry for each kernel path that the ledger prices.

An entry grows where the work is done. WORK_NAMES names the ledger's cost (mmuviz/costs) of one unit of it. Two entries
may have one cost: a table that disabling zaps costs as much as one that the MMU notifier zaps, but only the first
belongs to an ioctl. The order matters: spent_now() in engine/fault_cost.py prices ranges of entries, and the range
decides the cause of the stall. Up to WORK_MORE_END that is the fault's path, up to WORK_OTHER_END other work in a
fault or an exit (both exit and fault), up to WORK_SPLITS_END a split or zap, up to WORK_FAULTS_END allocation. Up to
WORK_GUEST_END entries are the guest's own; only ioctls pay for the rest. tests/mmu/test_work.py checks the positions.
"""

from __future__ import annotations

from typing import Final

# Paths of a fault: each fault takes one of these nine.
WORK_FAULT_FAST: Final = 0
WORK_FAULT_FAST_2M: Final = 1
WORK_FAULT_FAST_1G: Final = 2
WORK_FAULT_MAP_4K: Final = 3
WORK_FAULT_MAP_4K_LOGGED: Final = 4
WORK_FAULT_MAP_4K_OF_HUGE: Final = 5
WORK_FAULT_MAP_2M: Final = 6
WORK_FAULT_MAP_1G: Final = 7
WORK_FAULT_SLOW: Final = 8
WORK_PATHS_END: Final = 9

# Additions of host memory and logging to a path.
WORK_FAULT_LRU: Final = 9
WORK_FAULT_INITSET: Final = 10
WORK_FAULT_HOST_1G: Final = 11
WORK_FAULT_UNLOGGED: Final = 12
WORK_MORE_END: Final = 13

# Other work in a fault or an exit, outside its path.
WORK_HOST_FAULT_4K: Final = 13
WORK_HOST_FAULT_ZERO: Final = 14
WORK_HOST_FAULT_2M: Final = 15
WORK_PML_FULL: Final = 16
WORK_PML_ENTRY: Final = 17
WORK_RING_PUSH: Final = 18
WORK_OTHER_END: Final = 19

# Huge pages that a fault splits or zaps, and tables and leaves that the MMU notifier or a larger leaf removes.
WORK_FAULT_SPLIT_2M: Final = 19
WORK_FAULT_SPLIT_1G: Final = 20
WORK_FAULT_ZAP_2M: Final = 21
WORK_FAULT_ZAP_1G: Final = 22
WORK_UNMAP_TABLE: Final = 23
WORK_UNMAP_CHILD: Final = 24
WORK_SPLITS_END: Final = 25

# Tables that a fault links, and objects that fill the vCPU's cache.
WORK_FAULT_TABLE: Final = 25
WORK_CACHE_REFILL: Final = 26
WORK_FAULTS_END: Final = 27

# KVM_RUN, and the guest's own loop.
WORK_RUN: Final = 27
WORK_GUEST_WRITE: Final = 28
WORK_GUEST_READ: Final = 29
WORK_VCPU_THREAD: Final = 30
WORK_GUEST_END: Final = 31

# Calls of userspace. RECOVERED, RMAP_WALKED, RMAP_HEADS, GET_LINE and GET_BUFFER have no entry in the ledger: only
# the host profile prices them.
WORK_ENABLE: Final = 31
WORK_ENABLE_EAGER: Final = 32
WORK_ENABLE_INITSET: Final = 33
WORK_BITMAP_PAGE: Final = 34
WORK_BITMAP_FILL: Final = 35
WORK_BITMAP_FREE: Final = 36
WORK_PROTECT_HUGE: Final = 37
WORK_DISABLE: Final = 38
WORK_DISABLE_VISIT: Final = 39
WORK_DISABLE_LOOKUP: Final = 40
WORK_ZAP_TABLE: Final = 41
WORK_ZAP_CHILD: Final = 42
WORK_RECOVER_TABLE: Final = 43
WORK_RECOVER_CHILD: Final = 44
WORK_RECOVERED: Final = 45
WORK_COLLAPSE_HOST_1G: Final = 46
WORK_ZAP_HOST_LRU: Final = 47
WORK_SLOT_CREATE: Final = 48
WORK_SLOT_PAGE: Final = 49
WORK_SLOT_DELETE: Final = 50
WORK_DELETE_TABLE: Final = 51
WORK_DELETE_CHILD: Final = 52
WORK_DELETE_HUGE: Final = 53
WORK_EAGER_SWITCH: Final = 54
WORK_HOST_WRITE: Final = 55
WORK_DONTNEED: Final = 56
WORK_DONTNEED_PAGE: Final = 57
WORK_GET: Final = 58
WORK_GET_IDLE_WORD: Final = 59
WORK_GET_FLUSH: Final = 60
WORK_GET_MANUAL: Final = 61
WORK_GET_COPY_WORD: Final = 62
WORK_CLEAR: Final = 63
WORK_CLEAR_IDLE_WORD: Final = 64
WORK_CLEAR_CLEAN_WORD: Final = 65
WORK_CLEAR_FLUSH: Final = 66
WORK_RING_RESET: Final = 67
WORK_RING_FLUSH: Final = 68
WORK_COLLECT_ENTRY: Final = 69
WORK_COLLECT_FIRST: Final = 70
WORK_RMAP_WALKED: Final = 71
WORK_RMAP_HEADS: Final = 72
WORK_GET_LINE: Final = 73
"""A cache line of the dirty bitmap that GET copies to userspace."""
WORK_GET_BUFFER: Final = 74
"""A page of userspace's buffer that GET writes to for the first time."""

# Walks over tables. The same entries follow once more, for the shadow MMU: it walks by reverse maps.
WORK_VISIT_HUGE: Final = 75
WORK_PROTECT_4K: Final = 76
WORK_VISIT_4K: Final = 77
WORK_SPLIT_ENABLE_2M: Final = 78
WORK_SPLIT_ENABLE_1G: Final = 79
WORK_SPLIT_CLEAR_2M: Final = 80
WORK_SPLIT_CLEAR_1G: Final = 81
WORK_CLEAR_WALK_DOWN: Final = 82
WORK_CLEAR_HUGE_WORD_2M: Final = 83
WORK_CLEAR_HUGE_WORD_1G: Final = 84
WORK_GET_WORD: Final = 85
WORK_GET_PAGE: Final = 86
WORK_GET_PAST: Final = 87
WORK_GET_HOLE: Final = 88
WORK_CLEAR_WORD: Final = 89
WORK_CLEAR_PAGE: Final = 90
WORK_CLEAR_PAST: Final = 91
WORK_CLEAR_HOLE: Final = 92
WORK_CLEAR_INITSET_WORD: Final = 93
WORK_CLEAR_INITSET_PAGE: Final = 94
WORK_CLEAR_INITSET_PAST: Final = 95
WORK_CLEAR_INITSET_HOLE: Final = 96
WORK_RING_WORD: Final = 97
WORK_RING_PAGE: Final = 98
WORK_RING_PAST: Final = 99
WORK_RING_HOLE: Final = 100
WORK_SHADOW: Final = 26
"""Offset added to a walk's entry for the shadow MMU."""
PAGE: Final = 1
PAST: Final = 2
HOLE: Final = 3
"""Offsets from a word's entry to those of its armed pages, of present entries walked past, of empty entries."""
WORK_ENTRIES: Final = 127

WALK_NAMES: Final = (
    "visit_huge",
    "protect_4k",
    "visit_4k",
    "split_enable",
    "split_enable",
    "split_clear_2m",
    "split_clear_1g",
    "clear_walk_down",
    "clear_huge_word_2m",
    "clear_huge_word_1g",
    "get_word",
    "get_page",
    "walk",
    "hole",
    "clear_word",
    "clear_page",
    "walk",
    "hole",
    "clear_initset_word",
    "clear_initset_page",
    "walk",
    "hole",
    "ring_word",
    "ring_page",
    "walk",
    "hole",
)

WORK_NAMES: Final = (
    "fault_fast",
    "fault_fast_2m",
    "fault_fast_1g",
    "fault_map_4k",
    "fault_map_4k_logged",
    "fault_map_4k_of_huge",
    "fault_map_2m",
    "fault_map_1g",
    "fault_slow",
    "fault_lru",
    "fault_initset",
    "fault_host_1g",
    "fault_unlogged",
    "host_fault_4k",
    "host_fault_zero",
    "host_fault_2m",
    "pml_full",
    "pml_entry",
    "ring_push",
    "fault_split_2m",
    "fault_split_1g",
    "fault_zap_2m",
    "fault_zap_1g",
    "zap_table",
    "zap_child",
    "fault_table",
    "cache_refill",
    "run",
    "guest_write",
    "guest_read",
    "vcpu_thread",
    "enable",
    "enable_eager",
    "enable_initset",
    "bitmap_page",
    "bitmap_fill",
    "bitmap_free",
    "protect_huge",
    "disable",
    "disable_visit",
    "disable_lookup",
    "zap_table",
    "zap_child",
    "recover_table",
    "recover_child",
    "",
    "collapse_host_1g",
    "zap_host_lru",
    "slot_create",
    "slot_page",
    "slot_delete",
    "delete_table",
    "delete_child",
    "delete_huge",
    "eager_switch",
    "host_write",
    "dontneed",
    "dontneed_page",
    "get",
    "get_idle_word",
    "get_flush",
    "get_manual",
    "get_copy_word",
    "clear",
    "clear_idle_word",
    "clear_clean_word",
    "clear_flush",
    "ring_reset",
    "ring_flush",
    "collect_entry",
    "collect_first",
    "",
    "",
    "",
    "",
    *WALK_NAMES,
    *WALK_NAMES,
)
"""Name in the ledger of each entry; empty where only the host profile prices it."""

# Results of page_fault().
PATH_FAST: Final = 0
PATH_MAP_4K: Final = 1
PATH_MAP_2M: Final = 2
PATH_MAP_1G: Final = 3
PATH_FIX: Final = 4
PATH_SPLIT: Final = 5
PATH_INVALIDATED: Final = 6
PATH_EMULATED: Final = 7
