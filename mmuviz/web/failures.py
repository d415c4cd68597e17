"""Error answers to visitors: one sentence, as a page or as JSON, never a traceback."""

from http import HTTPStatus

from dash.exceptions import DependencyException
from flask import Flask, Response, current_app, jsonify, request
from markupsafe import escape
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound, abort

from mmuviz.web.index_html import THEME, address, icon

# Dash answers every unknown path with the page; this server answers it with an error.
_CATCH_ALL = "/<path:path>"
# The page has no callbacks: it runs by its own scripts in the browser.
_CALLBACKS = "/_dash-update-component"
STYLE = "failure.css"

_SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The server could not read this request.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take requests of this kind.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "This request is larger than the server takes.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "The server failed on this request; the reason is in its log.",
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{status} · MMUViz</title>
<link rel="icon" type="image/svg+xml" href="{icon}">
<script src="{theme}"></script>
<link rel="stylesheet" href="{tokens}">
<link rel="stylesheet" href="{style}">
</head>
<body><main class="failure">
<h1>{status} {phrase}</h1>
<p>{sentence}</p>
<p><a href="/">Open MMUViz</a></p>
</main></body>
</html>
"""


def register(server: Flask) -> None:
    """Answer every failure of the server in this module's form.

    Args:
        server: the WSGI application, with its routes.
    """

    @server.before_request
    def refuse() -> None:
        rule = request.url_rule.rule if request.url_rule else ""
        if rule == _CATCH_ALL and (others := _other_methods()):
            raise MethodNotAllowed(others)
        if rule in {_CATCH_ALL, _CALLBACKS}:
            abort(HTTPStatus.NOT_FOUND)

    # Werkzeug's own errors, and every other exception as InternalServerError, after Flask has logged it.
    server.register_error_handler(HTTPException, _explain)
    # Dash's exception for a missing script.
    server.register_error_handler(DependencyException, lambda _: _explain(NotFound()))


def _other_methods() -> list[str]:
    """Methods that this address takes, although it takes no GET: Dash's path for everything has hidden that."""
    adapter = current_app.create_url_adapter(request)
    return [] if adapter is None else sorted(set(adapter.allowed_methods()) - {"GET", "HEAD", "OPTIONS"})


def _explain(error: HTTPException) -> Response:
    status = HTTPStatus(error.code or InternalServerError.code)
    sentence = _SENTENCES.get(status, status.description or status.phrase)
    if request.path.startswith("/api/"):
        response = jsonify(status=status, field="", message=sentence)  # as the API's own refusals
    elif request.path.startswith("/_dash") or request.accept_mimetypes.best == "application/json":
        response = jsonify(status=status, error=sentence)
    else:
        files = {"icon": icon(), "theme": address(THEME), "tokens": address("tokens.css"), "style": address(STYLE)}
        page_fields = {"status": status.value, "phrase": status.phrase, "sentence": escape(sentence)}
        response = Response(_PAGE.format(**page_fields, **files))
    response.status_code = status
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            response.headers[name] = value
    response.headers["Cache-Control"] = "no-store"
    return response
