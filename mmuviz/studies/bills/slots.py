"""The bills of what works on a whole slot: create, enable, disable, delete; and of what the host does."""

from __future__ import annotations

from collections import Counter

import numpy as np

from mmuviz.ground.pages import BITS_PER_LONG, PAGE_BYTES, PG_LEVEL_4K
from mmuviz.recording.columns import PRESENT, SPLIT, SPTE, TABLE, UNTRACED, Runs
from mmuviz.studies.bills.accesses import HOST_SHIFT, bring_in
from mmuviz.studies.bills.follow import HOST_NONE, HOST_PAGE, Flags, Followed
from mmuviz.studies.bills.words import protected_of

Bill = Counter[str]


def slot_bill(followed: Followed) -> Bill:
    """What creating the memslot costs."""
    return Bill({"slot_create": 1, "slot_page": followed.recording.slot.pages})


def _bitmap_pages(followed: Followed) -> int:
    """Pages of the dirty bitmap that cost something: the first comes with the slab, and a ring needs none.

    Kernel: kvm_alloc_dirty_bitmap(), which takes two bits a page, virt/kvm/kvm_main.c
    """
    pages = 2 * followed.recording.slot.pages // (8 * PAGE_BYTES)
    return 0 if followed.ring else max(pages - 1, 0)


def enable_bill(followed: Followed, op: int) -> Bill:
    """What setting KVM_MEM_LOG_DIRTY_PAGES costs; `followed` must stand behind the op's rows."""
    if followed.logged_before(op):
        return Bill({"enable": 1})
    bitmap = _bitmap_pages(followed)
    followed.dirty[:] = followed.initially_set
    if followed.initially_set:
        words = 0 if followed.ring else -(-followed.recording.slot.pages // BITS_PER_LONG)
        return Bill({"enable_initset": 1, "bitmap_page": bitmap, "bitmap_fill": words})
    rows, standing = followed.rows(op), followed.standing()
    small, huge = protected_of(rows)
    splits = int(rows.entries[rows.kind == SPLIT].sum())
    eager = int(followed.eager and followed.recording.config.tdp_mmu)
    visits = (1 + eager) * (standing.entries_2m - splits) - huge
    found = Bill({"enable": 1, "enable_eager": eager, "bitmap_page": bitmap, "split_enable": splits})
    found["protect_4k"] = small
    found["protect_huge"] = huge
    found["visit_4k"] = max(int(standing.tables.sum()) - small, 0)
    found["visit_huge"] = max(visits, 0)
    return found


def disable_bill(followed: Followed, op: int) -> Bill:
    """What clearing KVM_MEM_LOG_DIRTY_PAGES costs; `followed` must stand before the op's rows."""
    if not followed.logged_before(op):
        return Bill({"disable": 1})
    rows, standing = followed.rows(op), followed.standing()
    entry = (rows.kind == SPTE) | (rows.kind == UNTRACED)
    gone = entry & (rows.old & TABLE != 0) & (rows.new & TABLE == 0)
    recovered = bool((gone & (rows.new & PRESENT != 0)).any())
    leaves = entry & (rows.old & PRESENT != 0) & (rows.new & PRESENT == 0) & (rows.new & TABLE == 0)
    tables, children = int(rows.entries[gone].sum()), int(rows.entries[leaves].sum())
    found = Bill({"disable": 1, "disable_visit": standing.entries_2m, "bitmap_free": _bitmap_pages(followed)})
    found["recover_table" if recovered else "zap_table"] = tables
    found["recover_child" if recovered else "zap_child"] = children
    backing = followed.recording.slot.backing
    if backing == "hugetlb_1g":
        found["collapse_host_1g"] = children
    elif backing == "thp":
        found["zap_host_lru"] = children
    of_2m = int(rows.entries[gone & (rows.level == PG_LEVEL_4K + 1)].sum())
    found["disable_lookup"] = max(standing.tables_2m - of_2m, 0)
    return found


def delete_bill(followed: Followed) -> Bill:
    """What deleting the memslot costs; `followed` must stand before the op's rows. Everything goes with it."""
    standing = followed.standing()
    followed.dirty[:] = False
    return Bill(
        {
            "slot_delete": 1,
            "delete_table": standing.tables_2m + max(standing.tables_1g - 1, 0),
            "delete_child": int(standing.present.sum()),
            "delete_huge": standing.leaves_2m,
            "zap_host_lru": 0 if followed.recording.slot.backing.startswith("hugetlb") else int(standing.present.sum()),
        }
    )


def host_write_bill(followed: Followed, op: int) -> Bill:
    """What the host's own writes cost."""
    asked = followed.recording.ops[op]
    pages = int(asked.field("start")) + int(asked.field("stride")) * np.arange(int(asked.field("count")))
    found = Bill({"host_write": len(pages)})
    shift = HOST_SHIFT[followed.recording.slot.backing]
    for page in pages[followed.host[pages] != HOST_PAGE].tolist():
        if followed.host[page] != HOST_PAGE:
            found[bring_in(followed, page, shift, writable=True)] += 1
    found.update(_zapped(followed.rows(op)))
    return found


def dontneed_bill(followed: Followed, op: int) -> Bill:
    """What madvise(MADV_DONTNEED) costs: the call, the host's pages, and what KVM's notifier zaps."""
    asked = followed.recording.ops[op]
    start = int(asked.field("start"))
    pages = followed.host[start : start + int(asked.field("count"))]
    found = Bill({"dontneed": 1, "dontneed_page": int((pages != HOST_NONE).sum())})
    pages[:] = HOST_NONE
    found.update(_zapped(followed.rows(op)))
    return found


def _zapped(rows: Runs) -> Bill:
    """Leaves and tables that a notifier took."""
    entry: Flags = (rows.kind == SPTE) | (rows.kind == UNTRACED)
    leaf = entry & (rows.old & PRESENT != 0) & (rows.new == 0)
    table = entry & (rows.old & TABLE != 0) & (rows.new == 0)
    return Bill({"zap_child": int(rows.entries[leaf].sum()), "zap_table": int(rows.entries[table].sum())})
