"""PML over time: kicks empty the buffer, and nothing is logged once logging is over."""

from __future__ import annotations

from typing import Final

from tests.engine.runs import MIB, of_kind, ran, scenario_of
from tests.engine.scenarios import Document

LIVE: Final[Document] = {
    "vm": {"kernel": "6.12", "vendor": "intel", "dirty_log_mode": "manual", "vcpus": 1},
    "memory": [{"size": 4 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "strided", "stride": 10 * 4096, "rate_hz": 10_000_000},
    "driver": {"kind": "live_rounds", "lead": 50_000, "rounds": 3, "interval": 100_000, "tail": 50_000},
}
"""Fewer pages in an interval than the buffer holds."""


def test_a_get_has_the_buffers_of_running_vcpus_emptied() -> None:
    made = ran(scenario_of(LIVE)).recording
    assert int(made.bins.pml_full_exits.sum()) == 0
    assert not any(made.totals["faults"].values()), "nothing but a kick had the vCPU leave the guest"
    assert (made.calls.reported_pages[of_kind(made, "get")][1:] > 0).all()


def test_without_pml_nobody_is_kicked_by_a_get() -> None:
    made = ran(scenario_of(LIVE, vm={"vendor": "amd", "dirty_log_mode": "manual_initially_set"})).recording
    flushes = int(made.bins.tlb_flushes.sum())
    kicked_ps = int(made.vcpus.stall_tlb_flush_ps.sum())
    kick_ps = 1000 * ran(scenario_of(LIVE)).session.machine.costs.host["kick_ns"]
    assert kicked_ps <= flushes * kick_ps


def test_a_write_is_no_slower_once_logging_is_over() -> None:
    driver = {"kind": "dirty_log_perf_test", "iterations": 1, "runs_while_disabling": True}
    document = {**LIVE, "memory": [{"size": 64 * MIB, "backing": "hugetlb_2m"}], "driver": driver}
    made = ran(scenario_of(document, workload={"pattern": "sequential"})).recording
    over = int(made.calls.start_ps[of_kind(made, "disable")][0])
    behind = over // made.header.bin_ps + 2  # the call has work to do before the flag is gone
    assert made.bins.accesses[behind:].sum() > 0
    assert made.bins.slow_write_ps[behind:].sum() == 0
    assert made.bins.slow_write_ps[:behind].sum() > 0
