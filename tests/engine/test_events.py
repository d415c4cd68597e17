"""Events of the Focus: those of its time and no others, and the earliest where they are too many."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmuviz.engine import recorder
from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.engine.recorder import default_focus
from mmuviz.engine.run import spans_of
from mmuviz.recording.recording import Recording
from tests.engine.runs import MIB, ran, scenario_of
from tests.engine.scenarios import Document, scenarios

FEW: Final = 40
BUSY: Final[Document] = {
    "vm": {"kernel": "6.12", "dirty_log_mode": "legacy", "vcpus": 3},
    "memory": [{"size": 6 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential"},
    "driver": {"kind": "live_rounds", "lead": 20_000, "rounds": 2, "interval": 100_000, "tail": 50_000},
}


def rows_of(made: Recording) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """The events, a row each."""
    names = ("time_ps", "vcpu", "kind", "level", "old", "new", "gfn", "stride", "entries", "traced")
    return np.stack([np.asarray(made.events[name], dtype=np.int64) for name in names], axis=1)


@settings(max_examples=15)
@given(scenarios(near=True, large=False), st.integers(1, 9))
def test_events_end_with_the_focus(scenario: Scenario, tenths: int) -> None:
    whole = ran(scenario).recording
    focus = default_focus(spans_of(scenario))
    assert focus is not None
    end_ns = max(whole.header.end_ps * tenths // 10_000, 1)
    made = ran(scenario, focus=Focus(first_gfn=focus.first_gfn, pages=focus.pages, end=end_ns)).recording
    rows = rows_of(whole)
    assert np.array_equal(rows_of(made), rows[rows[:, 0] < end_ns * 1000])
    assert made.header.events_left_out == 0


@pytest.mark.parametrize("mode", ["legacy", "manual"])
def test_the_earliest_events_are_kept(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = scenario_of(BUSY, vm={"dirty_log_mode": mode})
    rows = rows_of(ran(scenario).recording)
    assert len(rows) > 2 * FEW, "the bound must be reached"
    monkeypatch.setattr(recorder, "MAX_EVENTS", FEW)
    made = ran(scenario).recording
    assert np.array_equal(rows_of(made), rows[:FEW])
    assert made.header.events_left_out == rows[FEW:, 8].sum()
