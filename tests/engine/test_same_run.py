"""The same Scenario gives the same Recording: again, in another process, and with threads side by side."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from hypothesis import given, settings

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from tests.engine.runs import MIB, scenario_of
from tests.engine.scenarios import Document, scenarios

GUEST: Final[Document] = {
    "vm": {"vcpus": 3, "kernel": "6.1", "eager_page_split": False},
    "memory": [{"size": 12 * MIB, "backing": "hugetlb_2m"}, {"size": 3 * MIB, "backing": "thp", "logged": False}],
    "workload": {"pattern": "zipf", "accesses": 4000, "write_percent": 50, "exit_rate_hz": 20_000},
    "driver": {"kind": "live_rounds", "lead": 50_000, "rounds": 2, "interval": 200_000, "disable": True},
}
KERNELS: Final = ("5.17", "6.1", "6.12", "6.18")
PROGRAM: Final = """
import json, sys
from mmuviz import Scenario, run
print(json.dumps([run(Scenario.model_validate(each)).hash for each in json.load(sys.stdin)]))
"""


def guests() -> list[Scenario]:
    plain = [scenario_of(GUEST, vm={"kernel": kernel, "eager_page_split": False}) for kernel in KERNELS]
    return [*plain, scenario_of(GUEST, vm={"mmu": "shadow_paging"}), scenario_of(GUEST, vm={"mmu": "stage2"})]


@settings(max_examples=8)
@given(scenarios(large=False))
def test_again(scenario: Scenario) -> None:
    assert run(scenario).hash == run(scenario).hash


def test_in_another_process() -> None:
    documents = json.dumps([scenario.as_document() for scenario in guests()])
    other = subprocess.run([sys.executable, "-c", PROGRAM], input=documents, capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == [run(scenario).hash for scenario in guests()]


def test_side_by_side() -> None:
    alone = [run(scenario).hash for scenario in guests()]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda scenario: run(scenario).hash, guests() * 3))
    assert beside == alone * 3
