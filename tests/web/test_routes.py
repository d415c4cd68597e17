import gzip
from collections.abc import Callable

import brotli  # type: ignore[import-untyped]  # it ships no types
import pytest
from flask.testing import FlaskClient

from mmuviz.recording.pair import split_pair
from mmuviz.web.app import create_app
from mmuviz.web.shipped import DEFAULT, Scenario, Shelf

# What the first page's recordings may cost on the wire.
DEFAULT_MAX_BYTES = 200_000


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    client: FlaskClient = create_app().server.test_client()
    return client


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Shelf().scenarios[DEFAULT]


def test_a_recording_is_served_under_its_hash_and_kept_for_ever(client: FlaskClient, scenario: Scenario) -> None:
    answer = client.get(scenario.address)
    assert answer.status_code == 200
    assert answer.data == scenario.made.data
    assert split_pair(answer.data)[0] == scenario.made.header
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(("encoding", "unpack"), [("br", brotli.decompress), ("gzip", gzip.decompress)])
def test_it_travels_compressed(
    client: FlaskClient, scenario: Scenario, encoding: str, unpack: Callable[[bytes], bytes]
) -> None:
    answer = client.get(scenario.address, headers={"Accept-Encoding": encoding})
    assert answer.headers["Content-Encoding"] == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert unpack(answer.data) == scenario.made.data
    assert len(answer.data) < DEFAULT_MAX_BYTES


@pytest.mark.parametrize("encoding", ["identity", "br", "gzip"])
def test_whoever_has_it_is_told_so(client: FlaskClient, scenario: Scenario, encoding: str) -> None:
    first = client.get(scenario.address, headers={"Accept-Encoding": encoding})
    asked = {"Accept-Encoding": encoding, "If-None-Match": first.headers["ETag"]}
    again = client.get(scenario.address, headers=asked)
    assert again.status_code == 304
    assert again.data == b""


def test_it_is_compressed_once(client: FlaskClient, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = {"Accept-Encoding": "br"}
    first = client.get(scenario.address, headers=packed).data
    monkeypatch.setattr("flask_compress.flask_compress._compress_data", lambda *_: pytest.fail("compressed again"))
    assert client.get(scenario.address, headers=packed).data == first


@pytest.mark.parametrize("path", ["/recording/0.bin", "/recording/", f"/recording/{'0' * 64}.bin"])
def test_an_unknown_hash_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store"
