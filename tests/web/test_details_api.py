"""Documents that the Details drawer fetches, evidence and ledger: cached until the program changes."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mmuviz.costs.hosts import MEANING, PROFILES
from mmuviz.costs.ledger import COSTS, lookup
from mmuviz.mmu.features import PRESETS, SERIES
from mmuviz.mmu.work import WORK_NAMES
from mmuviz.studies.evidence import model_hash, packaged_evidence
from mmuviz.web import compression, details_api

ADDRESSES = ("/api/evidence.json", "/api/ledger.json")


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    server = Flask("mmuviz")
    compression.register(server)
    details_api.register(server)
    return server.test_client()


@pytest.fixture(scope="module")
def ledger(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/api/ledger.json").get_json()
    return found


@pytest.mark.parametrize("address", ADDRESSES)
def test_it_is_sent_once_and_compressed(client: FlaskClient, address: str) -> None:
    answer = client.get(address, headers={"Accept-Encoding": "br"})
    assert answer.status_code == 200
    assert answer.headers["Content-Encoding"] == "br"
    assert len(answer.data) < 40_000
    assert "no-cache" in answer.headers["Cache-Control"]
    for encoding in ("br", "gzip", "identity"):
        headers = {"If-None-Match": answer.headers["ETag"], "Accept-Encoding": encoding}
        again = client.get(address, headers=headers)
        assert (again.status_code, again.data) == (304, b"")
    assert client.get(address, headers={"If-None-Match": 'W/"another"'}).status_code == 200
    assert client.post(address).status_code == 405


def test_the_evidence_is_the_packaged_one_and_says_which_model_runs(client: FlaskClient) -> None:
    found = client.get("/api/evidence.json").get_json()
    assert found == {**packaged_evidence(), "running": model_hash()}


def test_every_cost_that_the_clock_uses_is_in_the_ledger_with_its_source(ledger: dict[str, Any]) -> None:
    used = {name for name in WORK_NAMES if name}
    assert used <= set(ledger["code"]) == set(COSTS)
    assert all(
        entry["source"] and entry["description"] for kernels in ledger["code"].values() for entry in kernels.values()
    )
    assert set(ledger["constants"]) == set(MEANING)
    assert set(ledger["hosts"]) == set(PROFILES)
    for name, host in ledger["hosts"].items():
        assert {each: value for each, (value, _) in host["constants"].items()} == PROFILES[name].values
        for constant, (_, source) in host["constants"].items():
            wanted = "fitted to " if constant in PROFILES[name].fitted else "assumption"
            assert source.startswith(wanted), (name, constant)


def test_each_kernel_has_each_entry_as_the_clock_looks_it_up(ledger: dict[str, Any]) -> None:
    rows = [*PRESETS.values(), *SERIES.values()]
    assert list(ledger["kernels"]) == [row.name for row in rows]
    for row in rows:
        stands = ledger["kernels"][row.name]
        assert set(stands) == set(COSTS)
        for name, counted in stands.items():
            entry, shown = lookup(name, row.release), ledger["code"][name][counted]
            assert (shown["value"], shown["low"], shown["high"], shown["source"]) == (
                entry.value,
                entry.low,
                entry.high,
                entry.source,
            )
