import logging
from typing import Any, NoReturn

import pytest
from dash import Dash, Input, Output, html
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


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"data": "not json"}, 415),
        ({"data": "{", "content_type": "application/json"}, 400),
        ({"json": []}, 400),
        ({"json": {}}, 400),
        ({"json": {"output": ["a"], "inputs": []}}, 400),
        ({"json": {"output": "no.such", "inputs": []}}, 400),
        ({"data": "x" * (2 << 20), "content_type": "application/json"}, 413),
    ],
)
def test_a_callback_request_that_makes_no_sense_is_refused_at_the_door(
    client: FlaskClient, caplog: pytest.LogCaptureFixture, body: dict[str, Any], status: int
) -> None:
    answer = client.post("/_dash-update-component", **body)
    assert answer.status_code == status
    assert answer.json is not None
    assert answer.json["status"] == status
    must_not_tell(answer)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_callback_request_that_makes_sense_passes(app: Dash, client: FlaskClient) -> None:
    app.layout = html.Div([html.Button(id="button"), html.P(id="text")])

    @app.callback(Output("text", "children"), Input("button", "n_clicks"))
    def count(clicks: int) -> str:
        return f"{clicks} clicks"

    answer = client.post(
        "/_dash-update-component",
        json={
            "output": "text.children",
            "outputs": {"id": "text", "property": "children"},
            "inputs": [{"id": "button", "property": "n_clicks", "value": 3}],
            "changedPropIds": ["button.n_clicks"],
        },
    )
    assert answer.status_code == 200
    assert "3 clicks" in answer.text


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
