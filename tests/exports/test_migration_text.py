"""Sentences of `mmuviz run` and `mmuviz compare` on a migration."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.exports.comparison_table import comparison_table
from mmuviz.exports.migration_progress import accesses_until
from mmuviz.exports.migration_text import migration_lines, range_text, span_document
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


def test_accesses_without_a_migration_count_for_as_long_as_the_migration() -> None:
    """A longer run of the same guest has done as much at the shorter one's end, to within a bin."""
    made = migrated(20_000)
    long, short = (
        run(Scenario.model_validate({**made.header.scenario, "driver": {"kind": "without_logging", "duration": lasts}}))
        for lasts in ("300 ms", "100 ms")
    )
    assert accesses_until(short, short.header.end_ps) == short.totals["accesses"]
    assert accesses_until(long, 2 * long.header.end_ps) == long.totals["accesses"]
    a_bin = int(long.bins.accesses.max())
    assert accesses_until(long, short.header.end_ps) == pytest.approx(short.totals["accesses"], abs=a_bin)
    counts = [accesses_until(long, at) for at in range(0, long.header.end_ps, long.header.bin_ps // 3)]
    assert counts == sorted(counts)


def test_migrations_beside_each_other_have_rows_of_their_own() -> None:
    table = comparison_table([migrated(100), migrated(50_000, most_rounds=4)], ["cool", "hot"])
    row = next(line for line in table.splitlines() if line.startswith("completes"))
    assert row.split() == ["completes", "yes", "no"]
    for name in ("migration time", "downtime", "syncs", "sent", "pages sent again"):
        assert f"\n{name} " in table


def test_without_a_migration_nothing_is_said() -> None:
    made = run(Scenario.model_validate({"memory": [{"size": "2 MiB"}]}))
    assert sections(made) == {}
    assert "migration" not in made.totals
    assert "completes" not in comparison_table([made, migrated(100)], ["plain", "migration"])


def test_the_range_names_the_constants_and_where_they_come_from() -> None:
    values = {"total_ns": 10**9, "downtime_ns": 0, "stall_ns": 10}
    one = Swing("kick_ns", "ns", 200, 20_000, False, values, values, (True, True))  # noqa: FBT003  # of a frozen type
    span = Span((one,), {"total_ns": (10**9, 2 * 10**9), "downtime_ns": (0, 0), "stall_ns": (10, 10)}, None)
    found = dict(migration_lines(migrated(100), span=span))["  range"]
    assert found.startswith("1 s to 2 s in all, 10 ns stall, over the ranges of the constants that matter most to it: ")
    assert "kick_ns (200 to 20,000 ns, assumption); it converges or not, by several of them together" in found
    nothing = Span((), {"total_ns": (5, 5), "downtime_ns": (1, 2), "stall_ns": (0, 0)}, True)  # noqa: FBT003  # the same
    assert dict(migration_lines(migrated(100), span=nothing))["  range"] == (
        "5 ns in all, 1 ns to 2 ns downtime, 0 ns stall: no constant of the host changes it"
    )


@pytest.mark.parametrize(
    ("ends", "held", "said"),
    [
        (((True, False), (True, True)), None, "it converges with kick_ns at 200 and not at 20,000 ns"),
        (((True, True), (False, True)), None, "it converges with walk_ps at 400 and not at 60 ps"),
        (
            ((True, False), (False, True)),
            None,
            "it converges with kick_ns at 200 and not at 20,000 ns, or walk_ps at 400 and not at 60 ps",
        ),
        (((True, True), (True, True)), True, "it converges with all of them at either end"),
        (((False, False), (False, False)), False, "it converges with none of them"),
    ],
)
def test_the_range_names_the_constant_at_which_the_outcome_changes(
    ends: tuple[tuple[bool, bool], tuple[bool, bool]],
    held: bool | None,  # noqa: FBT001  # a parameter of the test
    said: str,
) -> None:
    values = {"total_ns": 10**9, "downtime_ns": 0, "stall_ns": 10}
    constants = (
        Swing("kick_ns", "ns", 200, 20_000, False, values, values, ends[0]),  # noqa: FBT003  # of a frozen type
        Swing("walk_ps", "ps", 60, 400, True, values, values, ends[1]),  # noqa: FBT003  # of a frozen type
    )
    whole = Span(constants, {"total_ns": (1, 2), "downtime_ns": (0, 0), "stall_ns": (10, 10)}, held)
    text = range_text(whole)
    assert text.endswith(f"; {said}")
    assert "of its memory" not in text
    assert "matter most to it (chosen by runs with 1/16 of its memory): " in range_text(replace(whole, parts=16))
    assert span_document(replace(whole, parts=16))["parts"] == 16


def test_huge_pages_return_as_the_kernel_says() -> None:
    assert "leaves it on: the source disables it when its VM is run again" in sections(migrated(100))["huge pages"]
    zapped = sections(migrated(50_000, most_rounds=4))["huge pages"]
    assert "Linux 6.12 zaps what was split: each returns when its memory is next touched" in zapped


def test_huge_pages_that_were_made_again_at_once_are_said_too() -> None:
    """From 6.13 the ioctl makes them again in place (13237fb40c74), so that all are there at the end."""
    document = migrated(50_000, most_rounds=4).header.document()["scenario"]
    document["vm"]["kernel"] = "6.18"
    made = run(Scenario.model_validate(document))
    assert made.totals["splits"]["clear"] == made.totals["leaves"]["2m"] == 8
    assert sections(made)["huge pages"] == (
        "at the end they map 100 % of what they back; logging is disabled, and Linux 6.18 makes them again in place, "
        "as one ioctl a memslot"
    )
    document["driver"]["cancel_at"] = "1 ms"
    document["workload"]["rate_hz"] = 0
    document["workload"]["write_percent"] = 0
    document["vm"]["dirty_log_mode"], document["vm"]["eager_page_split"] = "legacy", False
    whole = run(Scenario.model_validate(document))
    assert not any(whole.totals["splits"].values())
    assert sections(whole)["huge pages"] == "at the end they map 100 % of what they back"


def test_memory_that_kvm_maps_by_4k_has_no_huge_pages_to_return() -> None:
    """Its guest and host addresses differ modulo 2 MiB."""
    document = migrated(100).header.document()["scenario"]
    document["memory"][0]["base"] = "1 MiB"
    assert "huge pages" not in sections(run(Scenario.model_validate(document)))


def test_a_host_that_nobody_measured_says_so() -> None:
    document = migrated(100).header.document()["scenario"] | {"host": {"profile": "tdp_eager_416", "overrides": {}}}
    assert "no host of its size was measured" in sections(run(Scenario.model_validate(document)))["host"]
    assert "host" not in sections(migrated(100))
