"""Pending pages against sets of pages, access by access."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmuviz.engine.replayed import record_file
from mmuviz.recording.columns import DirtyRanges, Op, Recording, Slot, Touches
from mmuviz.recording.pending import pages_never_told, pending_of
from tests.recording.samples import CONFIG, recording, table

RECORDINGS = Path(__file__).parent.parent / "recordings"
PAGES = 128
SLOT = Slot(0, PAGES, "4k", 0, host_populated=True)
PAGE = st.integers(0, PAGES - 1)

# An op as the tests speak of it: kind, pages in order (touched or told of), fields, whether the slot is logged after.
Step = tuple[str, list[int], dict[str, Any], bool]


def runs_of_pages(pages: list[int]) -> list[tuple[int, int]]:
    """Ascending pages as ranges of (first, pages)."""
    ranges: list[tuple[int, int]] = []
    for page in sorted(set(pages)):
        if ranges and sum(ranges[-1]) == page:
            ranges[-1] = (ranges[-1][0], ranges[-1][1] + 1)
        else:
            ranges.append((page, 1))
    return ranges


def made(steps: list[Step], mode: str = "manual") -> Recording:
    touches: list[tuple[int, int, int]] = []
    ranges: list[tuple[int, int]] = []
    first_touch, first_range = [0], [0]
    for kind, pages, _, _ in steps:
        if kind in ("write", "read", "parallel_write"):
            # Steps of equal distance are one row, as the engine writes them: the reader must unfold them.
            even = len(pages) > 1 and len({after - page for page, after in pairwise(pages)}) == 1
            touches += [(pages[0], pages[1] - pages[0], len(pages))] if even else [(page, 0, 1) for page in pages]
        else:
            ranges += runs_of_pages(pages)
        first_touch.append(len(touches))
        first_range.append(len(ranges))
    plain = recording(SLOT, [], [])
    count = len(steps)
    columns = {name: plain.op_columns._asdict()[name].repeat(count) for name in plain.op_columns._fields[4:]}
    return recording(
        SLOT,
        [],
        [],
        config=CONFIG._replace(dirty_log_mode=mode),
        ops=tuple(Op(kind, tuple(sorted(fields.items()))) for kind, _, fields, _ in steps),
        touches=table(Touches, touches),
        ranges=table(DirtyRanges, ranges),
        op_columns=plain.op_columns._replace(
            first_run=table(Touches, [(0, 0, 0)] * (count + 1)).page,
            first_touch=table(Touches, [(at, 0, 0) for at in first_touch]).page,
            first_range=table(Touches, [(at, 0, 0) for at in first_range]).page,
            logging=table(Touches, [(logged, 0, 0) for *_, logged in steps]).page.astype("uint8"),
            **columns,
        ),
    )


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Step]]:
    mode = draw(st.sampled_from(["legacy", "manual", "ring"]))
    tell, arm = {"ring": ("ring_collect", "ring_reset"), "manual": ("get", "clear"), "legacy": ("get", "read")}[mode]
    steps: list[Step] = []
    logged = False
    for _ in range(draw(st.integers(0, 14))):
        kind = draw(st.sampled_from(["write", "write", "write", "parallel_write", "read", tell, tell, arm, "toggle"]))
        if kind == "toggle":
            kind, logged = ("disable", False) if logged else ("enable", True)
        pages: list[int] = []
        fields: dict[str, Any] = {}
        if kind in ("write", "parallel_write", "read", "get", "ring_collect"):
            even = st.builds(lambda start, step: [*range(start, PAGES, step)], PAGE, st.integers(1, 40))
            pages = draw(st.lists(PAGE, max_size=12) | even)
        if kind == "clear":
            first = 64 * draw(st.integers(0, 1))
            size = draw(st.sampled_from([64, PAGES - first]))
            fields = {"first_page": first, "num_pages": size, "bits": draw(st.sampled_from(["last", "all", "list"]))}
        steps.append((kind, pages, fields, logged))
    return mode, steps


def walked(steps: list[Step]) -> tuple[list[int], list[list[int]], list[int]]:
    """Pages pending before each op and after the last, fresh accesses of each op, pages of the newest answer."""
    waiting: set[int] = set()
    copied_later: set[int] = set()  # told of, and copied once they are armed
    before, fresh, told = [0], [], [0]
    for kind, pages, fields, logged in steps:
        new: list[int] = []
        answer = told[-1]
        if kind in ("get", "ring_collect"):
            answer = len(set(pages))
        if not logged:
            waiting.clear()
            copied_later.clear()
        elif kind in ("write", "parallel_write"):
            for access, page in enumerate(pages):
                if page not in waiting:
                    new.append(access)
                    waiting.add(page)
        elif kind in ("get", "ring_collect"):
            waiting -= set(pages)
            copied_later = set(pages) | (copied_later if kind == "ring_collect" else set())
        elif kind == "ring_reset":
            waiting -= copied_later
            copied_later.clear()
        elif kind == "clear" and fields["bits"] != "list":
            armed = copied_later & set(range(fields["first_page"], fields["first_page"] + fields["num_pages"]))
            waiting -= armed
            copied_later -= armed
        before.append(len(waiting))
        fresh.append(new)
        told.append(answer)
    return before, fresh, told


@given(histories())
def test_pending_pages_are_those_of_a_plain_set(history: tuple[str, list[Step]]) -> None:
    mode, steps = history
    before, fresh, told = walked(steps)
    found = pending_of(made(steps, mode))
    assert found.before.tolist() == before
    assert found.told.tolist() == told
    rows = found.first_fresh.tolist()
    assert [found.fresh[rows[op] : rows[op + 1]].tolist() for op in range(len(steps))] == fresh


@given(histories())
def test_fresh_accesses_add_up_to_what_an_op_adds(history: tuple[str, list[Step]]) -> None:
    mode, steps = history
    found = pending_of(made(steps, mode))
    for op, (kind, *_, logged) in enumerate(steps):
        added = found.first_fresh[op + 1] - found.first_fresh[op]
        grown = found.before[op + 1] - found.before[op]
        assert grown == added if kind in ("write", "parallel_write") and logged else added == 0 and grown <= 0


def loading(pages: list[int], *rest: Step) -> list[Step]:
    return [("enable", [], {}, True), ("write", pages, {}, True), *rest]


CLEAR = {"first_page": 0, "num_pages": PAGES, "bits": "last"}


@pytest.mark.parametrize(
    ("steps", "lost"),
    [
        ([], 0),
        (loading([1, 2, 3]), 0),  # nobody asked
        (loading([1, 2, 3], ("get", [1, 3], {}, True)), 1),
        (loading([1, 2, 3], ("get", [1, 3], {}, True), ("disable", [], {}, False)), 1),
        (loading([1], ("get", [1], {}, True), ("write", [2], {}, True)), 0),  # nobody asked since
        (loading([1, 2], ("get", [1], {}, True), ("write", [2], {}, True), ("get", [2], {}, True)), 0),
        # Written after GET and before CLEAR: userspace copies the page after CLEAR.
        (loading([1], ("get", [1], {}, True), ("write", [1], {}, True), ("clear", [], CLEAR, True)), 0),
        # The same, and asked once more before arming: the second answer must not make it lost.
        (
            loading(
                [1],
                ("ring_collect", [1], {}, True),
                ("write", [1], {}, True),
                ("ring_collect", [], {}, True),
                ("ring_reset", [], {}, True),
            ),
            0,
        ),
        # Written after CLEAR and not told of: lost.
        (
            loading(
                [1],
                ("get", [1], {}, True),
                ("clear", [], CLEAR, True),
                ("write", [1], {}, True),
                ("get", [], {}, True),
                ("clear", [], CLEAR, True),
            ),
            1,
        ),
        # CLEAR of bits that no GET told of drops the page.
        (
            loading(
                [1], ("clear", [], {**CLEAR, "bits": "all"}, True), ("get", [], {}, True), ("clear", [], CLEAR, True)
            ),
            1,
        ),
    ],
)
def test_a_page_is_lost_where_nobody_is_told_of_it_in_time(steps: list[Step], lost: int) -> None:
    assert pages_never_told(made(steps)) == lost


# Recorded KVM: pages 991 and 992 are cleared and written; only the second lies in a huge page that stays writable.
@pytest.mark.parametrize(
    ("name", "after_last_get"),
    [
        ("G_lostdirty_base32_lazy__6.1", 1),
        ("G_lostdirty_base32_lazy__6.12", 1),
        ("G_lostdirty_base32_lazy__6.18", 1),
        ("G_lostdirty_base32_lazy__6.12-intel-pml", 1),
        ("G_lostdirty_base32_eager__6.1", 1),
        ("G_lostdirty_base32_eager__6.12", 0),
        ("G_lostdirty_base32_eager__7.3", 0),
        ("G_lostdirty_base32_lazy__7.3", 1),
    ],
)
def test_the_lost_dirty_page_stays_pending_after_the_last_get(name: str, after_last_get: int) -> None:
    made_ = record_file(RECORDINGS / f"{name}.json.gz")
    last = max(index for index, op in enumerate(made_.ops) if op.kind == "get")
    assert pending_of(made_).before[last + 1] == after_last_get
    assert pages_never_told(made_) == after_last_get


def written_while_logged(made_: Recording) -> set[int]:
    pages: set[int] = set()
    for index, op in enumerate(made_.ops):
        if op.kind == "write" and made_.op_columns.logging[index]:
            for page, stride, accesses in zip(*made_.touches_of_op(index), strict=True):
                pages |= {int(page + stride * each) for each in range(accesses)}
    return pages


@pytest.mark.parametrize("policy", ["lazy", "eager"])
def test_a_ring_with_initially_set_loses_all(policy: str) -> None:
    made_ = record_file(RECORDINGS / f"B_2m_ring_initset_{policy}__6.12.json.gz")
    everything = len(written_while_logged(made_))
    assert everything
    assert pages_never_told(made_) == everything
    assert not pending_of(made_).told.any()


@pytest.mark.parametrize(
    "name",
    [
        "A_2m_legacy_lazy__6.1",
        "A_2m_manual_initset_eager__6.12-intel-pml",
        "B_2m_initset_chunk2M_interleaved_lazy__6.12",
        "B_2m_ring256_full_lazy__6.12",
        "P_2m_ring1024_full_eager__6.12-intel-pml",
        "D_2m_ring_write_between_collect_and_reset_lazy__6.12",
    ],
)
def test_kvm_loses_nothing_elsewhere(name: str) -> None:
    assert pages_never_told(record_file(RECORDINGS / f"{name}.json.gz")) == 0
