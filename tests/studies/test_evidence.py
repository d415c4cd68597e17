"""The packaged evidence equals the model's results: a part of it is computed again, the rest is only counted."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest

from mmuviz.costs.hosts import PROFILES
from mmuviz.studies import evidence
from mmuviz.studies.evidence import (
    PACKAGED,
    document_of,
    ledgers,
    model_hash,
    packaged_evidence,
    row_of,
    text_of,
    uncertainties,
    uncertainty_of,
)
from mmuviz.studies.measurements import Measurement, read_measurements
from mmuviz.studies.validate import Result, results_of
from tests.mmu.recording_files import FILES

POINTS = read_measurements()
ROWS: list[dict[str, Any]] = packaged_evidence()["rows"]
CHEAP = ("tdp96-initset", "tdp96-cpu-lazy", "rfc-1.5TB", "initset-x86-before", "initset-arm-2M-before")
"""Of tables that have no row of few vCPUs."""
NOT_MADE_ANEW = {"fast_page_fault", "disable", "pre_split", "whole_runs", "arm64_chunks"}
"""Tables whose every row takes half a minute; what they rest on is held by the others and by the ledgers."""


def is_cheap(point: Measurement) -> bool:
    work = point.workload
    few = work.get("vcpus") in (1, 2) and work.get("mem_per_vcpu_gib") == 1 and work.get("write_pct", 100) == 100
    return (few and not point.id.startswith("arm-rfc")) or point.id.startswith(CHEAP)


def test_a_part_of_it_made_anew_is_the_same() -> None:
    """A change of the model that moves published values moves one of these; then it is time for `make evidence`."""
    cheap = [each for each in POINTS if is_cheap(each)]
    packaged = {row["id"]: row for row in ROWS}
    made = [row_of(each) for each in results_of(cheap)]
    assert len(made) > 40
    assert {row["table"] for row in ROWS if row["table"]} - {row["table"] for row in made} == NOT_MADE_ANEW
    assert made == [packaged[row["id"]] for row in made]


def test_shadow_and_nested_rows_come_out_from_few_vcpus_to_many() -> None:
    """Every row of these series at 2 to 64 vCPUs, fitted or not: the lock's handoff decides most of them."""
    rows = [row for row in ROWS if row["table"] in ("shadow_v1", "shadow_v3", "nested") and row["modelled"]]
    rows = [row for row in rows if row["workload"]["vcpus"] in (2, 8, 16, 64)]
    ratios = {row["id"]: row["modelled"] / row["measured"] for row in rows}
    assert len(ratios) == 152
    assert all(1 / 1.5 < each < 1.5 for each in ratios.values())
    enabling = [each for name, each in ratios.items() if "enable_dirty_logging" in name]
    assert len(enabling) == 24
    assert all(1 / 1.1 < each < 1.1 for each in enabling)


def test_every_published_value_is_in_it_with_its_source() -> None:
    assert [(row["id"], row["measured"], row["unit"]) for row in ROWS] == [(p.id, p.value, p.unit) for p in POINTS]
    assert [row["url"] for row in ROWS] == [point.source_url for point in POINTS]
    assert all(row["url"].startswith("http") for row in ROWS)
    assert all((row["modelled"] is None) == bool(row["reason"]) for row in ROWS)
    assert {row["fitted"] for row in ROWS} == {True, False}


def test_the_thirty_seconds_of_the_rfc_are_predicted() -> None:
    (row,) = (row for row in ROWS if row["id"] == "rfc-1.5TB")
    assert (row["measured"], row["unit"], row["fitted"]) == (30, "s", False)
    assert 20 < row["modelled"] < 45


def test_it_counts_the_recordings_that_are_here() -> None:
    """That each of them is answered exactly is test_recordings.py."""
    assert packaged_evidence()["recordings"] == {
        "exact": len(FILES),
        "of": len(FILES),
        "mmus": ["direct_shadow", "tdp"],
    }


def test_its_times_were_priced_by_the_ledger_as_it_is() -> None:
    assert packaged_evidence()["ledgers"] == ledgers()


def test_its_file_is_what_the_command_writes() -> None:
    text = resources.files("mmuviz.data").joinpath(PACKAGED).read_text()
    assert text_of(packaged_evidence()) == text
    assert json.loads(text) == packaged_evidence()


def test_uncertainties_follow_from_its_rows() -> None:
    found = packaged_evidence()["uncertainty"]
    assert found == uncertainties(ROWS)
    assert list(found) == list(PROFILES)
    for name, each in found.items():
        own = [r["error"] for r in ROWS if r["host"] == each["host"] and not r["fitted"] and r["error"] is not None]
        every = [r["error"] for r in ROWS if not r["fitted"] and r["error"] is not None]
        errors = own if each["host"] else every
        assert each["values"] == len(errors) >= 5
        assert sum(error <= each["percent"] / 100 for error in errors) >= 2 / 3 * len(errors), name


@pytest.mark.parametrize(
    ("errors", "percent"),
    [([0.0], 5), ([0.05, 0.05, 9.0], 5), ([0.051, 0.01, 9.0], 10), ([0.2, 0.1, 0.3], 20), ([1.0], 100)],
)
def test_an_uncertainty_covers_two_thirds(errors: list[float], percent: int) -> None:
    assert uncertainty_of(errors) == percent


def test_a_document_counts_what_is_not_exact() -> None:
    point = POINTS[0]
    results = [Result(point, "tdp_eager", 2 * point.value, "") for _ in range(5)]
    made = document_of(results, {"a": True, "b": False}, {"tdp"})
    assert made["recordings"] == {"exact": 1, "of": 2, "mmus": ["tdp"]}
    assert made["rows"][0]["error"] == 1
    assert made["uncertainty"]["tdp_eager"]["percent"] == 100


def test_the_model_s_hash_follows_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model_hash()
    assert len(whole) == 16
    assert whole == model_hash()
    monkeypatch.setattr(evidence, "MADE_FROM", evidence.MADE_FROM[1:])
    assert model_hash() != whole
