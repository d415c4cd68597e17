"""What a visitor sees when something is wrong: one sentence, as a page or as JSON, and never a traceback."""

from collections.abc import Container
from http import HTTPStatus

from dash import Dash
from dash.exceptions import DependencyException
from flask import Flask, Response, jsonify, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, abort

from mmuviz import __version__

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
            _check_callback_request(request.get_json(), app.callback_map)

    # Werkzeug's own errors, and as InternalServerError every other exception, once Flask has logged it.
    server.register_error_handler(HTTPException, _explain)
    # Dash's word for a script that is not there.
    server.register_error_handler(DependencyException, lambda _: _explain(NotFound()))


def _check_callback_request(body: object, known: Container[str]) -> None:
    """Refuse at the door what Dash would stumble over inside, and log as a failure of ours."""
    match body:
        case {"output": str(output), "inputs": list()} if output in known:
            return
    abort(HTTPStatus.BAD_REQUEST)


def _explain(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or InternalServerError.code)
    sentence = _SENTENCES.get(status, status.description or status.phrase)
    if request.path.startswith("/_dash") or request.accept_mimetypes.best == "application/json":
        response = jsonify(status=status, error=sentence)
    else:
        response = Response(_PAGE.format(status=status.value, phrase=status.phrase, sentence=escape(sentence)))
    response.status_code = status
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response
