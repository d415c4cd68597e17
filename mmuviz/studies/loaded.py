"""Loading of the compiled simulation before its first use."""

from __future__ import annotations

from typing import Any, Final

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run

SMALL: Final[dict[str, Any]] = {
    "memory": [{"size": 4 << 20, "backing": "hugetlb_2m"}],
    "workload": {"pattern": "sequential", "rate_hz": 5_000_000},
    "driver": {"kind": "enable_only", "lead": 50_000, "tail": 50_000},
}
"""A Scenario that takes no noticeable time and runs the same code as the Scenario that the page opens with."""


def load_engine() -> None:
    """Run SMALL with both ways of splitting, so that processes forked afterwards inherit the loaded code."""
    for eager in (False, True):
        vm = {"vcpus": 2, "dirty_log_mode": "manual", "eager_page_split": eager}
        run(Scenario.model_validate(SMALL | {"vm": vm}))
