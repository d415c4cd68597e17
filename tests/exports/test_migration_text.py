"""What `mmuviz run` and `mmuviz compare` say of a migration."""

from __future__ import annotations

from functools import cache
from typing import Any

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.comparison_table import comparison_table
from mmuviz.exports.migration_text import migration_lines
from mmuviz.exports.summary import summary_of
from mmuviz.recording.recording import Recording


@cache
def migrated(rate_hz: int, **driver: Any) -> Recording:  # noqa: ANN401  # fields of the driver
    """Half of a guest of 16 MiB is written at a rate, over 40 MiB/s."""
    document = {
        "vm": {"vcpus": 2, "vendor": "amd"},
        "memory": [{"size": "16 MiB"}],
        "workload": {"pattern": "hot_set", "hot_percent": 50, "rate_hz": rate_hz},
        "driver": {"kind": "qemu_precopy", "bandwidth": "40 MiB/s", "downtime_limit": "50 ms", **driver},
    }
    return run(Scenario.model_validate(document))


def sections(recording: Recording) -> dict[str, str]:
    return {name.strip(): text for name, text in migration_lines(recording)}


def test_a_migration_that_converges_says_what_was_left_and_what_it_took() -> None:
    found = sections(migrated(100))
    assert found["Migration"].startswith("converges: ")
    assert "less than the" in found["Migration"]
    assert "downtime" in found["time"]
    assert " syncs" in found["time"]
    assert "not for the first time" in found["sent"]
    assert "in GET" in found["ioctls in it"]
    assert "Migration             converges: " in summary_of(migrated(100))


def test_one_that_does_not_says_why() -> None:
    found = sections(migrated(50_000, most_rounds=4))
    assert found["Migration"].startswith("does not converge: given up after ")
    assert "(too many rounds), when the last sync found" in found["Migration"]
    assert found["time"].endswith("the guest never stopped, 4 syncs")


def test_one_that_is_cancelled_in_its_first_pass_says_so() -> None:
    found = sections(migrated(100, cancel_at="100 ms"))["Migration"]
    assert found.startswith("cancelled after ")
    assert found.endswith("before the first pass over memory was over")


def test_migrations_beside_each_other_have_rows_of_their_own() -> None:
    table = comparison_table([migrated(100), migrated(50_000, most_rounds=4)], ["cool", "hot"])
    row = next(line for line in table.splitlines() if line.startswith("converges"))
    assert row.split() == ["converges", "yes", "no"]
    for name in ("migration time", "downtime", "syncs", "sent", "pages sent again"):
        assert f"\n{name} " in table


def test_without_a_migration_nothing_is_said() -> None:
    made = run(Scenario.model_validate({"memory": [{"size": "2 MiB"}]}))
    assert sections(made) == {}
    assert "migration" not in made.totals
    assert "converges" not in comparison_table([made, migrated(100)], ["plain", "migration"])
