"""Sets of pages, a bit each, against Python's own sets."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.qemu.page_set import Pages

SIZES = st.sampled_from([1, 63, 64, 65, 200, 512, 1000, 1536])


def made(size: int, pages: set[int]) -> Pages:
    bits = np.zeros(size, np.bool_)
    bits[sorted(pages)] = True
    return Pages(bits)


def of(pages: Pages) -> set[int]:
    found: set[int] = set(np.flatnonzero(pages.bits).tolist())
    assert pages.count() == len(found)
    assert int(np.bitwise_count(pages.words.view(np.uint64)).sum()) == len(found), "no bit behind the last page"
    return found


@st.composite
def sets(draw: st.DrawFn, size: int) -> set[int]:
    """Few pages, or stretches of them."""
    found = set(draw(st.lists(st.integers(0, size - 1), max_size=20)))
    for _ in range(draw(st.integers(0, 2))):
        first = draw(st.integers(0, size - 1))
        found |= set(range(first, min(first + draw(st.integers(1, 200)), size)))
    return found


@given(st.data(), SIZES)
def test_a_set_holds_what_it_was_given(data: st.DataObject, size: int) -> None:
    pages = data.draw(sets(size))
    assert of(made(size, pages)) == pages
    everything = Pages.none_of(size)
    everything.add_all()
    assert of(everything) == set(range(size))


@given(st.data(), SIZES)
def test_adding_a_part_at_any_page(data: st.DataObject, size: int) -> None:
    pages = data.draw(sets(size))
    part = data.draw(st.integers(1, size))
    first = data.draw(st.integers(0, size - part))
    more = data.draw(sets(part))
    mine = made(size, pages)
    moved = {first + page for page in more}
    assert mine.add(first, made(part, more)) == len(moved - pages)
    assert of(mine) == pages | moved


@given(st.data(), SIZES)
def test_a_range_copied_and_dropped(data: st.DataObject, size: int) -> None:
    pages = data.draw(sets(size))
    first = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(first, size))
    mine = made(size, pages)
    assert of(mine.part(first, stop)) == {page - first for page in pages if first <= page < stop}
    mine.drop(first, stop)
    assert of(mine) == {page for page in pages if not first <= page < stop}


@given(st.data(), SIZES)
def test_taking_the_lowest(data: st.DataObject, size: int) -> None:
    pages = data.draw(sets(size))
    first = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(first, size))
    room = data.draw(st.one_of(st.none(), st.integers(0, 100)))
    mine = made(size, pages)
    assert mine.next_page(first) == min((page for page in pages if page >= first), default=None)
    wanted = sorted(page for page in pages if first <= page < stop)[:room]
    sent = mine.take(first, stop, room)
    if not wanted:
        assert sent is None
    else:
        assert sent is not None
        assert sent.numbers is not None
        assert (sent.first, sent.last, sent.pages) == (wanted[0], wanted[-1], len(wanted))
        assert sent.numbers.tolist() == wanted
    assert of(mine) == pages - set(wanted)


@given(st.data(), SIZES)
def test_pages_by_their_numbers(data: st.DataObject, size: int) -> None:
    pages, some = data.draw(sets(size)), data.draw(sets(size))
    numbers: Any = np.array(sorted(some), np.int64)
    mine = made(size, pages)
    assert mine.has(numbers).tolist() == [page in pages for page in sorted(some)]
    assert mine.held(numbers) == len(pages & some)
    assert of(mine) == pages
    assert mine.held(numbers, add=True) == len(pages & some)
    assert of(mine) == pages | some
    mine.drop_pages(numbers)
    assert of(mine) == pages - some
    mine.add_pages(numbers)
    assert of(mine) == pages | some


@given(st.data(), SIZES, st.sampled_from([64, 128, 512]))
def test_groups_of_pages(data: st.DataObject, size: int, group: int) -> None:
    pages = data.draw(sets(size))
    first = data.draw(st.integers(0, size - 1))
    groups = data.draw(st.integers(0, 4))
    mine = made(size, pages)
    assert mine.groups(group) == len({page // group for page in pages})
    later = sorted(page for page in pages if page >= first)
    chosen = sorted({page // group for page in later})[:groups]
    assert mine.pages_in_groups(first, size, group, groups) == sum(page // group in chosen for page in later)
    whole = size // group * group
    widened = pages | {page for page in range(whole) if page // group in {each // group for each in pages}}
    assert mine.widen(group) == len(widened - pages)
    assert of(mine) == widened
