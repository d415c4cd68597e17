import logging
import re
from typing import Any, NoReturn

import pytest
from dash import Dash
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mmuviz.web.app import create_app


@pytest.fixture
def app() -> Dash:
    return create_app()


@pytest.fixture
def client(app: Dash) -> FlaskClient:
    client: FlaskClient = app.server.test_client()
    return client


def must_not_tell(answer: TestResponse) -> None:
    for inside in ("Traceback", "File &#34;", 'File "', "secret reason", "site-packages"):
        assert inside not in answer.text


def test_an_unknown_address_is_a_page_for_people(client: FlaskClient) -> None:
    answer = client.get("/nowhere")
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"
    assert "404 Not Found" in answer.text
    assert 'href="/"' in answer.text


def test_an_unknown_address_is_json_for_programs(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={"Accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json == {"status": 404, "error": "There is nothing at this address."}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/api/none", 404), ("GET", "/api/runs", 405)])
def test_the_api_answers_json_to_everybody(client: FlaskClient, method: str, path: str, status: int) -> None:
    answer = client.open(path, method=method, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (status, "application/json")
    found = answer.get_json()
    assert set(found) == {"status", "field", "message"}
    assert found["status"] == status
    assert found["message"].startswith("There is nothing" if status == 404 else "This address does not take")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none.css",
        "/assets/../app.py",
        "/_dash-component-suites/none/none.js",
        "/_dash-component-suites/dash/none.js",
    ],
)
def test_a_missing_file_is_not_found(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    must_not_tell(answer)


def test_the_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.post("/healthz")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize("body", [{}, {"json": {"output": "no.such", "inputs": []}}, {"data": "[" * 100_000}])
def test_a_request_for_a_callback_finds_none(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, body: dict[str, Any]
) -> None:
    answer = client.post("/_dash-update-component", **body)
    assert answer.status_code == 404
    assert answer.json == {"status": 404, "error": "There is nothing at this address."}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_the_page_of_a_failure_has_its_colours_and_its_style(client: FlaskClient) -> None:
    addresses = re.findall(r'(?:src|href)="(/assets/[^"]+)"', client.get("/nowhere").text)
    assert [each.partition("?")[0] for each in addresses] == [
        f"/assets/{name}" for name in ("tokens.js", "tokens.css", "failure.css")
    ]
    assert [client.get(each).status_code for each in addresses] == [200] * 3


def test_a_failure_of_ours_tells_the_log_and_not_the_visitor(
    app: Dash, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> NoReturn:
        raise RuntimeError("secret reason")

    app.server.view_functions["_healthz"] = fail
    answer = client.get("/healthz")
    assert answer.status_code == 500
    assert "500 Internal Server Error" in answer.text
    must_not_tell(answer)
    assert "secret reason" in caplog.text
