"""Entries of the ledger that a Scenario overrides price the run, its header's hash and its estimate."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import pytest

from mmuviz.costs.counted import OFF
from mmuviz.costs.ledger import COSTS, lookup
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.mmu import work
from mmuviz.mmu.state import I64
from mmuviz.recording.schema import TABLES
from tests.engine.runs import MIB, Ran, differing, ran
from tests.engine.scenarios import Document

MOST: Final = 10**9
EAGER: Final[Document] = {
    "vm": {"vcpus": 2, "eager_page_split": True, "dirty_log_mode": "manual"},
    "memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential", "write_percent": 50},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 2},
}
LAZY: Final[Document] = {**EAGER, "vm": {"vcpus": 2, "eager_page_split": False, "dirty_log_mode": "manual"}}
RUNS: Final = {"eager": EAGER, "lazy": LAZY}


def scenario_of(name: str, overrides: dict[str, int]) -> Scenario:
    return Scenario.model_validate({**RUNS[name], "host": {"overrides": overrides}})


@cache
def plain(name: str) -> Ran:
    return ran(scenario_of(name, {}))


def entries_of(name: str) -> list[str]:
    """Entries of the ledger that a run takes at least once while its clock goes, which is after slots were made."""
    before: list[I64] = []
    session = ran(scenario_of(name, {}), prepare=lambda made: before.append(made.machine.vm.state.work.copy())).session
    taken = np.flatnonzero(session.machine.vm.state.work - before[0])
    return sorted({work.WORK_NAMES[each] for each in taken} - {""})


@pytest.mark.parametrize("name", RUNS)
def test_each_entry_that_a_run_takes_can_be_overridden(name: str) -> None:
    entries = entries_of(name)
    assert len(entries) > 15
    without_effect = []
    for entry in entries:
        changed = ran(scenario_of(name, {entry: MOST})).recording
        differs = differing(plain(name).recording, changed)
        if not any(each.split(".")[0] in TABLES for each in differs):
            without_effect.append(entry)
        assert "header.ledger_hash" in differs
    assert without_effect == []


@pytest.mark.parametrize("name", RUNS)
def test_the_ledgers_own_value_as_an_override_changes_no_table(name: str) -> None:
    release = plain(name).session.machine.vm.config.kernel.release
    exact = [each for each in COSTS if lookup(each, release, OFF).hundredths % 100 == 0]
    assert exact
    same = {each: lookup(each, release, OFF).hundredths // 100 for each in exact}
    differs = differing(plain(name).recording, ran(scenario_of(name, same)).recording)
    assert not any(each.split(".")[0] in TABLES for each in differs)
