"""Pages sent by cell and time in a Recording: compared with plain sets, and with the rounds."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.frames import CellMap, cell_map
from mmuviz.engine.qemu.page_set import Pages
from mmuviz.engine.run import run
from mmuviz.engine.sent_cells import BlockCells, CellCounts, SentCells, hold, last_of_bins
from mmuviz.mmu.state import I64
from mmuviz.recording.recording import Recording
from mmuviz.recording.schema import FULL_SHARE
from tests.engine.migrations import PAGES, migration
from tests.engine.test_migration import drawn
from tests.engine.test_page_set import sets

MOST = 400


def share_of(pages: int, whole: int) -> int:
    """A part as a share of 255, as the schema defines it: 0 only for none, 255 only for all."""
    if pages == 0:
        return 0
    return FULL_SHARE if pages >= whole else min(max(int(pages * FULL_SHARE / whole + 0.5), 1), FULL_SHARE - 1)


@given(
    sets(MOST),
    sets(MOST).filter(bool),
    st.sets(st.integers(1, MOST - 1), max_size=6),
)
def test_pages_are_counted_in_their_cell_as_new_or_again(before: set[int], sent: set[int], edges: set[int]) -> None:
    starts = np.array([0, *sorted(edges), MOST])
    once = Pages.none_of(MOST)
    once.add_pages(np.array(sorted(before), dtype=np.int64))
    found = hold(once, BlockCells(starts, np.arange(len(starts) - 1)), np.array(sorted(sent)))
    expected = {}
    for cell, (first, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        here = {page for page in sent if first <= page < end}
        if here:
            expected[cell] = (len(here - before), len(here & before))
    assert (
        dict(zip(found.cells.tolist(), zip(found.first.tolist(), found.again.tolist(), strict=True), strict=True))
        == expected
    )
    assert set(np.flatnonzero(once.bits).tolist()) == before | sent


rows_of = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), max_size=30)


@given(rows_of, st.sampled_from([1, 2, 8]))
def test_of_a_bin_and_a_cell_the_last_row_stays(given_rows: list[tuple[int, int]], width: int) -> None:
    timed = sorted(given_rows, key=lambda row: row[0])
    rows = np.array([(time, cell, at, 0) for at, (time, cell) in enumerate(timed)], dtype=np.int64).reshape(-1, 4)
    expected = {(max(time - 1, 0) // width, cell): at for time, cell, at, _ in rows.tolist()}
    found = last_of_bins(rows, width).tolist()
    assert [(max(time - 1, 0) // width, cell, at) for time, cell, at, _ in found] == [
        (*key, expected[key]) for key in sorted(expected)
    ]
    # Dropping at one width and then at a wider one is dropping at the wider one.
    again = last_of_bins(last_of_bins(rows, width), 4 * width)
    assert again.tolist() == last_of_bins(rows, 4 * width).tolist()


def small(pages: int) -> tuple[CellMap, SentCells]:
    spans = [(0, pages)]
    cells = cell_map(spans)
    return cells, SentCells(cells, spans)


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 90), st.integers(0, 90)), max_size=20), st.integers(1, 5))
def test_the_table_holds_the_sums_at_the_end_of_each_bin(batches: list[tuple[int, int, int]], width: int) -> None:
    _, sent = small(8 * 512)
    time, states = 0, [(0, np.zeros((8, 2), np.int64))]
    for cell, first, again in batches:
        if first + again == 0:
            continue
        now = states[-1][1].copy()
        now[cell] += (first, again)
        sent.note(CellCounts(np.array([cell]), np.array([first]), np.array([again])), time, time + 2)
        time += 2
        states.append((time, now))
    bins = max(-(-time // width), 1)
    table = {name: np.asarray(column) for name, column in sent.table(bins, width).items()}
    shown = np.zeros((8, 2), np.int64)
    for frame in range(bins + 1):
        rows = slice(table["frame_start"][frame], table["frame_start"][frame + 1])
        shown[table["cell"][rows]] = table["shares"][rows]
        state = next(now for at, now in reversed(states) if at <= frame * width)
        assert shown.tolist() == [[share_of(int(each), 512) for each in cell] for cell in state]


def replayed(made: Recording) -> I64:
    """Shares of each cell at the end."""
    shown = np.zeros((len(made.cell_map.pages), 2), np.int64)
    for row, cell in enumerate(made.sent_cells.cell.tolist()):
        shown[cell] = made.sent_cells.shares[row]
    return shown


@settings(max_examples=15, deadline=None)
@given(drawn())
def test_a_migration_that_completes_has_sent_every_cell(scenario: Scenario) -> None:
    made = run(scenario)
    ended, totals = made.header.migration, made.totals["migration"]
    assert ended is not None
    shown = replayed(made)
    once = totals["pages_sent"] - totals["resent_pages"]
    if ended.outcome == "completed":
        assert (shown[:, 0] == FULL_SHARE).all()
        assert once == PAGES
    assert bool(shown[:, 1].any()) == (totals["resent_pages"] > 0)
    # Within the rounding of shares, what cells tell is what the rounds tell.
    assert (
        abs(int((shown[:, 0] * made.cell_map.pages).sum()) / FULL_SHARE - once)
        <= made.cell_map.pages.sum() / FULL_SHARE
    )
    assert (np.diff(made.sent_cells.frame_start) >= 0).all()


def test_one_cell_has_what_was_sent_again() -> None:
    made = run(
        migration(
            memory=[{"size": "2 MiB", "backing": "thp"}],
            workload={"hot_percent": 20, "rate_hz": 50_000},
            driver={"bandwidth": "4 MiB/s", "most_rounds": 3},
        )
    )
    totals = made.totals["migration"]
    assert totals["resent_pages"] > 0
    assert replayed(made).tolist() == [
        [share_of(totals["pages_sent"] - totals["resent_pages"], 512), share_of(totals["resent_pages"], 512)]
    ]


def test_a_second_migration_begins_with_nothing_sent() -> None:
    made = run(migration(driver={"cancel_at": "200 ms", "restart_after": "100 ms", "bandwidth": "60 MiB/s"}))
    assert [each.outcome for each in made.header.earlier_migrations] == ["cancelled"]
    ended = made.header.migration
    assert ended is not None
    frame = -(-ended.start_ps // made.header.bin_ps)
    rows = slice(made.sent_cells.frame_start[0], made.sent_cells.frame_start[frame + 1])
    shown = np.zeros(len(made.cell_map.pages), np.int64)
    shown[made.sent_cells.cell[rows]] = made.sent_cells.shares[rows, 0]
    assert int(shown.sum()) <= FULL_SHARE * 2
    assert (replayed(made)[:, 0] == FULL_SHARE).all() == (ended.outcome == "completed")


def test_a_run_without_migration_tells_of_none() -> None:
    given = migration().given() | {"driver": {"kind": "without_logging", "duration": "1 ms"}}
    made = run(Scenario.model_validate(given))
    assert made.sent_cells.cell.tolist() == []
    assert made.sent_cells.frame_start.tolist() == [0] * (made.header.bins + 2)
