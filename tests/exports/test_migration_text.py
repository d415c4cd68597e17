"""Sentences of `mmuviz run` and `mmuviz compare` on a migration."""

from __future__ import annotations

from functools import cache
from typing import Any

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.comparison_table import comparison_table
from mmuviz.exports.migration_text import migration_lines
from mmuviz.exports.summary import summary_of
from mmuviz.recording.recording import Recording
from mmuviz.studies.sensitivity import Span, Swing


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
    assert "(too many rounds: driver.most_rounds=4), when the last sync found" in found["Migration"]
    assert found["time"].endswith("the guest never stopped, 4 syncs")


def test_one_that_is_cancelled_in_its_first_pass_says_so() -> None:
    found = sections(migrated(100, cancel_at="100 ms"))["Migration"]
    assert found.startswith("cancelled (driver.cancel_at) after ")
    assert found.endswith("before the first pass over memory was over")


def test_one_that_takes_too_long_names_the_limit() -> None:
    found = sections(migrated(50_000, longest="1200 ms"))["Migration"]
    assert "(too long: driver.longest=1.20 s), when the last sync found" in found


def test_what_helped_is_said() -> None:
    slow = migrated(20_000, auto_converge=True, throttle_initial=60, longest="20 s", lead="20 ms")
    found = sections(slow)
    assert found["vCPUs throttled"].startswith(f"up to {slow.totals['migration']['throttle_percent']} % of their time")
    assert found["guest progress"].startswith("round ")
    assert found["guest progress"].endswith(" before it")
    assert "setup" not in found["guest progress"]  # a phase of microseconds has no speed


def test_a_switch_to_post_copy_says_what_is_left_to_be_faulted_in() -> None:
    found = sections(migrated(20_000, postcopy_after_rounds=2))
    assert found["Migration"].startswith("switches to post-copy after ")
    assert "faults of 4K" in found["post-copy"]
    assert "of 2M" in found["post-copy"]


def test_pages_of_zeros_are_counted() -> None:
    assert found_zeros(migrated(100, zero_percent=50)).endswith(" pages of zeros")


def found_zeros(recording: Recording) -> str:
    return sections(recording)["sent"]


def test_progress_is_relative_to_the_same_guest_without_a_migration() -> None:
    made = migrated(20_000)
    plain = run(
        Scenario.model_validate({**made.header.scenario, "driver": {"kind": "without_logging", "duration": "1 s"}})
    )
    text = dict(migration_lines(made, plain))["  guest progress"]
    assert text.endswith(" without a migration")
    assert "round 9" in text or "round 100 %" in text  # a guest at a rate keeps it, but for its faults


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


def test_the_range_names_the_constants_and_where_they_come_from() -> None:
    values = {"total_ns": 10**9, "downtime_ns": 0, "stall_ns": 10}
    one = Swing("kick_ns", "ns", 200, 20_000, False, values, values)  # noqa: FBT003  # of a frozen type
    span = Span((one,), {"total_ns": (10**9, 2 * 10**9), "downtime_ns": (0, 0), "stall_ns": (10, 10)}, None)
    found = dict(migration_lines(migrated(100), span=span))["  range"]
    assert found.startswith("1 s to 2 s in all, 10 ns stall, over the ranges of the constants that matter most to it: ")
    assert "kick_ns (200 to 20,000 ns, assumption); it converges or not, by where they lie" in found
    nothing = Span((), {"total_ns": (5, 5), "downtime_ns": (1, 2), "stall_ns": (0, 0)}, True)  # noqa: FBT003  # the same
    assert dict(migration_lines(migrated(100), span=nothing))["  range"] == (
        "5 ns in all, 1 ns to 2 ns downtime, 0 ns stall: no constant of the host changes it"
    )


def test_huge_pages_return_as_the_kernel_says() -> None:
    assert "leaves it on: the source disables it when its VM is run again" in sections(migrated(100))["huge pages"]
    zapped = sections(migrated(50_000, most_rounds=4))["huge pages"]
    assert "Linux 6.12 zaps what was split: each returns when its memory is next touched" in zapped


def test_a_host_that_nobody_measured_says_so() -> None:
    document = migrated(100).header.document()["scenario"] | {"host": {"profile": "tdp_eager_416", "overrides": {}}}
    assert "no host of its size was measured" in sections(run(Scenario.model_validate(document)))["host"]
    assert "host" not in sections(migrated(100))
