"""A process that begins the first run of a folder's queue and never ends it: it is there to be killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from mmuviz.engine.choices.scenario import Focus, Scenario
from mmuviz.studies.requests import request_of
from mmuviz.web.result_store import ResultStore
from mmuviz.web.run_limits import Limits
from mmuviz.web.run_queue import RunQueue


def never_ending(*_: Scenario | Focus | None, progress: Callable[[int, int], None]) -> NoReturn:
    print("running", flush=True)  # noqa: T201 - for the process that waits
    while True:
        time.sleep(0.05)
        progress(0, 0)


if __name__ == "__main__":
    queue = RunQueue(ResultStore(Path(sys.argv[1])), Limits(), never_ending)
    answer = queue.ask(request_of({"base": "running-guest", "policies": ["lazy"], "set": {"workload.seed": 77}}))
    while True:
        time.sleep(0.5)
        queue.status(answer.job)
