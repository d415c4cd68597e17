"""Costs of walking, splitting, protecting and zapping whole slots: enable, disable, slots."""

from __future__ import annotations

from typing import Final

from mmuviz.costs.counted import Counts, Recipe, first_counted
from mmuviz.costs.estimate import Estimate, assumption
from mmuviz.costs.recipe import RECOVERS, Cost, absent, split_at

WORDS_PER_2M: Final = 8
WORDS_PER_1G: Final = 4096
CHILDREN: Final = 512
SMALL: Final = 32
"""2M pages whose bitmap, with two words per 64 pages, fits into one page; with twice as many it takes several."""
RECOVERED_EMPTY: Final = 0.8
"""Cost of an empty table as a share of that of a full one, on kernels without bookkeeping of removed leaves. 6.13
dropped that work, and a full table costs a third of its former cost; the empty part can have lost a fifth at most."""
BITMAP_PAGES: Final = 48
"""Pages of the dirty bitmap of 3 GiB."""


def _fill(counts: Counts) -> Estimate:
    return counts.slope("enable_initset", most=SMALL) / WORDS_PER_2M


def _bitmap_page(counts: Counts) -> Estimate:
    more = counts.slope("enable_initset", least=2 * SMALL) - counts.slope("enable_initset", most=SMALL)
    return more * SMALL


def _bitmap_free(counts: Counts) -> Estimate:
    return (counts.at("disable_lazy_1g", 3) - _disable(counts)) / (BITMAP_PAGES - 1)


def _enable(counts: Counts) -> Estimate:
    return counts.base("enable_lazy_2m", most=SMALL)


def _disable(counts: Counts) -> Estimate:
    return counts.base("disable_lazy_2m", most=SMALL)


def _protect_4k(counts: Counts) -> Estimate:
    return counts.slope("enable_4k_eager", "enable_4k_lazy")


def protect_huge(counts: Counts) -> Estimate:
    """Compute the cost of removing write access from one huge page."""
    return counts.slope("enable_lazy_2m", most=SMALL)


def _split(counts: Counts) -> Estimate:
    whole = counts.slope("enable_eager_2m", "enable_eager_2m_again")
    return whole - _protect_4k(counts) * CHILDREN - _bitmap_page(counts) / SMALL


def _walk_past(counts: Counts) -> Estimate:
    return counts.slope("disable_lazy_2m", most=SMALL)


def _collapsed(counts: Counts) -> Estimate:
    """Compute the cost of zapping or recovering a full table of 512 leaves, without the visit of the table itself."""
    return counts.slope("disable_split_2m", "disable_split_2m_is") - _walk_past(counts)


def _host_1g(counts: Counts) -> Estimate:
    fixed, visit = _disable(counts), _walk_past(counts)
    tables = [(counts.at("disable_split_1g", size) - fixed) / (CHILDREN * size) for size in (1, 2, 3)]
    middle = sorted(tables, key=lambda each: each.value)[1]
    return (middle - visit - _collapsed(counts)) / CHILDREN


def _host_lru(counts: Counts) -> Estimate:
    return counts.slope("delslot_4k") - counts.slope("delslot_split2m") / CHILDREN


def _empty_share(counts: Counts) -> float:
    old = counts.on((6, 1))
    return old.value("d_disable_table").value / _collapsed(old).value


_table: Final = split_at(
    RECOVERS,
    # It was counted separately on one kernel; on the others it is assumed to be the same share of a full table.
    before=first_counted(
        [
            lambda c: c.value("d_disable_table"),
            lambda c: (_collapsed(c) * _empty_share(c)).within(0.3, 1.7).assumed(),
        ]
    ),
    since=lambda c: (_collapsed(c) * RECOVERED_EMPTY).within(0.45, 1.2).assumed(),
)


def _child(counts: Counts) -> Estimate:
    return _full_less_empty(_collapsed(counts), _table(counts))


def _full_less_empty(whole: Estimate, table: Estimate) -> Estimate:
    """Compute the cost of a child; the errors of table and children are opposite, so the range is that of the whole."""
    value = (whole.value - table.value) / CHILDREN
    low, high = ((whole.value * part - table.low) / CHILDREN for part in (whole.low / whole.value, 1))
    ends = sorted((low, high, value, (whole.high - table.high) / CHILDREN, (whole.high - table.low) / CHILDREN))
    return Estimate(value, max(0.0, ends[0]), ends[-1], tuple(dict.fromkeys((*whole.sources, *table.sources))))


def _zap(part: str, recipe: Recipe) -> Recipe:
    return split_at(RECOVERS, before=recipe, since=absent(f"zap_{part}"))


def _recover(part: str, recipe: Recipe) -> Recipe:
    return split_at(RECOVERS, before=absent(f"recover_{part}"), since=recipe)


def _delete_table(counts: Counts) -> Estimate:
    return (counts.slope("delslot_split2m") * _empty_share(counts)).within(0.3, 1.7).assumed()


def _delete_child(counts: Counts) -> Estimate:
    return _full_less_empty(counts.slope("delslot_split2m"), _delete_table(counts))


SHARE: Final = "6.1's share of an empty table (64 tables of one child, counted) in a full one"
REST: Final = "what a full table, which was counted, takes beyond an empty one"

SLOT_IOCTLS: Final = (
    Cost("enable", "instructions/ioctl", "enable, lazily", _enable),
    Cost(
        "enable_eager",
        "instructions/ioctl",
        "what splitting eagerly adds to it where there is nothing to split",
        lambda c: c.base("enable_4k_unmapped") - _enable(c),
    ),
    Cost("enable_initset", "instructions/ioctl", "enable under initially-all-set", lambda c: c.base("enable_initset")),
    Cost("bitmap_page", "instructions/page", "allocate and zero a page of the dirty bitmap", _bitmap_page),
    Cost("bitmap_fill", "instructions/word", "set a word of the dirty bitmap", _fill),
    Cost("bitmap_free", "instructions/page", "free a page of the dirty bitmap", _bitmap_free),
    Cost("split_enable", "instructions/split", "split one huge page at enable, its table allocated there", _split),
    Cost("protect_4k", "instructions/page", "enable takes write access of a 4K page", _protect_4k),
    Cost(
        "protect_huge",
        "instructions/page",
        "enable or CLEAR takes write access of a huge page",
        protect_huge,
    ),
    Cost(
        "visit_4k",
        "instructions/entry",
        "enable walks past a 4K entry that it does not change",
        lambda c: c.slope("enable_4k_eager_alreadywp"),
    ),
    Cost(
        "visit_huge",
        "instructions/entry",
        "enable walks past an entry of a higher table that it does not change",
        lambda c: c.slope("enable_lazy_2m_again", most=SMALL),
    ),
    Cost("disable", "instructions/ioctl", "disable", _disable),
    Cost("disable_visit", "instructions/entry", "disable walks past an entry of a higher table", _walk_past),
    Cost(
        "disable_lookup",
        "instructions/table",
        "disable asks for the largest level of a table, and leaves it standing",
        lambda c: c.slope("disable_4k") * CHILDREN - _walk_past(c),
    ),
    Cost(
        "zap_table",
        "instructions/table",
        "disable zaps a table: its 512 entries, all empty",
        _zap("table", _table),
        (RECOVERS,),
        f"6.12 from {SHARE}",
    ),
    Cost(
        "zap_child",
        "instructions/page",
        "the same: what each leaf in it adds",
        _zap("child", _child),
        (RECOVERS,),
        REST,
    ),
    Cost(
        "recover_table",
        "instructions/table",
        "disable makes a huge page of a table: its 512 entries, all empty but one",
        _recover("table", _table),
        (RECOVERS,),
        "four fifths of a full table, which was counted: what 6.13 no longer does was done to leaves",
    ),
    Cost(
        "recover_child",
        "instructions/page",
        "the same: what each leaf adds",
        _recover("child", _child),
        (RECOVERS,),
        REST,
    ),
    Cost(
        "collapse_host_1g",
        "instructions/page",
        "what a 1G host page adds to each leaf that disable zaps or recovers",
        _host_1g,
        (RECOVERS,),
    ),
    Cost(
        "zap_host_lru",
        "instructions/page",
        "what a host page that is not hugetlb adds to zapping a leaf (6.1 alone: hugetlb is on no list)",
        lambda c: _host_lru(c).assumed(),
        (RECOVERS,),
        "from deleting slots of 4K pages and of hugetlb; disable was counted for hugetlb alone",
    ),
    Cost(
        "slot_create",
        "instructions/ioctl",
        "create a memslot",
        lambda c: c.base("slot_create_2m", c.slope("slot_create_2m", "slot_create_4k", "slot_create_1g")),
    ),
    Cost(
        "slot_page",
        "instructions/4K page",
        "what each page of the slot adds",
        lambda c: c.slope("slot_create_2m", "slot_create_4k", "slot_create_1g"),
    ),
    Cost(
        "slot_delete",
        "instructions/ioctl",
        "delete a memslot: the whole VM is zapped, and waited for",
        lambda c: c.base("delslot_2m"),
    ),
    Cost("delete_table", "instructions/table", "delete: an empty table", _delete_table, derived=f"from {SHARE}"),
    Cost("delete_child", "instructions/page", "delete: what each 4K leaf of a table adds", _delete_child, derived=REST),
    Cost("delete_huge", "instructions/page", "delete: a huge page", lambda c: c.slope("delslot_2m", most=256)),
    Cost(
        "eager_switch",
        "instructions/call",
        "write kvm's parameter eager_page_split: open, write, close",
        lambda _: assumption(8_000, 3_000, 20_000),
        derived="three system calls; not counted",
    ),
    Cost(
        "host_write",
        "instructions/page",
        "the host's own loop that writes a byte to a page",
        lambda _: assumption(8, 3, 40),
        derived="as the guest's loop; not counted",
    ),
    Cost(
        "dontneed",
        "instructions/call",
        "madvise(MADV_DONTNEED) and KVM's notifier",
        lambda _: assumption(5_000, 2_000, 20_000),
        derived="not counted",
    ),
    Cost(
        "dontneed_page",
        "instructions/page",
        "freeing a 4K host page",
        lambda _: assumption(200, 50, 600),
        derived="not counted",
    ),
)
