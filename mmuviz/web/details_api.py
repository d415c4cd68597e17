"""Routes of documents that the page fetches on first use: evidence, ledger, and lost pages. No query changes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any, Final, NamedTuple

import orjson
from flask import Flask, Response, request

from mmuviz.studies.evidence import model_hash, packaged_evidence
from mmuviz.studies.ledger_document import ledger_document
from mmuviz.studies.lost_pages import lost_document


class Served(NamedTuple):
    """A document in the form that is sent.

    Attributes:
        data: the document as JSON.
        tag: hash of the data, used as ETag.
    """

    data: bytes
    tag: str


@cache
def _served(make: Callable[[], dict[str, Any]]) -> Served:
    data = orjson.dumps(make())
    return Served(data, hashlib.sha256(data).hexdigest()[:32])


def evidence_now() -> dict[str, Any]:
    """Return the packaged evidence, and under `running` the hash of the model that this server runs."""
    return {**packaged_evidence(), "running": model_hash()}


ADDRESSES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "/api/evidence.json": evidence_now,
    "/api/ledger.json": ledger_document,
    "/api/lost.json": lost_document,
}


def register(server: Flask) -> None:
    """Serve the documents.

    Args:
        server: the WSGI application.
    """
    for address, make in ADDRESSES.items():
        name = address.rpartition("/")[2].partition(".")[0]
        server.add_url_rule(address, f"api_{name}", lambda make=make: _answer(_served(make)))


def _answer(found: Served) -> Response:
    response = Response(found.data, mimetype="application/json")
    # The document stays the same until the program changes: asking again then costs a few bytes.
    response.headers["Cache-Control"] = "public, no-cache"
    response.set_etag(found.tag, weak=True)  # the same content, compressed or not
    response.make_conditional(request)
    return response
