import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from dash import Dash
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mmuviz import __version__
from mmuviz.web.app import create_app

SCRIPT = re.compile(r'<script src="(/_dash-component-suites/[^"]+)"')


@pytest.fixture(scope="module")
def app() -> Dash:
    return create_app()


@pytest.fixture
def client(app: Dash) -> FlaskClient:
    client: FlaskClient = app.server.test_client()
    return client


def scripts(client: FlaskClient) -> list[str]:
    found = SCRIPT.findall(client.get("/").text)
    assert len(found) > 3
    return found


def test_each_call_makes_an_app_of_its_own() -> None:
    first, second = create_app(), create_app()
    assert first is not second
    assert first.server is not second.server
    assert first.layout is not second.layout


def test_dash_finished_its_setup_before_the_first_visitor() -> None:
    app = create_app()
    assert app._got_first_request["setup_server"]
    paths = scripts(app.server.test_client())
    with ThreadPoolExecutor(16) as visitors:
        statuses = list(visitors.map(lambda path: app.server.test_client().get(path).status_code, paths * 8))
    assert set(statuses) == {200}


def test_health_says_what_runs_and_is_never_kept(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert answer.status_code == 200
    assert answer.json == {"status": "ok", "version": __version__}
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_policy_admits_the_page_s_own_files_alone(app: Dash, client: FlaskClient) -> None:
    policy = client.get("/").headers["Content-Security-Policy"]
    hashes = re.findall(r"'sha256-[^']+'", policy)
    assert set(app.csp_hashes()) == set(hashes)
    assert policy == (
        f"default-src 'self'; script-src 'self' {' '.join(hashes)}; style-src 'self' 'unsafe-inline'; img-src 'self' "
        "data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
    )


@pytest.mark.parametrize("query", ["", "?ps=45000000000&memory%5B0%5D.size=%2264+MiB%22", "?title=%C3%A4%0d%0aX:%20y"])
def test_the_page_s_former_address_leads_on_and_keeps_its_query(client: FlaskClient, query: str) -> None:
    for path in ("/stage", "/stage/"):
        answer = client.get(path + query)
        assert (answer.status_code, answer.headers["Location"].lower()) == (302, f"/{query}".lower())
    assert "<title>MMUViz</title>" in client.get("/" + query).text


@pytest.mark.parametrize("path", ["/", "/healthz", "/nowhere", "/assets/tokens.css", "/_dash-layout"])
def test_every_answer_carries_the_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"


def test_the_document_names_no_other_host(client: FlaskClient) -> None:
    document = re.sub(r'href="data:[^"]*"', "", client.get("/").text)  # the icon names the namespace of SVG
    assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", document) == []


def test_files_are_kept_for_a_year_under_addresses_that_change_with_them(client: FlaskClient) -> None:
    addresses = re.findall(r'(?:src|href)="(/(?:page|assets)[^"]+\?m=[\d.-]+)"', client.get("/").text)
    assert [each.partition("?")[0] for each in addresses] == ["/assets/tokens.js", "/page.css", "/page.js"]
    for each in addresses:
        assert client.get(each).cache_control.max_age == 31_536_000


def test_an_asset_that_did_not_change_is_not_sent_again(client: FlaskClient) -> None:
    first = encoded(client, "/assets/tokens.css", "br")
    asked = {"Accept-Encoding": "br", "If-None-Match": first.headers["ETag"]}
    again = client.get("/assets/tokens.css", headers=asked)
    assert again.status_code == 304
    assert again.data == b""


def encoded(client: FlaskClient, path: str, encoding: str) -> TestResponse:
    return client.get(path, headers={"Accept-Encoding": encoding})


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip"])
def test_scripts_and_styles_travel_compressed(client: FlaskClient, encoding: str) -> None:
    for path in [max(scripts(client), key=lambda path: len(client.get(path).data)), "/page.css"]:
        plain, packed = client.get(path), encoded(client, path, encoding)
        assert packed.headers["Content-Encoding"] == encoding
        assert len(packed.data) < len(plain.data) / 2


@pytest.mark.parametrize("path", [None, "/page.css"])
def test_a_file_is_compressed_once(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, path: str | None) -> None:
    path = path or scripts(client)[0]
    first = encoded(client, path, "gzip").data
    monkeypatch.setattr("flask_compress.flask_compress._compress_data", lambda *_: pytest.fail("compressed again"))
    assert encoded(client, path, "gzip").data == first
