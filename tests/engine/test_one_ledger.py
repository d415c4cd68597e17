"""One cost model: an entry of the ledger that the instructions of a document hold costs time in the engine too.

Each entry is priced alone, everything else is free, and a document that takes it is run under the
clock: it must take longer than for nothing. An entry that a document does not take must not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest

from mmuviz.costs.hosts import PROFILES, HostProfile
from mmuviz.costs.ledger import COSTS
from mmuviz.engine import cost_table
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.mmu.config import VmConfig
from mmuviz.mmu.state import I64
from mmuviz.mmu.work import WORK_NAMES
from mmuviz.studies.instruction_counts import counts_of_ops
from mmuviz.studies.scenario_files import of_recording

pytestmark = pytest.mark.xdist_group("one_ledger")
Op = dict[str, Any]
DEAR = 10**7
"""Hundredths of an instruction."""
TOPOLOGY = ("cpus", "cores", "socket_cores", "sockets", "smt_percent", "cache_mib")
ENABLE, DISABLE, GET = {"op": "enable"}, {"op": "disable"}, {"op": "get"}
START = [ENABLE, DISABLE]
"""The clock begins behind the first slot; what an op takes is counted from here on."""


def slot(backing: str, pages: int, *, base: int = 1 << 18, populated: bool = True) -> Op:
    where = {"op": "slot", "backing": backing, "base_gfn": base, "pages": pages}
    return where | {"hva_offset_pages": 0, "host_populated": populated}


def write(start: int, count: int, stride: int = 1) -> Op:
    return {"op": "write", "vcpu": 0, "pages": {"start": start, "stride": stride, "count": count}}


def clear(first: int, pages: int, bits: str = "all") -> Op:
    return {"op": "clear", "first_page": first, "num_pages": pages, "bits": bits}


def read(start: int, count: int, stride: int = 1) -> Op:
    return {**write(start, count, stride), "op": "read"}


def document(kernel: str, mode: str, ops: list[Op], *, eager: bool = True, pml: bool = False) -> dict[str, Any]:
    config = {"dirty_log_mode": mode, "eager_page_split": eager, "tdp_mmu": True, "vcpus": 2, "pml": pml}
    config |= {"vendor": "intel" if pml else "amd", "ring_entries": 256 if mode == "ring" else None}
    return {"schema": "kvm-recording/1", "name": "one", "kernel": kernel, "config": config, "ops": ops}


def documents() -> Iterator[dict[str, Any]]:
    both = {"op": "parallel_write", "how": "contig", "start": 0, "stride": 1, "count": 1000}
    for kernel in ("6.1", "6.12", "7.3"):
        for eager in (True, False):
            logs = [slot("hugetlb_2m", 1536), *START, write(0, 1536), read(0, 9), ENABLE, write(0, 700), GET]
            logs += [write(0, 700, 2), GET, write(0, 600), DISABLE, write(0, 1536), ENABLE, ENABLE, DISABLE]
            yield document(kernel, "legacy", [*logs, {"op": "delslot"}], eager=eager)
            ops = [slot("hugetlb_2m", 1 << 15), *START, write(0, 1 << 15), ENABLE, GET, clear(0, 64), clear(512, 640)]
            ops += [write(0, 3, 9), write(520, 2, 3), GET, clear(0, 1 << 15), clear(0, 1 << 15), DISABLE]
            yield document(kernel, "manual_initially_set", ops, eager=eager)
            yield document(kernel, "manual", ops, eager=eager)
            large = [
                slot("hugetlb_1g", 1 << 18),
                *START,
                write(0, 9),
                ENABLE,
                GET,
                clear(0, 64),
                write(0, 9),
                write(999, 9),
            ]
            large += [GET, clear(0, 1 << 18), DISABLE, write(0, 3404, 77), ENABLE, DISABLE, write(0, 9)]
            yield document(kernel, "manual_initially_set", [*large, {"op": "delslot"}], eager=eager)
            yield document(kernel, "legacy", [op for op in large if op["op"] != "clear"], eager=eager)
        tables = [slot("hugetlb_2m", 1 << 15), *START, ENABLE, write(0, 64, 512)]
        yield document(kernel, "legacy", tables, eager=False)
        small = [slot("4k", 1024, populated=False), *START, read(0, 20, 3), write(0, 40, 2), ENABLE, read(100, 9)]
        small += [write(90, 60, 3), GET, write(90, 9), GET, DISABLE, {"op": "dontneed", "start": 0, "count": 100}]
        small += [{"op": "hostwrite", "start": 0, "stride": 1, "count": 30}, both, {"op": "delslot"}]
        yield document(kernel, "legacy", small)
        thp = [
            slot("thp", 2048, populated=False),
            *START,
            write(0, 2048),
            {"op": "set_eager_page_split", "value": False},
        ]
        thp += [ENABLE, write(0, 1024), DISABLE, {"op": "dontneed", "start": 3, "count": 600}, write(0, 700)]
        yield document(kernel, "legacy", thp)
        odd = [slot("hugetlb_2m", 700, base=(1 << 18) + 100), *START, write(0, 700), ENABLE, write(0, 700), DISABLE]
        yield document(kernel, "legacy", odd)
        rings = [slot("hugetlb_2m", 1024), *START, write(0, 1024), ENABLE, write(0, 600), {"op": "ring_collect"}]
        yield document(kernel, "ring", [*rings, {"op": "ring_reset"}, write(0, 50, 3), {"op": "ring_collect"}])
        pml = [slot("hugetlb_2m", 2048), *START, write(0, 2048), ENABLE, write(0, 2048), GET]
        yield document(kernel, "legacy", pml, pml=True)
        yield document(kernel, "legacy", [slot("4k", 512), *START, {"op": "delslot"}, slot("4k", 512)])


@cache
def counted() -> list[tuple[dict[str, Any], Counter[str]]]:
    """Each document, and what the ops take that come behind the first enabling."""
    found = []
    for each in documents():
        begin = each["ops"].index(ENABLE)
        ops = list(counts_of_ops(each))[begin:]
        found.append((each, sum(ops, Counter())))
    return found


def takes_ps(asked: dict[str, Any], dear: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Simulated time where one entry costs something, and nothing else does."""

    def alone(_: VmConfig, _overridden: Mapping[str, int]) -> I64:
        return np.array([DEAR if name == dear else 0 for name in WORK_NAMES], dtype=np.int64)

    monkeypatch.setattr(cost_table, "hundredths_of", alone)
    host = PROFILES["split_on_fault"]
    values = {name: value if name in TOPOLOGY else 0 for name, value in host.values.items()}
    nothing = HostProfile("split_on_fault", "", (), values | {"path_ps": 1, "walk_ps": 1})
    monkeypatch.setitem(PROFILES, "split_on_fault", nothing)
    scenario = Scenario.model_validate({**of_recording(asked), "host": {"profile": "split_on_fault"}})
    return run(scenario).header.end_ps


@pytest.mark.parametrize("entry", COSTS)
def test_an_entry_costs_instructions_and_time(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_it = [asked for asked, counts in counted() if counts[entry]]
    without = [asked for asked, counts in counted() if not counts[entry]]
    assert with_it, "no document takes it: who can apply it?"
    assert any(takes_ps(asked, entry, monkeypatch) > takes_ps(asked, "", monkeypatch) for asked in with_it)
    # A slot op after the first enabling maps the recording program's own pages, under the clock too.
    for asked in [each for each in without if each["ops"][-1]["op"] != "slot"][:1]:
        assert takes_ps(asked, entry, monkeypatch) == takes_ps(asked, "", monkeypatch)


def test_the_machine_counts_nothing_that_the_ledger_does_not_know() -> None:
    assert set(WORK_NAMES) - {""} == set(COSTS)
