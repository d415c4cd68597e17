"""What the guest's accesses cost: KVM_RUN, the guest's loop, and faults."""

from __future__ import annotations

from typing import Final

from mmuviz.costs.counted import Counts, NotCounted, first_counted
from mmuviz.costs.estimate import Estimate, assumption
from mmuviz.costs.recipe import FAULT_SPLITS, RECOVERS, Cost

CACHE_REFILL: Final = 36
"""Objects that a refill of the vCPU's cache of 40 adds where 4 remain; every 36th table pays for them."""
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


def _map_4k_of_huge(counts: Counts) -> Estimate:
    # Before 6.2 that run is the refault of what the fault had zapped, after it a fast fault.
    label = "lazyrest2m" if counts.release < FAULT_SPLITS else "map4k_log2m_w"
    return counts.slope(label) - _guest_write(counts)


def _initset(counts: Counts) -> Estimate:
    if counts.release >= FAULT_SPLITS:
        return Estimate(0, 0, 0, ("lazyrest2m_initset",))
    return counts.slope("lazyrest2m_initset") - counts.slope("lazyrest2m")


def _host_1g(counts: Counts) -> Estimate:
    if counts.release < FAULT_SPLITS:
        return counts.slope("lazy1g_rest") - counts.slope("lazyrest2m")
    return counts.slope("lazy1g_rest_initset") - counts.slope("lazyrest2m_initset")


def _slow(counts: Counts) -> Estimate:
    if counts.release < FAULT_SPLITS:
        return _map_4k_of_huge(counts).assumed()
    return counts.slope("lazyrest2m_initset") - _guest_write(counts)


def _split_2m(counts: Counts) -> Estimate:
    if counts.release < FAULT_SPLITS:
        raise NotCounted("fault_split_2m")
    return counts.value("seq_lazyfirst2m_legacy") - _guest_write(counts) - _slow(counts)


def _split_1g(counts: Counts) -> Estimate:
    if counts.release < FAULT_SPLITS:
        raise NotCounted("fault_split_1g")
    return counts.value("d_first1g") - counts.value("seq_lazyfirst2m_legacy") - _host_1g(counts)


def _zap_2m(counts: Counts) -> Estimate:
    if counts.release >= FAULT_SPLITS:
        raise NotCounted("fault_zap_2m")
    first = counts.slope("lazyfirst2m", most=16) - _guest_write(counts)
    return first - _map_4k_of_huge(counts) - _table(counts)


def _zap_1g(counts: Counts) -> Estimate:
    if counts.release >= FAULT_SPLITS:
        raise NotCounted("fault_zap_1g")
    first = counts.value("d_first1g") - _guest_write(counts)
    return first - _map_4k_of_huge(counts) - _host_1g(counts) - _table(counts) * 2


def _fast_huge(label: str, counts: Counts) -> Estimate:
    if counts.release < RECOVERS:
        return _fast(counts).assumed()
    return counts.slope(label) - _guest_write(counts)


def _host_fault(counts: Counts) -> Estimate:
    return counts.slope("map4k_hostfault") - counts.slope("map4k_w")


def _map_1g(counts: Counts) -> Estimate:
    # Up to 6.12 the refault after disabling maps 1G too, and more of them were counted.
    label = "retouch1g_aftdisable" if counts.release < RECOVERS else "map1g_w"
    return counts.slope(label) - _guest_write(counts)


LIKE_FAST: Final = "up to 6.12 from fault_fast: a huge page is seldom fixed there, and was not counted"

ACCESS: Final = (
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
        lambda c: _fast_huge("retouch2m_aftdisable", c),
        (RECOVERS,),
        LIKE_FAST,
    ),
    Cost(
        "fault_fast_1g",
        "instructions/fault",
        "the same for a 1G page",
        lambda c: _fast_huge("retouch1g_aftdisable", c),
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
        lambda c: (c.value("d_refill") / CACHE_REFILL).within(1, 1.15),  # the cheapest of three was kept
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
