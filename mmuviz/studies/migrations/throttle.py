"""Comparison of auto-converge's steps with QEMU's tracepoints."""

from __future__ import annotations

import re
from typing import Any, Final

from mmuviz.engine.qemu.cpu_throttle import CpuThrottle, mig_throttle_guest_down
from mmuviz.studies.migrations.compared import Found
from mmuviz.studies.migrations.plan import Event

SET: Final = re.compile(r"set guest CPU throttled by (\d+)%")
PARAMETERS: Final = {
    "initial": "cpu-throttle-initial",
    "increment": "cpu-throttle-increment",
    "most": "max-cpu-throttle",
}


class ThrottleSteps:
    """The throttle steps of one migration.

    Args:
        config: configuration of the recording.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        given: object = config.get("params")
        given = given if isinstance(given, dict) else {}
        self._throttle = CpuThrottle(**{name: given[key] for name, key in PARAMETERS.items() if key in given})
        self._tail_slow = bool(given.get("cpu-throttle-tailslow"))
        self._percentage = 0

    def traced(self, event: Event) -> Found:
        """Compare a tracepoint; with cpu-throttle-tailslow a step depends on times and is not compared."""
        step = SET.match(event["a"]) if event["ev"] == "cpu_throttle_set" else None
        if step is None:
            return
        wanted = mig_throttle_guest_down(self._throttle, self._percentage)
        self._percentage = int(step.group(1))
        if not self._tail_slow:
            yield "throttle in %", self._percentage, wanted
