"""The bill of an op in which the guest runs: KVM_RUN, its own loop, and every fault by what it did."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from mmuviz.ground.pages import PG_LEVEL_1G, PG_LEVEL_2M, PG_LEVEL_4K, SHIFT_1G, SHIFT_2M
from mmuviz.recording.columns import (
    CPU_DIRTY,
    DIRTY,
    FAST,
    FAST_FIXED,
    FAULT,
    I64,
    PRESENT,
    SPLIT,
    SPTE,
    TABLE,
    UNTRACED,
    WRITABLE,
    Runs,
)
from mmuviz.studies.bills.follow import HOST_NONE, HOST_PAGE, HOST_ZERO, Flags, Followed
from mmuviz.studies.bills.words import collect_bill, reset_bill

Bill = Counter[str]
HOST_SHIFT: Final = {"4k": 0, "thp": SHIFT_2M, "hugetlb_2m": SHIFT_2M, "hugetlb_1g": SHIFT_1G}


class Changes(NamedTuple):
    """Masks over an op's rows, bool[rows] each.

    Attributes:
        installed: a leaf is put in, or made writable, by a slow fault.
        linked: a table takes the place of nothing.
        zapped: a leaf goes.
        unlinked: a table goes.
        split: a split.
        armed: a ring reset inside the op protects a page.
    """

    installed: Flags
    linked: Flags
    zapped: Flags
    unlinked: Flags
    split: Flags
    armed: Flags


def changes_of(rows: Runs) -> Changes:
    """Tell an access op's rows apart."""
    entry = (rows.kind == SPTE) | (rows.kind == UNTRACED)
    was, now = rows.old & PRESENT != 0, rows.new & PRESENT != 0
    lost = rows.old & ~rows.new
    armed = entry & was & now & (rows.level == PG_LEVEL_4K) & (lost & (WRITABLE | DIRTY) != 0)
    armed &= rows.new & WRITABLE <= rows.old & WRITABLE
    table, tables = rows.old & TABLE != 0, rows.new & TABLE != 0
    return Changes(
        installed=entry & now & ~armed,
        linked=entry & tables & ~table & ~was,
        zapped=entry & was & ~now & ~tables,
        unlinked=entry & table & ~tables,
        split=rows.kind == SPLIT,
        armed=armed,
    )


def access_bill(followed: Followed, op: int) -> Bill:
    """What a read, write or parallel_write costs.

    Args:
        followed: before the op; its rings, caches, bitmap and host pages move past it.
        op: index of the op.

    Returns:
        How many of each entry of the ledger.
    """
    bill = _guest_bill(followed, op)
    if not bill:
        return bill
    rows = followed.rows(op)
    changes = changes_of(rows)
    logged = followed.logged_before(op)
    bill.update(_fault_bill(followed, rows, changes, logged=logged))
    if followed.recording.config.tdp_mmu:
        bill.update(_mapping_bill(followed, rows, changes, logged=logged))
    else:
        bill.update(_shadow_bill(followed, rows, logged=logged))
    bill.update(_host_bill(followed, rows, changes))
    if logged:
        _mark_dirty(followed, rows, changes, bill)
        bill.update(_pml_bill(followed, rows, op))
    return bill


def _guest_bill(followed: Followed, op: int) -> Bill:
    asked, config = followed.recording.ops[op], followed.recording.config
    accesses = int(followed.recording.touches_of_op(op).accesses.sum())
    if not accesses:
        return Bill()
    parallel = asked.kind == "parallel_write"
    vcpus = range(config.vcpus) if parallel else [int(asked.field("vcpu"))]
    loop = "guest_read" if asked.kind == "read" else "guest_write"
    filled = sum(followed.first_run(vcpu) for vcpu in vcpus)
    found = Bill({"run": len(vcpus), loop: accesses, "cache_refill": filled})
    if parallel:
        found["vcpu_thread"] = len(vcpus)
    return found


def _fault_bill(followed: Followed, rows: Runs, changes: Changes, *, logged: bool) -> Bill:
    """Fast faults, and slow ones that install nothing."""
    fixed = (rows.kind == FAST) & (rows.detail == FAST_FIXED)
    faults, fast = int(rows.entries[rows.kind == FAULT].sum()), int(rows.entries[fixed].sum())
    installs = int(rows.entries[changes.installed].sum()) if followed.recording.config.tdp_mmu else faults - fast
    found = Bill({"fault_slow": max(faults - fast - installs, 0)})
    levels = Counter({PG_LEVEL_4K: fast}) if logged else _levels(followed, rows.gfn[fixed])
    for name, level in {"fault_fast": PG_LEVEL_4K, "fault_fast_2m": PG_LEVEL_2M, "fault_fast_1g": PG_LEVEL_1G}.items():
        found[name] = levels[level]
    found.update(_refills(followed, rows, changes))
    return found


def _levels(followed: Followed, gfns: I64) -> Counter[int]:
    """Levels of the leaves that a fast fault fixes: they stood before the op or came with it."""
    tree = followed.map
    at = gfns - tree.origin
    huge = tree.l2[at >> SHIFT_2M] & TABLE == 0
    top = tree.l3[at >> SHIFT_1G] & TABLE == 0
    level = np.where(top, PG_LEVEL_1G, np.where(huge, PG_LEVEL_2M, PG_LEVEL_4K))
    return Counter(level.tolist())


def _refills(followed: Followed, rows: Runs, changes: Changes) -> Bill:
    """What the vCPUs' caches are filled with, fault by fault."""
    fault = rows.kind == FAULT
    number = np.cumsum(fault) - 1
    count = int(fault.sum())
    taking = (changes.linked | changes.split) & (number >= 0)
    taken = np.bincount(number[taking], rows.entries[taking], minlength=count).astype(np.int64)
    fixed = (rows.kind == FAST) & (rows.detail == FAST_FIXED) & (number >= 0)
    slow = np.bincount(number[fixed], minlength=count) == 0
    vcpus = rows.vcpu[fault]
    filled = 0
    for vcpu in np.unique(vcpus).tolist():
        filled += followed.take_from_cache(vcpu, taken[slow & (vcpus == vcpu)].tolist())
    return Bill({"cache_refill": filled})


def _mapping_bill(followed: Followed, rows: Runs, changes: Changes, *, logged: bool) -> Bill:
    """What slow faults did to the tables."""

    def count(mask: Flags, level: int | None = None) -> int:
        return int(rows.entries[mask if level is None else mask & (rows.level == level)].sum())

    fresh = changes.installed & (rows.old & PRESENT == 0)
    found = Bill(
        {
            "fault_slow": count(changes.installed & (rows.old & PRESENT != 0)),
            "fault_map_2m": count(fresh, PG_LEVEL_2M),
            "fault_map_1g": count(fresh, PG_LEVEL_1G),
            "fault_table": count(changes.linked),
            "fault_split_2m": count(changes.split, PG_LEVEL_2M),
            "fault_split_1g": count(changes.split, PG_LEVEL_1G),
            "zap_child": count(changes.zapped, PG_LEVEL_4K),
            "fault_zap_2m": count(changes.zapped, PG_LEVEL_2M),
            "fault_zap_1g": count(changes.zapped, PG_LEVEL_1G),
            "zap_table": count(changes.unlinked),
        }
    )
    backing = followed.recording.slot.backing
    if backing == "hugetlb_1g":
        found["fault_host_1g"] = found["fault_slow"] + count(fresh, PG_LEVEL_4K)
    found.update(_map_4k(followed, count(fresh, PG_LEVEL_4K), backing, logged=logged))
    return found


def _shadow_bill(followed: Followed, rows: Runs, *, logged: bool) -> Bill:
    """Slow faults of the shadow MMU, which tells of no SPTE: billed as the TDP MMU's.

    Where the slot is logged each maps 4K, else what the backing allows; tables and zaps are those
    found after the op.
    """
    fixed = (rows.kind == FAST) & (rows.detail == FAST_FIXED)
    slow = int(rows.entries[rows.kind == FAULT].sum()) - int(rows.entries[fixed].sum())
    backing = followed.recording.slot.backing
    linked = (rows.kind == UNTRACED) & (rows.new & TABLE != 0)
    zapped = linked & (rows.old & PRESENT != 0)
    found = Bill({"fault_table": int(rows.entries[linked].sum())})
    found["fault_zap_2m"] = int(rows.entries[zapped & (rows.level == PG_LEVEL_2M)].sum())
    found["fault_zap_1g"] = int(rows.entries[zapped & (rows.level == PG_LEVEL_1G)].sum())
    if logged or backing == "4k":
        found.update(_map_4k(followed, slow, backing, logged=logged))
    else:
        found["fault_map_1g" if backing == "hugetlb_1g" else "fault_map_2m"] = slow
    return found


def _map_4k(followed: Followed, faults: int, backing: str, *, logged: bool) -> Bill:
    """Faults that map 4K, by what stands behind the page and whether the slot is logged."""
    if backing == "4k":
        return Bill({"fault_map_4k_logged" if logged else "fault_map_4k": faults, "fault_lru": faults})
    found = Bill({"fault_map_4k_of_huge": faults})
    if not logged:
        found["fault_unlogged"] = faults
    elif followed.initially_set:
        found["fault_initset"] = faults
    return found


def _host_bill(followed: Followed, rows: Runs, changes: Changes) -> Bill:
    """Host pages that the faults had to bring in first."""
    found = Bill()
    if (followed.host == HOST_PAGE).all():
        return found
    shift = HOST_SHIFT[followed.recording.slot.backing]
    for row in np.flatnonzero(changes.installed):
        page = int(rows.gfn[row]) - followed.recording.slot.base_gfn
        writable = bool(rows.new[row] & WRITABLE)
        if followed.host[page] == HOST_PAGE or (followed.host[page] == HOST_ZERO and not writable):
            continue
        found[bring_in(followed, page, shift, writable=writable)] += 1
    return found


def bring_in(followed: Followed, page: int, shift: int, *, writable: bool) -> str:
    """Make a host page present.

    Args:
        followed: its host pages change.
        page: counted from the slot's start.
        shift: of a huge host page.
        writable: a page of its own, not the zero page.

    Returns:
        The ledger's entry for it.
    """
    move = followed.recording.slot.hva_offset_pages
    first = max((((page + move) >> shift) << shift) - move, 0)
    whole = slice(first, first + (1 << shift))
    huge = shift > 0 and bool((followed.host[whole] == HOST_NONE).all())
    followed.host[whole if huge else page] = HOST_PAGE if writable else HOST_ZERO
    if not writable:
        return "host_fault_zero"
    return "host_fault_2m" if huge else "host_fault_4k"


def _mark_dirty(followed: Followed, rows: Runs, changes: Changes, bill: Bill) -> None:
    """Put what the op dirtied into bitmap or rings, and bill the rings' resets inside the op."""
    fixed = (rows.kind == FAST) & (rows.detail == FAST_FIXED)
    marked = fixed | (changes.installed & (rows.level == PG_LEVEL_4K) & (rows.new & WRITABLE != 0))
    if followed.recording.config.pml:
        marked |= rows.kind == CPU_DIRTY
    if not followed.ring:
        followed.dirty[followed.offsets(_expanded(rows, marked))] = True
        return
    if followed.initially_set:
        return
    bill["ring_push"] += int(rows.entries[marked].sum())
    vcpu_of = _vcpus(followed, rows)
    begins = changes.armed & ~np.concatenate([[False], changes.armed[:-1]])
    for row in np.flatnonzero(marked | begins):
        if begins[row]:
            bill.update(_full_ring_bill(followed, rows, changes.armed, int(row)))
        else:
            followed.push(int(vcpu_of[row]), int(followed.offsets(rows.gfn[row])))


def _expanded(rows: Runs, mask: Flags) -> I64:
    """Every gfn of some rows."""
    counts = rows.entries[mask]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    gfns: I64 = np.repeat(rows.gfn[mask], counts) + np.repeat(rows.stride[mask], counts) * within
    return gfns


def _vcpus(followed: Followed, rows: Runs) -> I64:
    """The vCPU that each row belongs to: that of the newest fault."""
    fault = np.flatnonzero(rows.kind == FAULT)
    if not len(fault) or followed.recording.config.vcpus == 1:
        return np.zeros(len(rows.kind), dtype=np.int64)
    newest = np.clip(np.searchsorted(fault, np.arange(len(rows.kind)), side="right") - 1, 0, None)
    vcpus: I64 = rows.vcpu[fault[newest]]
    return vcpus


def _full_ring_bill(followed: Followed, rows: Runs, armed: Flags, row: int) -> Bill:
    """A ring was full: back to userspace, which harvests all rings, resets them and goes on."""
    stop = row + int(np.argmin(np.append(armed[row:], [False])))
    found = collect_bill(followed)
    found.update(reset_bill(followed, int(rows.entries[row:stop].sum())))
    found["run"] += 1
    return found


def _pml_bill(followed: Followed, rows: Runs, op: int) -> Bill:
    """Exits of a full PML buffer, and its entries."""
    if not followed.recording.config.pml:
        return Bill()
    exits = followed.recording.op_columns.pml_full_exits
    before = int(exits[op - 1]) if op else 0
    entries = int(rows.entries[rows.kind == CPU_DIRTY].sum())
    return Bill({"pml_full": int(exits[op]) - before, "pml_entry": entries})
