"""The route that answers with sentences on the outcome of a migration."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from flask import Flask, Response, jsonify

from mmuviz.exports.migration_answer import migration_answer
from mmuviz.recording.file import from_bytes
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.web.result_store import ResultStore

_HASH: Final = re.compile(r"[0-9a-f]{64}")
NO_RECORDING: Final = "this Recording is not kept any more; ask for its run again"


def register(server: Flask, store: ResultStore) -> None:
    """Serve the answers by content hash of a Recording.

    Args:
        server: the WSGI application.
        store: the store of the Recordings.
    """
    server.add_url_rule("/api/migration/<hash_>.json", "api_migration", lambda hash_: _answer(store, hash_))


def _answer(store: ResultStore, hash_: str) -> Response:
    found = store.data(hash_) if _HASH.fullmatch(hash_) else None
    if found is None:
        response = jsonify(message=NO_RECORDING)
        response.status_code = HTTPStatus.NOT_FOUND
        response.headers["Cache-Control"] = "no-store"
        return response
    response = jsonify(migration_answer(from_bytes(found.data), packaged_evidence()["uncertainty"]))
    response.headers["Cache-Control"] = "public, no-cache"
    return response
