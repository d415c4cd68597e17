"""What a visitor sees when something is wrong: one sentence, as a page or as JSON, and never a traceback."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from dash import Dash
from dash.exceptions import DependencyException
from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from markupsafe import escape
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, abort

from mmuviz.ground.version import __version__
from mmuviz.web.document import theme_script

# Dash answers every unknown path with the page; here a path that is not the page's is an error.
_CATCH_ALL = "/<path:path>"
_CALLBACKS = "/_dash-update-component"

_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The server could not read this request.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take requests of this kind.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "This request is larger than the server takes.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server failed on this request; the reason is in its log.",
}

_PAGE = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{status}} · MMUViz</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg?v={__version__}">
<script src="{{theme}}"></script>
<link rel="stylesheet" href="/assets/tokens.css?v={__version__}">
<link rel="stylesheet" href="/assets/layout.css?v={__version__}">
</head>
<body><main class="failure">
<h1>{{status}} {{phrase}}</h1>
<p>{{sentence}}</p>
<p><a href="/">Open MMUViz</a></p>
</main></body>
</html>
"""


def register(app: Dash) -> None:
    """Answer every failure of the app's server in this module's form.

    Args:
        app: the Dash app, with its routes.
    """
    server: Flask = app.server

    @server.before_request
    def refuse() -> None:
        if request.endpoint == _CATCH_ALL:
            abort(HTTPStatus.NOT_FOUND)
        if request.path == _CALLBACKS and request.method == "POST":
            _check_callback_request(_body(), app.callback_map)

    # Werkzeug's own errors, and as InternalServerError every other exception, once Flask has logged it.
    server.register_error_handler(HTTPException, _explain)
    # Dash's word for a script that is not there.
    server.register_error_handler(DependencyException, lambda _: _explain(NotFound()))


def _body() -> object:
    """The request's JSON; Flask keeps it, so that nothing is read twice."""
    try:
        return request.get_json()
    except (RecursionError, ParseException):  # nested too deep, or in chunks that are none
        abort(HTTPStatus.BAD_REQUEST)


def _check_callback_request(body: Any, known: Mapping[str, Any]) -> None:  # noqa: ANN401 - JSON has any type until checked here
    """Refuse at the door what Dash would stumble over inside, and log as a failure of ours."""
    match body:
        case {"output": str(output), "outputs": outputs, "inputs": inputs, "changedPropIds": list(changed)} if (
            output in known
            and outputs == _outputs(output)
            and all(isinstance(each, str) for each in changed)
            and _fits(inputs, known[output]["inputs"])
            and _fits(body.get("state", []), known[output]["state"])
        ):
            return
    abort(HTTPStatus.BAD_REQUEST)


def _outputs(output: str) -> object:
    """What a request must name as its outputs. Dash's own word is `id.property`, or `..one.p...other.p..`."""
    many = output.removeprefix("..").removesuffix("..").split("...")
    found = [dict(zip(("id", "property"), each.rsplit(".", 1), strict=True)) for each in many]
    return found if output.startswith("..") else found[0]


def _fits(given: object, wanted: list[dict[str, Any]]) -> bool:
    """Whether inputs or states are those of the callback, in order; their values are the callback's to judge."""
    return (
        isinstance(given, list)
        and len(given) == len(wanted)
        and all(
            isinstance(each, dict) and all(each.get(name, ...) == like[name] for name in ("id", "property"))
            for each, like in zip(given, wanted, strict=True)
        )
    )


def _explain(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or InternalServerError.code)
    sentence = _SENTENCES.get(status, status.description or status.phrase)
    if request.path.startswith("/_dash") or request.accept_mimetypes.best == "application/json":
        response = jsonify(status=status, error=sentence)
    else:
        words = {"phrase": status.phrase, "sentence": escape(sentence)}
        response = Response(_PAGE.format(status=status.value, theme=theme_script(), **words))
    response.status_code = status
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response
