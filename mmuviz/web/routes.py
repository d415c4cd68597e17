"""Addresses that answer with bytes."""

from http import HTTPStatus

from flask import Flask, Response, abort, request

from mmuviz.web.shipped import FIELD, Shelf

BINARY = "application/octet-stream"


def register(server: Flask, shelf: Shelf) -> None:
    """Serve each pair of recordings under the hash of its content, so that a copy never grows stale.

    Args:
        server: the WSGI application.
        shelf: the scenarios.
    """

    def recording(digest: str) -> Response:
        data = shelf.bytes_of(request.args.get(FIELD, ""), digest)
        if data is None:
            abort(HTTPStatus.NOT_FOUND)
        response = Response(data, mimetype=BINARY)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        response.set_etag(digest)
        response.make_conditional(request)
        return response

    server.add_url_rule("/recording/<digest>.bin", view_func=recording)
