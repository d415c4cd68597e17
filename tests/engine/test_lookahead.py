"""Lookahead changes no result: every column of every table is the same without it."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings

from mmuviz.engine.choices.scenario import Scenario
from tests.engine.runs import (
    MIB,
    differing,
    one_by_one,
    one_by_one_without_focus,
    ran,
    scenario_of,
    without_focus,
)
from tests.engine.scenarios import Document, scenarios

TORN: Final[Document] = {
    "vm": {"kernel": "5.17", "dirty_log_mode": "legacy", "mmu": "stage2", "vcpus": 2},
    "memory": [{"size": 6 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "uniform_random", "write_percent": 5, "accesses": 200},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 1},
}
"""The border of two vCPUs' parts lies in the middle of a huge page, which one breaks under the other."""

BATCHED: Final[Document] = {
    "vm": {"kernel": "6.1", "dirty_log_mode": "manual", "vendor": "amd", "vcpus": 4, "eager_page_split": False},
    "memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential", "exit_rate_hz": 20_000},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 2},
}
"""Each page is mapped by a fault of its own, at the lock's cache line; now and then a vCPU exits."""

DRAWN: Final[Document] = {
    "vm": {"kernel": "6.12", "dirty_log_mode": "manual", "vendor": "amd", "vcpus": 2, "eager_page_split": True},
    "memory": [
        {"size": 8 * MIB, "backing": "hugetlb_2m"},
        {"size": 3 * MIB, "backing": "thp"},
        {"size": MIB, "backing": "4k", "logged": False},
    ],
    "workload": {"pattern": "uniform_random", "accesses": 3000},
    "driver": {"kind": "dirty_log_perf_test", "iterations": 2},
}
"""Protected pages are written in any order, some again, over the border of two slots and one that is not logged."""

UNALIGNED: Final[Document] = {
    "vm": {"kernel": "6.12", "dirty_log_mode": "manual_initially_set", "vcpus": 5, "eager_page_split": True},
    "memory": [{"size": 16 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "hot_set", "hot_percent": 20, "rate_hz": 2_000_000},
    "driver": {"kind": "live_rounds", "lead": "50 us", "rounds": 3, "interval": "1 ms", "clear_chunk": "2 MiB"},
}
"""The hot pages of most vCPUs lie in a huge page that another vCPU writes too, until a CLEAR splits it."""

EXAMPLES: Final = {
    "unaligned": UNALIGNED,
    "unaligned_lazy": scenario_of(UNALIGNED, vm={"eager_page_split": False}).given(),
    "unaligned_without_pml": scenario_of(UNALIGNED, vm={"pml": False}).given(),
    "torn": TORN,
    "batched": BATCHED,
    "batched_eager": scenario_of(BATCHED, vm={"eager_page_split": True}).given(),
    "batched_later": scenario_of(BATCHED, vm={"kernel": "6.12"}).given(),
    "disabling": scenario_of(BATCHED, driver={"runs_while_disabling": True}).given(),
    "drawn": DRAWN,
    "drawn_with_pml": scenario_of(DRAWN, vm={"vendor": "intel", "pml": True}).given(),
    "drawn_by_all": scenario_of(DRAWN, workload={"shared": True, "rate_hz": 9_000_000}).given(),
    "strided": scenario_of(DRAWN, workload={"pattern": "strided", "stride": 12 << 10}).given(),
    "other_host": {**BATCHED, "host": {"profile": "split_on_fault"}},
}


def check(scenario: Scenario) -> None:
    """With events, and without: what is logged is never carried out for many pages at once."""
    for prepare, alone in ((None, one_by_one), (without_focus, one_by_one_without_focus)):
        ahead, plain = ran(scenario, prepare=prepare).recording, ran(scenario, prepare=alone).recording
        assert differing(ahead, plain) == []
        assert ahead.hash == plain.hash


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_without_lookahead_is_the_same(name: str) -> None:
    check(scenario_of(EXAMPLES[name]))


@settings(max_examples=60)
@given(scenarios(large=False))
def test_lookahead_changes_nothing(scenario: Scenario) -> None:
    check(scenario)


@settings(max_examples=12)
@given(scenarios(large=True))
def test_lookahead_changes_nothing_with_1g_pages(scenario: Scenario) -> None:
    check(scenario)
