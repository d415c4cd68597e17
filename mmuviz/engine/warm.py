"""Compiles everything ahead of use."""

from __future__ import annotations

import gc
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Final

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.mmu import warm as machine

MEMORY: Final = [{"size": "8 MiB", "backing": "thp"}]
OPS: Final[list[dict[str, Any]]] = [
    {
        "op": "slot",
        "slot": 2,
        "backing": "hugetlb_2m",
        "base_gfn": 512,
        "pages": 512,
        "hva_offset_pages": 0,
        "host_populated": True,
    },
    {"op": "write", "slot": 2, "vcpu": 0, "pages": [0, 1]},
    {"op": "enable", "slot": 2},
    {"op": "parallel_write", "slot": 2, "how": "contig", "start": 0, "stride": 1, "count": 8},
    {"op": "get", "slot": 2},
    {"op": "clear", "slot": 2, "first_page": 0, "num_pages": 512, "bits": "last"},
    {"op": "hostwrite", "slot": 2, "start": 0, "stride": 1, "count": 2},
    {"op": "dontneed", "slot": 2, "start": 0, "count": 2},
    {"op": "disable", "slot": 2},
    {"op": "move_slot", "slot": 2, "base_gfn": 2048},
    {"op": "delslot", "slot": 2},
]
LIVE: Final = {"kind": "live_rounds", "lead": "10 us", "interval": "20 us", "tail": "10 us", "disable": True}
MIGRATION: Final = {"kind": "qemu_precopy", "bandwidth": "1 GiB/s", "longest": "20 ms"}
RING: Final = {"dirty_log_mode": "ring", "ring_entries": 1024, "vcpus": 2}
SCENARIOS: Final[tuple[dict[str, Any], ...]] = (
    {"driver": {"kind": "dirty_log_perf_test", "iterations": 1, "runs_while_disabling": True}},
    {"vm": {"dirty_log_mode": "legacy", "eager_page_split": False, "vcpus": 2}},
    {"vm": {"dirty_log_mode": "ring", "ring_entries": 1024, "vcpus": 2}},
    {"vm": {"kernel": "5.15", "dirty_log_mode": "legacy"}},
    {"vm": {"kernel": "6.13"}},
    {"vm": {"mmu": "direct_shadow"}, "driver": {"kind": "pre_split", "iterations": 1}},
    {"driver": {"kind": "pre_split", "iterations": 1}},
    {"vm": {"mmu": "nested"}},
    {"vm": {"kernel": "shadow-eager-v1", "mmu": "direct_shadow", "eager_page_split": True}},
    {"vm": {"mmu": "stage2", "split_chunk": "2 MiB"}},
    {"vm": {"tracking": "2m", "rounds_to_4k": 1, "dirty_log_mode": "manual"}},
    {"vm": {"vcpus": 2}, "workload": {"pattern": "zipf", "exit_rate_hz": 10**6}, "driver": {**LIVE, "big_lock": True}},
    {"driver": {"kind": "without_logging", "iterations": 1}},
    {"driver": {**MIGRATION, "smm": True, "auto_converge": True, "zero_percent": 10}},
    {"driver": MIGRATION, "vm": {"tracking": "2m"}},
    {"driver": {**MIGRATION, "dirty_limit": "1 MiB/s", "postcopy_after": "5 ms"}, "vm": RING},
)
"""One case of everything that Python calls: drivers, MMUs, kernels and dirty-log modes."""


def warm_runs() -> None:
    """Compile the functions that run() needs."""
    for each in SCENARIOS:
        run(Scenario.model_validate({"memory": MEMORY, **each}))
    run(
        Scenario.model_validate(
            {"vm": {"vcpus": 2, "dirty_log_mode": "manual"}, "driver": {"kind": "listed_ops", "ops": OPS}}
        )
    )


def warm() -> None:
    """Run every compiled function of the machine and of the engine once, two compilers side by side.

    A compiler creates millions of objects that live as long as it does: garbage collection is a tenth of its time.
    """
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn"), initializer=gc.disable) as compilers:
        runs, walks = compilers.submit(warm_runs), compilers.submit(machine.warm_walks)
        walks.result()
        compilers.submit(machine.warm).result()
        runs.result()
    machine.warm()
    warm_runs()
