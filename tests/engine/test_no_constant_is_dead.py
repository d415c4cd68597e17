"""Every constant of a host changes some run: one that changes none would be set, hashed and shown for nothing."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import pytest

from mmuviz.core.errors import InputError
from mmuviz.costs.hosts import MEANING
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.exports.summary import summary_of
from mmuviz.recording.schema import TABLES
from tests.engine.runs import MIB, Ran, differing, ran
from tests.engine.scenarios import Document

PASSES: Final[Document] = {"kind": "dirty_log_perf_test", "iterations": 2}
REACH: Final = ("stlb_entries", "stlb_1g_entries")
"""These change no event: the header has them, and the summary's TLB reach is computed from them."""
BETWEEN: Final = {"cpus": (8,)}
"""Further values, where a run's other constants allow neither end."""
SMALL: Final = [{"size": 16 * MIB, "backing": "hugetlb_2m"}]
GUEST: Final[Document] = {
    "vm": {"vcpus": 4},
    "memory": SMALL,
    "workload": {"pattern": "sequential"},
    "driver": PASSES,
}
MIGRATED: Final[Document] = {
    "kind": "qemu_precopy",
    "bandwidth": 10**11,
    "link": 10**11,
    "downtime_limit": "1 ms",
    "most_rounds": 4,
}
RUNS: Final[dict[str, Document]] = {
    "lazy": {**GUEST, "vm": {"vcpus": 4, "eager_page_split": False}},
    "zap": {**GUEST, "vm": {"vcpus": 4, "eager_page_split": False, "kernel": "6.1"}},
    "eager": {**GUEST, "vm": {"vcpus": 4, "eager_page_split": True}},
    "unpopulated": {**GUEST, "memory": [{**SMALL[0], "host_populated": False}]},
    "disabling": {**GUEST, "driver": {**PASSES, "runs_while_disabling": True}},
    "recovering": {**GUEST, "vm": {"vcpus": 4, "kernel": "6.13"}, "driver": {**PASSES, "runs_while_disabling": True}},
    "ring": {**GUEST, "vm": {"vcpus": 4, "dirty_log_mode": "ring", "ring_entries": 1024}},
    "shadow": {**GUEST, "vm": {"vcpus": 4, "mmu": "direct_shadow", "eager_page_split": False}},
    "paging": {**GUEST, "vm": {"vcpus": 4, "kernel": "shadow-eager-v3", "mmu": "shadow_paging"}},
    "nested": {**GUEST, "vm": {"vcpus": 4, "mmu": "nested"}},
    "arm64": {**GUEST, "vm": {"vcpus": 4, "mmu": "stage2", "split_chunk": "2 MiB"}},
    "pre_split": {**GUEST, "driver": {"kind": "pre_split"}},
    "two_sockets": {**GUEST, "vm": {"vcpus": 4, "mmu": "shadow_paging"}, "host": {"overrides": {"socket_cores": 2}}},
    "crowded": {**GUEST, "vm": {"vcpus": 16, "kernel": "shadow-eager-v1", "mmu": "shadow_paging"}},
    "exits": {**GUEST, "workload": {"pattern": "sequential", "exit_rate_hz": 100_000}},
    "busy_cores": {
        **GUEST,
        "vm": {"vcpus": 4, "kernel": "shadow-eager-v1", "mmu": "direct_shadow", "eager_page_split": True},
        "host": {"overrides": {"cores": 4, "spin_percent": 200}},
    },
    "few_cpus": {**GUEST, "host": {"overrides": {"cpus": 4, "cores": 4}}, "driver": {**PASSES, "iterations": 3}},
    "few_cores": {**GUEST, "host": {"overrides": {"cores": 2, "cpus": 4, "socket_cores": 1}}},
    "large": {
        "vm": {"vcpus": 1, "mmu": "direct_shadow", "kernel": "shadow-eager-v3", "eager_page_split": True},
        "memory": [{"size": 4 << 30, "backing": "hugetlb_1g"}],
        "workload": {"pattern": "strided", "stride": 2 * MIB},
        "driver": PASSES,
        "host": {"overrides": {"cache_mib": 9}},
    },
    "small_pages": {
        **GUEST,
        "memory": [{"size": 16 * MIB, "backing": "4k"}],
        "driver": {"kind": "live_rounds", "interval": "200 us"},
    },
    "migration": {**GUEST, "driver": {**MIGRATED, "zero_percent": 30}},
    "multifd": {**GUEST, "driver": {**MIGRATED, "multifd_channels": 8}},
    "postcopy": {
        **GUEST,
        "workload": {"pattern": "sequential", "rate_hz": 200_000},
        "driver": {**MIGRATED, "bandwidth": 10**8, "postcopy_after_rounds": 2, "most_rounds": 9},
    },
}


def scenario_of(name: str, overrides: dict[str, int]) -> Scenario:
    own: dict[str, Any] = RUNS[name].get("host", {})
    return Scenario.model_validate({**RUNS[name], "host": {"overrides": {**own.get("overrides", {}), **overrides}}})


@cache
def plain(name: str) -> Ran:
    return ran(scenario_of(name, {}))


def changes(name: str, constant: str, value: int) -> bool:
    """Whether a value of a constant changes a table of a run, or its totals."""
    try:
        scenario = scenario_of(name, {constant: value})
    except InputError:
        return False
    before, after = plain(name).recording, ran(scenario).recording
    found = differing(before, after)
    return any(each.split(".")[0] in TABLES for each in found) or before.totals != after.totals


def reach_of(overrides: dict[str, int]) -> str:
    """What the summary says on TLB reach, of guests with leaves of each size."""
    summaries = (summary_of(ran(scenario_of(name, overrides)).recording) for name in ("large", "small_pages"))
    return " ".join(line for each in summaries for line in each.splitlines() if line.startswith("TLB reach"))


@pytest.mark.parametrize("constant", MEANING)
def test_each_constant_changes_a_run(constant: str) -> None:
    _, low, high, _ = MEANING[constant]
    if constant in REACH:
        assert reach_of({constant: low}) != reach_of({constant: high})
        return
    assert any(changes(name, constant, value) for name in RUNS for value in (low, high, *BETWEEN.get(constant, ())))
