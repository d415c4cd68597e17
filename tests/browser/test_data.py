"""What the scripts read, fold and count must be what Python wrote, folds and counts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from mmuviz.recording.codec import TABLES, encode
from mmuviz.recording.columns import DIRTY, I64, PRESENT, SPTE, TABLE, WRITABLE, Recording, Slot
from mmuviz.recording.fold import PageMap, empty_map, leaves, map_after, set_entries
from mmuviz.recording.pair import encode_pair, split_pair
from mmuviz.recording.pending import pending_of
from tests.browser.chooser import Chosen, chooser
from tests.browser.harness import Harness, unpacked
from tests.browser.pairs import NAMES, pair
from tests.recording.samples import LEAF, drawn_recordings, recording
from tests.recording.test_codec import sample
from tests.recording.test_fold import PAGES, SLOT, histories

STACK = ("none", "k4", "m2", "g1", "protected4k", "protected2m", "protected1g", "dirtyBits")
MOST_EXACT = 1 << 53
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
FIELDS = """name => {
    const {config, kernel, name: title, note, ops, slot, ...tables} = window[name];
    const columns = Object.entries(tables).flatMap(([table, made]) =>
        Object.entries(made).map(([column, values]) => [table, column, packed(values)]));
    return {plain: {config, kernel, name: title, note, ops, slot}, columns};
}"""


def assert_reads(harness: Harness, made: Recording, name: str) -> None:
    """Field by field, column by column."""
    read: dict[str, Any] = harness.run(FIELDS, name)
    assert read["plain"] == {
        "config": made.config._asdict(),
        "kernel": made.kernel,
        "name": made.name,
        "note": made.note,
        "ops": [{"kind": op.kind, "fields": dict(op.fields)} for op in made.ops],
        "slot": made.slot._asdict(),
    }
    expected = {(table, column) for table, kind in TABLES.items() for column in kind._fields}
    assert {(table, column) for table, column, _ in read["columns"]} == expected
    for table, column, packed in read["columns"]:
        assert np.array_equal(unpacked(packed), getattr(getattr(made, table), column)), (table, column)


@FEW
@given(drawn_recordings())
def test_any_recording_is_read_field_by_field(harness: Harness, drawn: Recording) -> None:
    # JSON has no integers of its own: JavaScript reads doubles.
    numbers = [value for op in drawn.ops for _, value in op.fields if isinstance(value, int)]
    assume(all(abs(number) < MOST_EXACT for number in numbers))
    harness.give(encode(drawn))
    harness.run("() => { window.read = window.mmuviz.decode(window.buffer); }")
    assert_reads(harness, drawn, "read")


@pytest.mark.parametrize("name", NAMES)
def test_a_pair_is_read_field_by_field(harness: Harness, name: str) -> None:
    data = encode_pair(pair(name))
    header, _ = split_pair(data)
    harness.give(data)
    harness.run("() => { window.pair = window.mmuviz.decodePair(window.buffer); }")
    panes, columns = header.pop("panes"), header.pop("columns")
    assert harness.run("() => window.pair.header") == header
    assert {(index, each) for index, each, _, _ in columns} == {
        (index, each) for index in (0, 1) for each in ("say", "fresh_first", "fresh")
    }
    for index, made in enumerate(pair(name).sides):
        harness.run("i => { ({recording: window.read, ...window.rest} = window.pair.panes[i]); }", index)
        assert_reads(harness, made, "read")
        rest = harness.run("() => { const {say, fresh_first, fresh, ...plain} = window.rest; return plain; }")
        assert rest == panes[index]
        pending = pending_of(made)
        assert np.array_equal(harness.numbers("() => window.rest.fresh"), pending.fresh)
        assert np.array_equal(harness.numbers("() => window.rest.fresh_first"), pending.first_fresh)
        assert len(harness.numbers("() => window.rest.say")) == len(made.runs.kind)


def test_numbers_that_do_not_fit_32_bits_are_read(harness: Harness) -> None:
    far = 1 << 40
    steps = [(SPTE, 1, 0, LEAF, 0, 0, 0, (1 << 30) * step, 0, 1 + (1 << 30) * step) for step in range(5)]
    made = recording(Slot(0, 1 << 31, "4k", 0, host_populated=True), steps, [], note=f"{far}")
    harness.give(encode(made))
    harness.run("() => { window.read = window.mmuviz.decode(window.buffer); }")
    assert_reads(harness, made, "read")


CUT = "the recording is cut short; load the page again"
OLD = "the recording is of another version; load the page again"


@pytest.mark.parametrize(
    ("how", "data", "said"),
    [
        ("decode", b"", "these bytes are not a recording of MMUViz"),
        ("decode", b"<!doctype html>", "these bytes are not a recording of MMUViz"),
        ("decode", b"MMUVIZR\x02" + bytes(8), OLD),
        ("decode", encode(sample())[:-8], CUT),
        ("decode", encode(sample())[:100], CUT),
        ("decode", encode(sample()) + bytes(8), CUT),
        ("decodePair", encode(sample()), "these bytes are not a pair of recordings of MMUViz"),
        ("decodePair", b"MMUVIZP\x02" + bytes(8), OLD),
    ],
)
def test_bytes_that_cannot_be_read_are_said_in_words(harness: Harness, how: str, data: bytes, said: str) -> None:
    harness.give(data)
    read = "how => { try { window.mmuviz[how](window.buffer); return ''; } catch (error) { return error.message; } }"
    assert harness.run(read, how) == said


def test_a_pair_that_is_cut_short_is_said_in_words(harness: Harness) -> None:
    data = encode_pair(pair("S_shadow_2m_manual_initset__6.12"))
    read = "() => { try { window.mmuviz.decodePair(window.buffer); return ''; } catch (e) { return e.message; } }"
    for at in chooser().integers(40, len(data), 12).tolist():
        harness.give(data[:at])
        assert harness.run(read) == CUT


# ---- the page map


def words_of(page_map: PageMap, slot: Slot) -> I64:
    """level * 256 + word of every page of the slot, 0 where nothing maps it."""
    level, word = leaves(page_map, slot)
    return np.where(level > 0, level.astype(np.int64) * 256 + word, 0)


def stack_of(words: I64) -> list[int]:
    level = words >> 8
    shielded = (words > 0) & (words & WRITABLE == 0)
    dirty = (words > 0) & (words & (WRITABLE | DIRTY) == (WRITABLE | DIRTY))
    pages = [int((level == each).sum()) for each in range(4)]
    return pages + [int((shielded & (level == each)).sum()) for each in (1, 2, 3)] + [int(dirty.sum())]


def open_map(harness: Harness, made: Recording) -> None:
    harness.give(encode(made))
    harness.run("() => { window.map = new window.mmuviz.PageMap(window.mmuviz.decode(window.buffer)); }")


LEAVES = """cursor => {
    map.seek(cursor);
    const {base_gfn: base, pages} = map.recording.slot;
    const found = new Uint16Array(pages);
    for (let page = 0; page < pages; page += 1) {
        found[page] = map.leaf(base + page);
    }
    return found;
}"""
STACKS = "([ranges, names]) => ranges.map(([first, pages]) => map.stack(first, pages)).map(s => names.map(n => s[n]))"


def walk(harness: Harness, made: Recording, cursors: list[int], chosen: Chosen) -> None:
    """Go to each cursor in turn, and compare every page, some stacks, and what is said to have changed."""
    slot = made.slot
    before = words_of(map_after(made, 0), slot)
    harness.run("() => map.touched()")
    for cursor in cursors:
        expected = words_of(map_after(made, cursor), slot)
        assert np.array_equal(harness.numbers(LEAVES, cursor), expected), cursor
        ranges = [(slot.base_gfn, slot.pages), *some_ranges(slot, chosen)]
        parts = [expected[max(0, first - slot.base_gfn) : max(0, first + n - slot.base_gfn)] for first, n in ranges]
        assert harness.run(STACKS, [ranges, STACK]) == [stack_of(part) for part in parts], cursor
        origin = slot.base_gfn >> 18 << 18
        changed = np.unique((np.flatnonzero(before != expected) + slot.base_gfn - origin) >> 9)
        # A list of thousands is slow on its way out of the browser; packed it is quick, and -1 stands for all.
        touched = harness.numbers("() => { const all = map.touched(); return all === 'all' ? [-1] : all; }")
        assert touched.tolist() == [-1] or np.isin(changed, touched).all()
        before = expected


def some_ranges(slot: Slot, chosen: Chosen) -> list[tuple[int, int]]:
    """Aligned ranges that overlap the slot."""
    sizes = (512 << chosen.integers(0, 12, 4)).tolist()
    return [((slot.base_gfn + int(chosen.integers(slot.pages))) // size * size, size) for size in sizes]


@pytest.mark.parametrize("name", NAMES[::3])
def test_the_map_is_python_s_wherever_one_goes(harness: Harness, name: str) -> None:
    chosen = chooser(name)
    for made in pair(name).sides:
        rows = len(made.runs.kind)
        open_map(harness, made)
        walk(harness, made, [0, *chosen.integers(0, rows + 1, 4).tolist(), rows, 0], chosen)


@pytest.mark.parametrize("name", ["A_1g_legacy__6.1", "B_2m_64M_random1000_x5__6.12-intel-pml"])
def test_steps_back_undo_steps_forward(harness: Harness, name: str) -> None:
    chosen = chooser()
    made = pair(name).left
    rows = len(made.runs.kind)
    open_map(harness, made)
    for _ in range(2):
        start = int(chosen.integers(0, rows - 40))
        walk(harness, made, [start, *range(start + 1, start + 8), *range(start + 6, start - 1, -1), start + 30], chosen)


@FEW
@given(histories())
def test_the_map_follows_any_history(harness: Harness, rows: list[tuple[int, ...]]) -> None:
    made = recording(SLOT, rows, [])
    gfns = [SLOT.base_gfn + page for page in PAGES]
    open_map(harness, made)
    for cursor in (len(rows), len(rows) // 2, (len(rows) + 1) // 2, 0, len(rows)):
        expected = words_of(map_after(made, cursor), SLOT)
        found = harness.run(
            "([cursor, gfns]) => { map.seek(cursor); return gfns.map(gfn => map.leaf(gfn)); }", [cursor, gfns]
        )
        assert found == expected[PAGES].tolist()
        assert harness.run(STACKS, [[[SLOT.base_gfn, SLOT.pages]], STACK]) == [stack_of(expected)]


WIDE = Slot((5 << 18) + 777, 3 << 18, "hugetlb_1g", 0, host_populated=True)


def strided_history(chosen: Chosen, length: int) -> list[tuple[int, ...]]:
    """Rows of many entries at any distance, also falling; each lies where tables lead to."""
    page_map = empty_map(WIDE)
    words = [0, LEAF, LEAF & ~WRITABLE, LEAF & ~DIRTY, PRESENT, TABLE, TABLE, TABLE]
    rows: list[tuple[int, ...]] = []
    while len(rows) < length:
        level = int(chosen.choice([1, 1, 2, 2, 3]))
        at, stride = reachable(chosen, page_map, level)
        word = int(chosen.choice(words[:5] if level == 1 else words))
        if len(at):
            span = 1 << 9 * (level - 1)
            gfns = page_map.origin + at * span
            set_entries(page_map, level, gfns, word)
            rows.append((SPTE, level, 0, word, 0, 0, 0, int(gfns[0]), stride * span if len(at) > 1 else 0, len(at)))
    return rows


def reachable(chosen: Chosen, page_map: PageMap, level: int) -> tuple[I64, int]:
    """Entries of a level at equal distances, up to the first that no table leads to."""
    size = len(page_map[1:][3 - level])
    stride = int(chosen.choice([1, 1, 1, 2, 3, 7, -1, -2, 512]))
    count = min(int(chosen.choice([1, 2, 5, 300, 512, 1024, 262_144, 1 << 20])), size)
    first = int(chosen.choice([0, 512 * int(chosen.integers(1 + size // 512)), int(chosen.integers(size))]))
    at = first + stride * np.arange(count)
    at = at[(at >= 0) & (at < size)]
    if level < 3:
        led_to = (page_map.l2 if level == 1 else page_map.l3)[at >> 9] == TABLE
        at = at if led_to.all() else at[: int(led_to.argmin())]
    return at, stride


@pytest.mark.parametrize("seed", range(5))
def test_the_map_follows_rows_of_many_entries(harness: Harness, seed: int) -> None:
    chosen = chooser(seed)
    made = recording(WIDE, strided_history(chosen, 40), [])
    open_map(harness, made)
    walk(harness, made, [1, 2, 3, *chosen.integers(0, 41, 6).tolist(), 40, 0], chosen)


def test_leaves_that_stand_before_the_first_op_are_there(harness: Harness) -> None:
    start = [
        (2, LEAF, WIDE.base_gfn // 512 * 512 + 512, 512, 3),
        (1, PRESENT, (6 << 18) + 2048, 1, 4),
        (3, LEAF, 7 << 18, 0, 1),
    ]
    rows = [(SPTE, 3, LEAF, TABLE, 0, 0, 0, 7 << 18, 0, 1)]
    made = recording(WIDE, rows, start)
    open_map(harness, made)
    walk(harness, made, [0, 1, 0], chooser())


def test_a_row_of_one_entry_touches_one_region(harness: Harness) -> None:
    made = pair("A_2m_legacy__6.12").left
    row = int(np.flatnonzero((made.runs.kind == SPTE) & (made.runs.level < 3) & (made.runs.entries == 1))[50])
    open_map(harness, made)
    harness.run("row => { map.seek(row); map.touched(); map.seek(row + 1); }", row)
    region = (int(made.runs.gfn[row]) - made.slot.base_gfn) >> 9
    assert harness.run("() => Array.from(map.touched())") == [region]
    assert harness.run("() => Array.from(map.touched())") == []
