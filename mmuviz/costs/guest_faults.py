"""Costs of the guest's accesses: KVM_RUN, the guest's loop, and faults."""

from __future__ import annotations

from typing import Final

from mmuviz.costs.counted import Counts, Recipe, first_counted
from mmuviz.costs.estimate import Estimate, assumption
from mmuviz.costs.recipe import FAULT_SPLITS, RECOVERS, Cost, absent, split_at

CACHE_REFILL: Final = 36
"""Objects that a refill adds to the vCPU's cache of 40 when 4 remain; every 36th table is charged for a refill."""
ZERO_WORDS: Final = 512
"""REP iterations, each counted as an instruction, that zero a 4K page."""
FAST_RUNS: Final = (
    "fast_2m_legacy_first",
    "fast_2m_legacy_aftget",
    "fast_4k_legacy_first",
    "fast_4k_legacy_aftget",
    "fast_2m_manual",
    "fast_2m_manual_str64",
    "fast_2m_initset_aftclear",
)


def _guest_write(counts: Counts) -> Estimate:
    return counts.slope("plain_w")


def _fast(counts: Counts) -> Estimate:
    return counts.slope(*FAST_RUNS) - _guest_write(counts)


def _map_4k(counts: Counts) -> Estimate:
    return first_counted([lambda c: c.value("seq_map4k"), lambda c: c.slope("map4k_w")])(counts) - _guest_write(counts)


def _lru(counts: Counts) -> Estimate:
    return counts.slope("map4k_w") - _guest_write(counts) - _map_4k(counts)


def _table(counts: Counts) -> Estimate:
    return counts.value("seq_map4k_newpt") - counts.value("seq_map4k")


# Before 6.2 this run counts the refault after the fault's zap, from 6.2 on a fast fault.
_map_4k_of_huge: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: c.slope("lazyrest2m") - _guest_write(c),
    since=lambda c: c.slope("map4k_log2m_w") - _guest_write(c),
)
_initset: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: c.slope("lazyrest2m_initset") - c.slope("lazyrest2m"),
    since=lambda _: Estimate(0, 0, 0, ("lazyrest2m_initset",)),
)
_host_1g: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: c.slope("lazy1g_rest") - c.slope("lazyrest2m"),
    since=lambda c: c.slope("lazy1g_rest_initset") - c.slope("lazyrest2m_initset"),
)
_slow: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: _map_4k_of_huge(c).assumed(),
    since=lambda c: c.slope("lazyrest2m_initset") - _guest_write(c),
)
_split_2m: Final = split_at(
    FAULT_SPLITS,
    before=absent("fault_split_2m"),
    since=lambda c: c.value("seq_lazyfirst2m_legacy") - _guest_write(c) - _slow(c),
)
_split_1g: Final = split_at(
    FAULT_SPLITS,
    before=absent("fault_split_1g"),
    since=lambda c: c.value("d_first1g") - c.value("seq_lazyfirst2m_legacy") - _host_1g(c),
)


def _first_write(whole: Estimate, counts: Counts) -> Estimate:
    return whole - _guest_write(counts) - _map_4k_of_huge(counts)


_zap_2m: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: _first_write(c.slope("lazyfirst2m", most=16), c) - _table(c),
    since=absent("fault_zap_2m"),
)
_zap_1g: Final = split_at(
    FAULT_SPLITS,
    before=lambda c: _first_write(c.value("d_first1g"), c) - _host_1g(c) - _table(c) * 2,
    since=absent("fault_zap_1g"),
)


def _fast_huge(label: str) -> Recipe:
    return split_at(RECOVERS, before=lambda c: _fast(c).assumed(), since=lambda c: c.slope(label) - _guest_write(c))


def _host_fault(counts: Counts) -> Estimate:
    return counts.slope("map4k_hostfault") - counts.slope("map4k_w")


# Up to 6.12 the refaults after disabling map 1G too, and more of them were counted.
_map_1g: Final = split_at(
    RECOVERS,
    before=lambda c: c.slope("retouch1g_aftdisable") - _guest_write(c),
    since=lambda c: c.slope("map1g_w") - _guest_write(c),
)


LIKE_FAST: Final = "up to 6.12 from fault_fast: a huge page is seldom fixed there, and was not counted"

GUEST_FAULTS: Final = (
    Cost(
        "run",
        "instructions/KVM_RUN",
        "KVM_RUN: ioctl, entry, and the guest's OUT back to userspace",
        lambda c: c.at("plain_w", 1) - _guest_write(c),
    ),
    Cost("guest_write", "instructions/access", "the guest's own loop, a write", _guest_write),
    Cost("guest_read", "instructions/access", "the guest's own loop, a read", lambda c: c.slope("plain_r")),
    Cost("fault_fast", "instructions/fault", "exit, fast_page_fault() that fixes a 4K page, entry", _fast),
    Cost(
        "fault_fast_2m",
        "instructions/fault",
        "the same for a 2M page of a slot that is not logged",
        _fast_huge("retouch2m_aftdisable"),
        (RECOVERS,),
        LIKE_FAST,
    ),
    Cost(
        "fault_fast_1g",
        "instructions/fault",
        "the same for a 1G page",
        _fast_huge("retouch1g_aftdisable"),
        (RECOVERS,),
        LIKE_FAST,
    ),
    Cost(
        "ring_push",
        "instructions/entry",
        "what a dirty ring adds to a fault, beside the bitmap",
        lambda c: c.slope("fast_2m_ring") - _guest_write(c) - _fast(c),
    ),
    Cost("fault_map_4k", "instructions/fault", "not present: map 4K of a 4K host page, slot not logged", _map_4k),
    Cost(
        "fault_map_4k_logged",
        "instructions/fault",
        "the same while the slot is logged",
        lambda c: c.slope("map4k_log_w") - _guest_write(c) - _lru(c),
    ),
    Cost(
        "fault_lru",
        "instructions/fault",
        "share of moving a 4K host page to the active list, in batches of 15 (6.1 alone: the rest is ticks)",
        _lru,
    ),
    Cost(
        "fault_map_4k_of_huge",
        "instructions/fault",
        "not present: map 4K of a 2M host page while the slot is logged",
        _map_4k_of_huge,
        (FAULT_SPLITS,),
    ),
    Cost(
        "fault_initset",
        "instructions/fault",
        "what initially-all-set adds to such a fault (6.1 alone)",
        _initset,
        (FAULT_SPLITS,),
    ),
    Cost(
        "fault_host_1g",
        "instructions/fault",
        "what a 1G host page adds to a slow fault: less than nothing, its walk is a level shorter",
        _host_1g,
        (FAULT_SPLITS,),
    ),
    Cost(
        "fault_unlogged",
        "instructions/fault",
        "what a slot that is not logged adds to mapping 4K: asking for the largest level",
        lambda c: _map_4k(c) + _lru(c) - (c.slope("map4k_log_w") - _guest_write(c)),
    ),
    Cost(
        "fault_slow",
        "instructions/fault",
        "write to a read-only 4K page that fast_page_fault() declines",
        _slow,
        (FAULT_SPLITS,),
        "6.1 from fault_map_4k_of_huge: it zaps where later kernels fix",
    ),
    Cost(
        "fault_split_2m",
        "instructions/split",
        "what a 2M split adds to a slow fault, its table taken from the vCPU's cache",
        _split_2m,
        (FAULT_SPLITS,),
    ),
    Cost("fault_split_1g", "instructions/split", "what a 1G split adds", _split_1g, (FAULT_SPLITS,)),
    Cost("fault_zap_2m", "instructions/zap", "what zapping a 2M page adds to mapping 4K", _zap_2m, (FAULT_SPLITS,)),
    Cost("fault_zap_1g", "instructions/zap", "what zapping a 1G page adds to mapping 4K", _zap_1g, (FAULT_SPLITS,)),
    Cost("fault_table", "instructions/table", "link a table from the vCPU's cache in a fault", _table),
    Cost(
        "cache_refill",
        "instructions/object",
        "refill of the vCPU's cache: a table page and its header, each zeroed",
        lambda c: (c.value("d_refill") / CACHE_REFILL).within(1, 1.15),  # the cheapest of three runs was kept
    ),
    Cost("fault_map_2m", "instructions/fault", "not present: map 2M", lambda c: c.slope("map2m_w") - _guest_write(c)),
    Cost("fault_map_1g", "instructions/fault", "not present: map 1G", _map_1g),
    Cost("host_fault_4k", "instructions/page", "the host page is absent too: host fault and zeroing", _host_fault),
    Cost(
        "host_fault_zero",
        "instructions/page",
        "the host maps its zero page for a read",
        lambda c: (_host_fault(c) / 2).within(0.4, 1.6).assumed(),
        derived="half of host_fault_4k: nothing is allocated or zeroed",
    ),
    Cost(
        "host_fault_2m",
        "instructions/page",
        "the host allocates and zeroes a huge page",
        lambda c: (c.slope("cal_stosq") * ZERO_WORDS * 512 + _host_fault(c)).within(0.9, 1.3).assumed(),
        derived="zeroing counted per iteration, and host_fault_4k once",
    ),
    Cost(
        "pml_full",
        "instructions/exit",
        "exit because the PML buffer is full",
        lambda c: c.value("d_exit_entry").within(0.7, 1.5).assumed(),
        derived="from the exit and entry of a fast fault on AMD; PML was not counted",
    ),
    Cost(
        "pml_entry",
        "instructions/entry",
        "reporting one entry of the PML buffer",
        lambda c: (c.slope("fast_2m_ring") - _guest_write(c) - _fast(c)).within(0.5, 4).assumed(),
        derived="from ring_push; PML was not counted",
    ),
    Cost(
        "vcpu_thread",
        "instructions/KVM_RUN",
        "waking a vCPU's thread for a parallel op and waiting for it",
        lambda _: assumption(10_000, 2_000, 40_000),
        derived="threads were not counted",
    ),
)
