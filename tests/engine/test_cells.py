"""Cells and events: both tell how memory is mapped, and say the same as the tables at the end of every bin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.recorder import default_focus
from mmuviz.engine.run import spans_of
from mmuviz.mmu.cell_count import count_all
from tests.engine.fold import check_fold
from tests.engine.runs import Ran, differing, ran, without_focus
from tests.engine.scenarios import scenarios
from tests.mmu.recording_files import FILES, short_name

MOST_BYTES = 6000
EVERY = 17
SAMPLE = [path for path in FILES if path.stat().st_size < MOST_BYTES][::EVERY]
"""Recordings of real KVM, small ones."""
OF_FOCUS = ("events", "header.focus", "header.events_left_out")


def check_recount(run: Ran) -> None:
    """Cells are what a scan of the tables counts."""
    tables = run.session.machine.guest_tables
    kept = tables.cells.copy()
    count_all(tables)
    assert np.array_equal(kept, tables.cells)


@settings(max_examples=30)
@given(scenarios(large=False, near=True))
def test_cells_are_a_recount_and_the_fold_of_events(scenario: Scenario) -> None:
    run = ran(scenario)
    check_recount(run)
    check_fold(run.recording)


@settings(max_examples=8)
@given(scenarios(large=True))
def test_cells_of_1g_pages_are_a_recount(scenario: Scenario) -> None:
    check_recount(ran(scenario))


@pytest.mark.parametrize("path", SAMPLE, ids=short_name)
def test_cells_of_recordings_are_the_fold_of_events(path: object) -> None:
    scenario = Scenario.model_validate({"driver": {"kind": "listed_ops", "recording": str(path)}})
    run = ran(scenario)
    check_recount(run)
    if run.recording.header.focus is not None:
        check_fold(run.recording)


@settings(max_examples=12)
@given(scenarios(near=True, large=False))
def test_another_focus_leaves_all_else(scenario: Scenario) -> None:
    whole = ran(scenario).recording
    focus = default_focus(spans_of(scenario))
    assert focus is not None
    half_ns = whole.header.end_ps // 2000
    later = ran(scenario, focus=Focus(first_gfn=focus.first_gfn, pages=focus.pages, start=half_ns)).recording
    check_fold(later)
    few = Focus(first_gfn=focus.first_gfn + 3, pages=5, end=max(half_ns, 1))
    for other in (later, ran(scenario, focus=few).recording, ran(scenario, prepare=without_focus).recording):
        assert differing(whole, other, OF_FOCUS) == []
