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


@pytest.fixture(scope="module")
def standing() -> FlaskClient:
    """A client of one app for many questions; making an app takes longer than all of them."""
    client: FlaskClient = create_app().server.test_client()
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


def page_request(client: FlaskClient) -> dict[str, Any]:
    """What a browser sends when it asks for the page's content."""
    (callback,) = [each for each in client.get("/_dash-dependencies").json or [] if each["inputs"] == [URL]]
    names = [each.rsplit(".", 1) for each in callback["output"].strip(".").split("...")]
    outputs = [{"id": name, "property": each} for name, each in names]
    many = callback["output"].startswith("..")
    return {
        "output": callback["output"],
        "outputs": outputs if many else outputs[0],
        "inputs": [{**callback["inputs"][0], "value": ""}],
        "changedPropIds": ["url.search"],
    }


def test_a_browsers_request_passes(client: FlaskClient) -> None:
    texts: list[str | None] = ["", "?scenario=none", None, "?\ud800"]
    for value in texts:
        body = page_request(client)
        body["inputs"][0]["value"] = value
        assert client.post("/_dash-update-component", json=body).status_code == 200
    body = {**page_request(client), "state": [], "parsedChangedPropsIds": ["url.search"]}
    del body["inputs"][0]["value"]  # JSON has no word for undefined
    assert client.post("/_dash-update-component", json=body).status_code == 200


URL = {"id": "url", "property": "search"}
GONE = object()
VALUES: list[object] = [5, True, 1.5, -1, 10**400, [], ["a"], {}, {"a": 1}]
INPUTS: list[object] = [[], [5], [None], [[]], ["a"], [{}], [{"id": "url"}], [[URL]], [URL] * 2, {}, 5]
STATES: list[object] = [None, 5, [5], "x", [{}], {}, [URL]]
OUTPUTS: list[object] = [GONE, None, "", "shown.children@1", "....", [1]]
STRANGE: list[tuple[str, object]] = [
    *[("inputs", value) for value in INPUTS],
    ("inputs", [{"property": "search", "value": ""}]),
    ("inputs", [{"id": {"a": 1}, "property": "search", "value": ""}]),
    ("inputs", [{"id": "url", "property": "nope", "value": "x"}]),
    *[("outputs", value) for value in (GONE, None, 5, [], {}, "x", [{}], [{"id": 1}], {"id": "x", "property": "y"})],
    *[("changedPropIds", value) for value in (GONE, None, 5, "x", [5], [None], [[]], {})],
    *[("state", value) for value in STATES],
    *[("output", value) for value in OUTPUTS],
]


@pytest.mark.parametrize(("name", "value"), STRANGE, ids=[f"{name}-{index}" for index, (name, _) in enumerate(STRANGE)])
def test_a_callback_request_with_one_thing_wrong_is_refused(
    standing: FlaskClient, caplog: pytest.LogCaptureFixture, name: str, value: object
) -> None:
    body = page_request(standing)
    body[name] = value
    if value is GONE:
        del body[name]
    answer = standing.post("/_dash-update-component", json=body)
    assert answer.status_code == 400
    must_not_tell(answer)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_value_of_any_type_makes_no_callback_fail(standing: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    for value in VALUES:
        body = page_request(standing)
        body["inputs"] = [{**URL, "value": value}]
        assert standing.post("/_dash-update-component", json=body).status_code in {200, 400}
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000], ids=["lists", "objects", "digits"])
def test_json_that_python_cannot_read_is_refused(
    standing: FlaskClient, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    answer = standing.post("/_dash-update-component", data=text, content_type="application/json")
    assert answer.status_code == 400
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
