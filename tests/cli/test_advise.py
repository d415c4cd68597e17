"""`mmuviz advise`: a table for a mail, and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmuviz.cli import advise, main
from mmuviz.cli.sources import checked_costs
from mmuviz.core.errors import InputError
from mmuviz.engine.choices.scenario import Scenario
from mmuviz.engine.run import run
from mmuviz.studies import side_by_side
from mmuviz.studies.estimate import BYTES_AT_LEAST
from mmuviz.studies.policies import POLICIES

Out = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
HOT = 20_000
ALONE = ("--limit-memory", f"{BYTES_AT_LEAST * 3 // 2 >> 20}MiB")
"""Memory for one run at a time."""
LONG_S = 60
"""A test fails after that instead of waiting for ever."""


def file(folder: Path, rate_hz: int = 100, **driver: Any) -> Path:  # noqa: ANN401  # fields of the driver
    path = folder / "guest.json"
    document = {
        "title": "Does it converge?",
        "vm": {"vcpus": 2, "vendor": "amd"},
        "memory": [{"size": "16 MiB"}],
        "workload": {"pattern": "hot_set", "hot_percent": 50, "rate_hz": rate_hz},
        "driver": {
            "kind": "qemu_precopy",
            "bandwidth": "40 MiB/s",
            "link": "40 MiB/s",
            "downtime_limit": "50 ms",
            "most_rounds": 3,
            **driver,
        },
    }
    path.write_text(json.dumps(document))
    return path


def rows_of(text: str) -> list[list[str]]:
    """The cells of the table's rows."""
    lines = text.splitlines()
    head = next(at for at, line in enumerate(lines) if line.startswith("policy "))
    rest = lines[head + 1 :]
    return [line.split() for line in rest[: rest.index("")]]


def replace_run(monkeypatch: Patch, before: Callable[[int], None]) -> None:
    """Call a function with its number, from 0, before each run of a Scenario."""
    made = iter(range(1000))

    def counted(*arguments: Any, **options: Any) -> object:  # noqa: ANN401  # those of run()
        before(next(made))
        return run(*arguments, **options)

    monkeypatch.setattr(side_by_side, "run", counted)


def test_the_table_fits_a_mail(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path))]) == 0
    printed = capsys.readouterr()
    assert printed.out.isascii()
    lines = printed.out.splitlines()
    assert max(map(len, lines)) <= 72
    assert lines[0] == "Does it converge?"
    rows = [line.split() for line in lines if line.split(" ")[0].rstrip("*") in POLICIES and line.endswith("iB")]
    assert {row[0].rstrip("*") for row in rows} >= {"lazy", "eager_in_clear", "legacy_eager"}
    assert sum(row[0].endswith("*") for row in rows) == 1
    assert all("yes" in row for row in rows)
    for name in ("Least stall of all vCPUs: ", "Shortest migration: ", "Shortest downtime: ", "Least memory of KVM: "):
        assert name in printed.out
    assert "What would make it converge" not in printed.out


def test_a_migration_that_does_not_converge_lists_remedies(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, HOT))]) == 0
    text = capsys.readouterr().out
    joined = " ".join(text.split())
    assert "No policy converges" in joined
    assert "As it stands it does not converge: given up after" in joined
    assert "bandwidth: " in joined
    assert "downtime limit: " in joined
    assert "Shortest downtime" not in joined
    assert max(map(len, text.splitlines())) <= 72


def test_json_has_every_number_of_the_table(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, HOT)), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"candidates", "best", "lost", "not_run", "refused", "remedies", "not_known", "notes"}
    for each in document["candidates"]:
        totals = each["totals"]
        assert each["total_ns"] == totals["migration"]["total_ns"]
        assert each["stall_ns"] == totals["stall_total_ns"]
        assert each["memory_bytes"] == totals["table_bytes_added"] + sum(totals["memory_bytes"].values())
        assert not each["converges"]
    works = [each for each in document["remedies"] if each["works"]]
    assert works
    assert all(each["totals"]["migration"]["completed"] for each in works)
    assert all(each["price"] for each in works)
    assert (document["not_run"], document["not_known"], document["notes"]) == ([], [], [])
    best = document["best"]["stall_ns"]
    stalls = [each["stall_ns"] for each in document["candidates"]]
    assert stalls.index(min(stalls)) in best
    assert all(stalls[at] <= 1.01 * min(stalls) for at in best)


def test_options_change_the_link_and_the_limit(tmp_path: Path, capsys: Out) -> None:
    source = str(file(tmp_path, HOT))
    assert main(["advise", source, "--json", "--bandwidth", "25Gbit", "--downtime", "1s"]) == 0
    document = json.loads(capsys.readouterr().out)
    for each in document["candidates"]:
        driver = each["scenario"]["driver"]
        assert (driver["link"], driver["bandwidth"], driver["downtime_limit"]) == (25 * 125_000_000,) * 2 + (10**9,)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bandwidth", "fast"], "--bandwidth='fast' must be a number above 0 with a unit of bits"),
        (["--bandwidth", "25Gb"], "did you mean 25Gbit?"),
        (["--bandwidth", "25G"], "did you mean 25Gbit?"),
        (["--bandwidth", "25Gbps"], "did you mean 25Gbit?"),
        (["--bandwidth", "25gbit/s"], "did you mean 25Gbit?"),
        (["--bandwidth", "2.5 Kb/s"], "did you mean 2.5kbit?"),
        (["--bandwidth", "25GB"], "did you mean 25GiB/s?"),
        (["--bandwidth", "25GBps"], "did you mean 25GiB/s?"),
        (["--bandwidth", "-1Gbit"], "--bandwidth='-1Gbit' must be a number above 0"),
        (["--bandwidth=-1Gbit"], "did you mean 1Gbit?"),
        (["--bandwidth", "1.3kbit"], "--bandwidth='1.3kbit' must be a whole number of bytes a second"),
        (["--bandwidth", "0"], "--bandwidth='0' must be 64 KiB/s to 1 TiB/s\n"),
        (["--downtime", "-5ms"], "--downtime='-5ms' must be 1 ms to 2000 s"),
        (["--chunks", "3MiB"], "--chunks='3MiB' must be a power of two, 256 KiB to 8 TiB"),
        (["--chunks", "2MiB,big"], "--chunks='big' must be a number with a unit"),
        (["--downtime", "short"], "--downtime='short' must be a number with a unit"),
        (["--downtime", "0"], "--downtime='0' must be 1 ms to 2000 s\n"),
        (["--downtime=1.5ms"], "--downtime='1.5ms' must be a multiple of 1 ms\n"),
        (["--downtime=300"], "--downtime='300' must be 1 ms to 2000 s; did you mean 300 ms?\n"),
        (["--bandwidth=25"], "--bandwidth='25' must be 64 KiB/s to 1 TiB/s; did you mean 25 Gbit/s?\n"),
        (["--bandwidth=999Tbit"], "--bandwidth='999Tbit' must be 64 KiB/s to 1 TiB/s\n"),
        (["--bandwidth=1bit"], "(kbit, Mbit, Gbit, Tbit) or bytes (B/s, KiB/s, MiB/s, GiB/s, TiB/s); e.g. 25Gbit\n"),
        (["--set", "driver.downtime_limit=1.5ms"], "driver.downtime_limit='1.5ms' must be a multiple of 1 ms\n"),
        (
            ["--set", "driver.downtime_limit=300"],
            "driver.downtime_limit=300 must be 1 ms to 2000 s; did you mean 300 ms?",
        ),
        (["--set", "driver.lead=300q"], "driver.lead='300q' must be a number with a unit"),
        (["--limit-memory", "1MiB"], "over the limit of 1 MiB of memory"),
        (["--set", "vm.vcpus=0"], "vm.vcpus=0"),
    ],
)
def test_what_is_wrong_is_one_line(options: list[str], said: str, tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path)), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("mmuviz: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1


def test_no_byte_is_named_where_bits_are_meant(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path)), "--bandwidth", "25Gb"]) == 2
    remedy = capsys.readouterr().err.rpartition(";")[2]
    assert remedy == " did you mean 25Gbit?\n"


# While it runs


def test_what_is_over_a_limit_is_a_row_with_its_reason(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    def no_rings(arguments: Any, scenarios: tuple[Scenario, ...]) -> Any:  # noqa: ANN401  # as it is replaced
        if any(each.vm.dirty_log_mode.ring for each in scenarios):
            raise InputError(f"{arguments.source}: it needs too much; raise the limit: --limit-seconds 500")
        return checked_costs(arguments, scenarios)

    monkeypatch.setattr(advise, "checked_costs", no_rings)
    assert main(["advise", str(file(tmp_path, HOT))]) == 0
    printed = capsys.readouterr()
    assert "; 2 more are over a limit; " in printed.err
    text = printed.out
    rings = [row for row in rows_of(text) if row[0].startswith("ring_")]
    assert rings == [["ring_lazy", "-", "not", "run"], ["ring_eager", "-", "not", "run"]]
    joined = " ".join(text.split())
    assert "Not run: ring_lazy, ring_eager: it needs too much; raise the limit: --limit-seconds 500" in joined
    assert "None of those that were run converges" in joined
    assert "dirty limit: 16 MiB/s for each vCPU, with policy ring_" in joined
    assert "was not run: it needs too much" in joined


def test_a_guest_whose_runs_are_long_has_one_size_of_clear(tmp_path: Path, monkeypatch: Patch, capsys: Out) -> None:
    monkeypatch.setattr(advise, "LONG_S", 0.0)
    assert main(["advise", str(file(tmp_path))]) == 0
    text = capsys.readouterr().out
    assert {tuple(row[1:3]) for row in rows_of(text) if row[1] != "-"} == {("1", "GiB")}
    joined = " ".join(text.split())
    assert "only the scenario's own size of CLEAR was run; --chunks 2MiB,64MiB,1GiB runs others too." in joined
    assert main(["advise", str(file(tmp_path)), "--chunks", "4MiB"]) == 0
    text = capsys.readouterr().out
    assert {tuple(row[1:3]) for row in rows_of(text) if row[1] != "-"} == {("1", "GiB"), ("4", "MiB")}
    assert "--chunks" not in text


# What is said of outcomes


def test_a_cancelled_migration_is_said_to_be_cancelled(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, cancel_at="100 ms"))]) == 0
    text = capsys.readouterr().out
    joined = " ".join(text.split())
    assert all("cut" in row for row in rows_of(text))
    assert "cut: cancelled (driver.cancel_at) before that was known." in joined
    assert "No policy converges before the migration is cancelled (driver.cancel_at)." in joined
    assert "As it stands it is cancelled (driver.cancel_at) after 10" in joined
    assert " no cancel: driver.cancel_at=0: " in joined
    assert "bandwidth: " not in joined


def test_a_migration_that_goes_over_to_post_copy_does_not_fail(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, HOT, postcopy_after_rounds=2))]) == 0
    text = capsys.readouterr().out
    assert all("post" in row for row in rows_of(text))
    assert "No policy converges before the migration goes over to post-copy." in " ".join(text.split())


def test_a_guest_that_cannot_be_sent_in_time_is_given_more(tmp_path: Path, capsys: Out) -> None:
    """16 MiB take 400 ms over 40 MiB/s."""
    assert main(["advise", str(file(tmp_path, longest="200 ms"))]) == 0
    text = capsys.readouterr().out
    assert all("yes" in row for row in rows_of(text))
    head = " ".join(text.partition("\npolicy ")[0].split())
    assert "driver.longest=2 s here, time for 3 passes (assumption), and not 0.2 s: to send 16 MiB once" in head


def test_the_head_says_how_the_guest_is_sent(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, link="1 Gbit/s", multifd_channels=2))]) == 0
    head = " ".join(capsys.readouterr().out.partition("\npolicy ")[0].split())
    assert "2 vCPUs, 16 MiB of guest memory, kernel 6.12" in head
    assert head.endswith("link 1 Gbit/s, bandwidth limit 40 MiB/s, 2 multifd channels, downtime limit 50 ms")


def test_every_change_that_works_has_a_price(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path, HOT))]) == 0
    text = capsys.readouterr().out
    changes = " ".join(text.partition("the smallest of each kind:\n")[2].partition("\n\n")[0].split())
    works = changes.count(" guest accesses")
    assert works > 1
    assert changes.count(" guest accesses; price: ") == works


def test_a_recording_of_kvm_cannot_be_migrated(capsys: Out) -> None:
    assert main(["advise", "recorded-4k", "--set", "driver.recording=A_4k_legacy_lazy__6.12"]) == 2
    assert "listed_ops" in capsys.readouterr().err
