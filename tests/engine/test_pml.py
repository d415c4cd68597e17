"""PML over time: kicks empty the buffer, and nothing is logged once logging is over."""

from __future__ import annotations

from typing import Final

from mmuviz.mmu.state import PML_ENTITY_NUM
from tests.engine.runs import MIB, of_kind, ran, scenario_of
from tests.engine.scenarios import Document

FEW_PAGES: Final = 100
LIVE: Final[Document] = {
    "vm": {"kernel": "6.12", "vendor": "intel", "dirty_log_mode": "manual", "vcpus": 1},
    "memory": [{"size": 4 * MIB, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "strided", "stride": 10 * 4096, "rate_hz": 10_000_000},
    "driver": {"kind": "live_rounds", "lead": 50_000, "rounds": 3, "interval": 100_000, "tail": 50_000},
}
"""A hundred pages, far fewer than the buffer holds, written again and again."""


def test_a_get_has_the_buffers_of_running_vcpus_emptied() -> None:
    assert 4 * MIB // (10 * 4096) < FEW_PAGES + 3 < PML_ENTITY_NUM
    made = ran(scenario_of(LIVE)).recording
    gets = made.calls.reported_pages[of_kind(made, "get")]
    assert made.totals["stall_ns"]["tlb_flush"] > 0, "it was kicked"
    assert int(made.bins.pml_full_exits.sum()) == 0
    assert FEW_PAGES <= int(gets.sum()) < 3 * (FEW_PAGES + 3)
    assert gets[0] < FEW_PAGES, "nobody waits for what a kick brings"


def test_without_pml_nobody_is_kicked_by_a_get() -> None:
    made = ran(scenario_of(LIVE, vm={"vendor": "amd", "dirty_log_mode": "manual_initially_set"})).recording
    flushes = int(made.bins.tlb_flushes.sum())
    kicked_ps = int(made.vcpus.stall_tlb_flush_ps.sum())
    kick_ps = 1000 * ran(scenario_of(LIVE)).session.machine.costs.host["kick_ns"]
    assert kicked_ps <= flushes * kick_ps


def test_a_write_is_no_slower_once_logging_is_over() -> None:
    made = ran(scenario_of(LIVE, driver={"disable": True, "tail": 300_000})).recording
    over = int(made.calls.end_ps[of_kind(made, "disable")][0])
    behind = over // made.header.bin_ps + 1
    assert made.header.bins > behind + 3, "the guest runs on"
    assert made.bins.accesses[behind:].sum() > 0
    assert made.bins.slow_write_ps[behind:].sum() == 0
    assert made.bins.slow_write_ps[:behind].sum() > 0
