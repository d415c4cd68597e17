"""The host side of the slow twin: the host pages that back a memslot.

One dict entry a host page, counted from the start of the host mapping (which starts at a multiple
of 1 GiB). Plain Python, nothing from `mmuviz`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

NONE, ZERO, READ_ONLY, PRESENT = "none", "zero", "read_only", "present"
SPAN = {1: 1, 2: 512, 3: 512 * 512}
HUGETLB_LEVEL = {"hugetlb_2m": 2, "hugetlb_1g": 3}


@dataclass
class Fault:
    """The host's answer to one fault: the mapping level, whether it is writable, and the pages that it invalidated."""

    level: int
    writable: bool
    invalidated: tuple[int, int] | None = None


@dataclass
class HostMemory:
    """Anonymous host memory behind one memslot, page by page.

    `page` says what a 4K host page is; `huge` holds, for a page mapped by a huge host page, the
    level of that mapping.
    """

    backing: str
    pages: int
    populated: bool
    allocates_on_huge_zero_write: bool
    dontneed_frees_tables: bool
    dontneed_rounds_down: bool
    page: dict[int, str] = field(default_factory=dict)
    huge: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.populated:
            for hpage in range(self.pages):
                if self.page.get(hpage, NONE) == NONE:
                    self.fault(hpage, write=True)

    def _region(self, hpage: int, level: int) -> range:
        first = hpage - hpage % SPAN[level]
        return range(first, first + SPAN[level])

    def _fill(self, pages: range, state: str, level: int) -> None:
        for each in pages:
            self.page[each] = state
            self.huge[each] = level

    def _unit_level(self, hpage: int) -> int:
        """The level of the page that a host fault allocates here."""
        if self.backing in HUGETLB_LEVEL:
            return HUGETLB_LEVEL[self.backing]
        if self.backing == "thp":
            region = self._region(hpage, 2)
            empty = all(self.page.get(each, NONE) == NONE and each not in self.huge for each in region)
            if region[-1] < self.pages and empty:
                return 2
        return 1

    def mapping_level(self, hpage: int) -> int:
        """The level at which the host maps this page now (4K where nothing is mapped)."""
        return self.huge.get(hpage, 1) if self.page.get(hpage, NONE) != NONE else 1

    def fault(self, hpage: int, *, write: bool) -> Fault:
        """Fault a page in as get_user_pages() does for KVM, or as a host write does."""
        state = self.page.get(hpage, NONE)
        if state == NONE:
            level = self._unit_level(hpage)
            region = self._region(hpage, level)
            if write:
                self._fill(region, PRESENT, level)
                return Fault(level, writable=True)
            # A private hugetlb read fault maps a page of its own, read-only; other anonymous
            # memory maps the zero page (the huge one where a huge page would fit).
            hugetlb = self.backing in HUGETLB_LEVEL
            self._fill(region, READ_ONLY if hugetlb else ZERO, level)
            return Fault(level, writable=False)
        level = self.huge[hpage]
        if state == PRESENT:
            return Fault(level, writable=True)
        if not write:
            return Fault(level, writable=False)
        region = self._region(hpage, level)
        if state == READ_ONLY:  # the only owner of the page: made writable where it stands
            self._fill(region, PRESENT, level)
            return Fault(level, writable=True)
        if level > 1 and not self.allocates_on_huge_zero_write:
            self._fill(region, ZERO, 1)
            self._fill(range(hpage, hpage + 1), PRESENT, 1)
        else:
            self._fill(region, PRESENT, level)
        return Fault(self.huge[hpage], writable=True, invalidated=(region[0], region[-1] + 1))

    def dontneed(self, start: int, count: int) -> list[tuple[int, int]]:
        """MADV_DONTNEED of host pages; returns the ranges that the MMU notifier invalidates."""
        if self.backing in HUGETLB_LEVEL:  # whole huge pages only
            over = count % SPAN[HUGETLB_LEVEL[self.backing]]
            count -= over if self.dontneed_rounds_down or not over else over - SPAN[HUGETLB_LEVEL[self.backing]]
        if count == 0:
            return []
        invalidated = [(start, start + count)]
        for edge in (start, start + count - 1):
            region = self._region(edge, 2)
            whole = start <= region[0] and region[-1] < start + count
            if self.backing == "thp" and self.huge.get(edge) == 2 and not whole:
                for each in region:
                    self.huge[each] = 1
                invalidated.append((region[0], region[-1] + 1))
        for each in range(start, start + count):
            self.page.pop(each, None)
            region = self._region(each, 2)
            whole = start <= region[0] and region[-1] < min(start + count, self.pages)
            # A table of single host pages stays, unless the kernel frees it once it is empty.
            if self.huge.get(each) != 1 or (whole and self.dontneed_frees_tables):
                self.huge.pop(each, None)
        return invalidated
