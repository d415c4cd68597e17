"""Whether a migration converged, where its rounds alone do not tell it."""

from __future__ import annotations

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.comparison_table import best_lines
from mmuviz.exports.migration_text import verdict
from mmuviz.recording.recording import Recording
from mmuviz.studies.convergence import converges


def migrated(version: str = "10.0", **parts: object) -> Recording:
    """A small guest over a link that carries all of it in 50 ms, within QEMU's first window of 100 ms."""
    driver = {"kind": "qemu_precopy", "version": version, "link": "10 Gbit/s", "bandwidth": "10 Gbit/s"}
    document = {
        "vm": {"vcpus": 2},
        "memory": [{"size": "64 MiB", "backing": "thp"}],
        "workload": {"pattern": "idle"},
        "driver": driver,
    }
    return run(Scenario.model_validate({**document, **parts}))


@pytest.mark.parametrize("version", ["7.2", "10.0"])
def test_a_guest_that_is_sent_before_anything_is_measured_converges(version: str) -> None:
    made = migrated(version)
    ended = made.header.migration
    assert ended is not None
    assert ended.outcome == "completed"
    assert made.totals["migration"]["resent_pages"] == 0
    assert converges(made)
    assert verdict(made, ended) == "converges: at the end of a pass nothing was left to send"


def test_migrations_are_compared_among_those_that_converge() -> None:
    busy = {"pattern": "uniform_random", "rate_hz": 100_000}
    driver = {"kind": "qemu_precopy", "link": "1 Gbit/s", "bandwidth": "1 Gbit/s", "most_rounds": 3}
    hopeless = migrated(workload=busy, driver={**driver, "downtime_limit": "1 ms"})
    idle, other = migrated(), migrated("7.2")
    assert not converges(hopeless)
    assert best_lines([hopeless, idle], ["A", "B"]) == ["Only B converges; the others are not compared with it."]
    lines = best_lines([hopeless, idle, other], ["A", "B", "C"])
    assert any(line.startswith("Shortest migration: ") for line in lines)
    assert not any(": A" in line for line in lines)
