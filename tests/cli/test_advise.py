"""`mmuviz advise`: a table for a mail, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmuviz.cli import main
from mmuviz.studies.policies import POLICIES

Out = pytest.CaptureFixture[str]
HOT = 20_000


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


def test_the_table_fits_a_mail(tmp_path: Path, capsys: Out) -> None:
    assert main(["advise", str(file(tmp_path))]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
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
    assert set(document) == {"candidates", "best", "refused", "remedies"}
    for each in document["candidates"]:
        totals = each["totals"]
        assert each["total_ns"] == totals["migration"]["total_ns"]
        assert each["stall_ns"] == totals["stall_total_ns"]
        assert each["memory_bytes"] == totals["table_bytes_added"] + sum(totals["memory_bytes"].values())
        assert not each["converges"]
    works = [each for each in document["remedies"] if each["works"]]
    assert works
    assert all(each["totals"]["migration"]["completed"] for each in works)
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
        (["--bandwidth", "fast"], "--bandwidth='fast' must be a number with a unit"),
        (["--downtime", "short"], "--downtime='short' must be a number with a unit"),
        (["--downtime", "0"], "driver.downtime_limit=0 must be 1 ms to 2000 s"),
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


def test_a_recording_of_kvm_cannot_be_migrated(capsys: Out) -> None:
    assert main(["advise", "recorded-4k", "--set", "driver.recording=A_4k_legacy_lazy__6.12"]) == 2
    assert "listed_ops" in capsys.readouterr().err
