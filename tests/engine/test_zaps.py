"""Huge pages that a write fault takes away are counted, whether or not anything traces them."""

from __future__ import annotations

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run

MIB = 1 << 20
PAGES_OF_4K_A_VCPU = 2000


def lazily(vm: dict[str, object], pages_2m: int, **memory: object) -> Scenario:
    """A guest of one vCPU that writes all of its memory while it is logged and nothing is split ahead."""
    return Scenario.model_validate(
        {
            "vm": {"vcpus": 1, "dirty_log_mode": "legacy", "eager_page_split": False, **vm},
            "memory": [{"size": pages_2m * 2 * MIB, "backing": "hugetlb_2m", **memory}],
            "workload": {"pattern": "strided", "stride": 2 * MIB, "write_percent": 100, "rate_hz": 1_000_000},
            "driver": {"kind": "enable_only", "lead": "1 ms", "tail": "1 ms"},
        }
    )


@pytest.mark.parametrize(
    "vm",
    [
        {"kernel": "6.12", "mmu": "direct_shadow"},
        {"kernel": "6.1", "mmu": "direct_shadow"},
        {"kernel": "6.12", "mmu": "shadow_paging"},
        {"kernel": "6.1", "mmu": "tdp"},
    ],
    ids=["6.12 direct", "6.1 direct", "6.12 shadow paging", "6.1 tdp"],
)
@pytest.mark.parametrize("pages_2m", [1, 8, 21])
def test_each_huge_page_that_vanishes_is_a_zap_or_a_split(vm: dict[str, object], pages_2m: int) -> None:
    made = run(lazily(vm, pages_2m))
    before = int(made.bins.pages_2m[made.header.bins // 4])
    gone = pages_2m - made.totals["leaves"]["2m"]
    splits = sum(made.totals["splits"].values())
    assert gone == pages_2m
    assert before == pages_2m
    assert made.totals["zaps"] + splits >= gone
    assert made.totals["zaps"] > 0
    assert int(made.vcpus.accesses.sum()) > pages_2m


@pytest.mark.parametrize("kernel", ["6.2", "6.12"])
def test_where_a_fault_splits_nothing_is_zapped(kernel: str) -> None:
    made = run(lazily({"kernel": kernel, "mmu": "tdp"}, 8))
    assert made.totals["zaps"] == 0
    assert made.totals["splits"]["fault"] == 8
