"""Small migrations, and one that a test can look into while it is played."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mmuviz.core.jit import jit
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.clock import Clock
from mmuviz.engine.drivers.migrates import NS_PER_MS, qemu_of
from mmuviz.engine.drivers.qemu_precopy import QemuPrecopy
from mmuviz.engine.migration import PS_PER_MS, TimedMigration
from mmuviz.engine.migration_limits import Limits
from mmuviz.engine.qemu.calls import SendPages, Steps
from mmuviz.engine.qemu.migration import migration_thread
from mmuviz.engine.qemu.ram import ram_save_cleanup
from mmuviz.engine.qemu.rate_limit import RateLimit
from mmuviz.engine.qemu.state import FEATURES, Qemu, Thread
from mmuviz.engine.run import session_of
from mmuviz.engine.session import Session
from mmuviz.mmu.state import I64
from mmuviz.workloads.accesses import gfn_at

MIB: Final = 1 << 20
PAGES: Final = 4096
RINGS: Final[dict[str, Any]] = {"dirty_log_mode": "ring", "ring_entries": 1024}
"""Fields of `vm`: a dirty ring in place of the bitmap."""
HOT: Final = {"rate_hz": 20_000, "hot_percent": 50}
"""Fields of `workload`: more pages become dirty than the link sends."""
SLOW: Final[dict[str, Any]] = {"auto_converge": True, "longest": "8 s"}
"""Fields of `driver`: auto-converge throttles the vCPUs."""


def migration(**changes: Any) -> Scenario:  # noqa: ANN401  # fields of any part
    """A guest of 16 MiB that writes a little while it is migrated."""
    parts: dict[str, Any] = {
        "vm": {"vcpus": 2, "vendor": "amd"},
        "memory": [{"size": PAGES * 4096, "backing": "thp"}],
        "workload": {"pattern": "hot_set", "rate_hz": 2000},
        "driver": {"kind": "qemu_precopy", "bandwidth": 40 * MIB, "downtime_limit": "10 ms", "longest": "3 s"},
    }
    for name, fields in changes.items():
        old = {} if name == "workload" and "pattern" in fields else parts.get(name, {})
        parts[name] = {**old, **fields} if isinstance(fields, dict) else fields
    if parts["workload"].get("pattern") == "hot_set":
        parts["workload"].setdefault("hot_percent", 5)
    return Scenario.model_validate(parts)


@jit
def fill_gfns(out: I64, clock: Clock, vcpu: int, first: int) -> int:
    for each in range(len(out)):
        out[each] = gfn_at(clock.stream, clock.ram, clock.listed, vcpu, first + each)
    return len(out)


@dataclass
class Migrated:
    """A migration that is about to begin; its guest runs.

    Attributes:
        session: the run.
        qemu: what QEMU knows.
        timed: the machine behind its loop.
    """

    session: Session
    qemu: Qemu
    timed: TimedMigration

    def play(self, around: Callable[[Steps], Steps]) -> str | None:
        """Execute it; `around` wraps the migration thread and sees each call. Return the reason if it was given up."""
        thread = Thread()
        why = self.timed.play(around(migration_thread(self.qemu, thread)))
        self.timed.stop_helps()
        if why is not None:
            self.timed.play(ram_save_cleanup(self.qemu, thread))
        self.timed.finish(why)
        return why

    def pages_by_rule(self, first: list[int], stop: list[int]) -> set[int]:
        """Return the pages that the workload writes between two positions of each vCPU, computed from its rule only."""
        clock, found = self.session.machine.clock, set[int]()
        for vcpu, (begin, end) in enumerate(zip(first, stop, strict=True)):
            gfns = np.zeros(max(end - begin, 0), np.int64)
            fill_gfns(gfns, clock, vcpu, begin)
            found |= set((gfns - self.session.scenario.memory[0].base_gfn).tolist())
        return found

    def writes_so_far(self) -> I64:
        """Return the number of writes to each page, for one vCPU that writes all pages in order, repeatedly."""
        accesses = int(self.session.machine.clock.accesses[0])
        found: I64 = (accesses - np.arange(PAGES) + PAGES - 1) // PAGES
        return found

    def copied(self, steps: Steps, copy: I64) -> Steps:
        """Yield the same steps, and copy the value of each sent page before the first of them crosses the link."""
        answer = None
        while True:
            try:
                call = steps.send(answer)
            except StopIteration:
                return
            if isinstance(call, SendPages):
                assert call.sent.numbers is not None
                copy[call.sent.numbers] = self.writes_so_far()[call.sent.numbers]
            answer = yield call


def migrated(scenario: Scenario) -> Migrated:
    """Make a Scenario's migration, at its begin."""
    session, driver = session_of(scenario), scenario.driver
    assert isinstance(driver, QemuPrecopy)
    driver.begin(session)
    features, now_ms = FEATURES[driver.version], session.machine.time // PS_PER_MS
    qemu = qemu_of(session, features, driver.clear_bitmap_shift, smm=driver.smm)
    rate = RateLimit(features, driver.bandwidth, driver.downtime_limit // NS_PER_MS, now_ms)
    limits = Limits(0, driver.longest * 1000, driver.most_rounds)
    return Migrated(session, qemu, TimedMigration(session, qemu, rate, limits, driver.stream(), driver.helps()))
