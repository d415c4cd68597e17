"""Routes to request runs, to query their status, and to fetch Recordings."""

from __future__ import annotations

import json
import re
from collections import Counter
from http import HTTPStatus
from typing import Any, Final, NoReturn

from flask import Flask, Response, jsonify, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from mmuviz.core.errors import MmuvizError, one_line
from mmuviz.recording import gzip_file
from mmuviz.studies.alignment import remark_of
from mmuviz.studies.opened_files import opened
from mmuviz.studies.published_matches import matches_of
from mmuviz.studies.requests import Request, RequestError, request_of
from mmuviz.web.result_store import ResultStore
from mmuviz.web.run_queue import Answer, QueueFullError, RunQueue

MOST_BODY_BYTES: Final = 256 << 10
"""Limit of a request's body; a request with every field of 32 memslots takes 20 KB, one with 2000 ops 200 KB."""
MOST_DIGITS: Final = 200
"""Most digits of a number in a body; that of a seed has 20."""
BINARY: Final = "application/octet-stream"
RETRY_S: Final = 30
_JOB: Final = re.compile(r"[0-9a-f]{32}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
NO_JOB: Final = "there is no such job: it is over for long, or the server has forgotten it; ask for its runs again"
NO_RECORDING: Final = "this Recording is not kept any more; ask for its run again"


def register(server: Flask, queue: RunQueue) -> None:
    """Serve runs.

    Args:
        server: the WSGI application.
        queue: the queue that makes and stores the Recordings.
    """
    server.add_url_rule("/api/runs", "api_runs", lambda: _ask(queue), methods=["POST"])
    server.add_url_rule("/api/scenario-file", "api_scenario_file", _open, methods=["POST"])
    server.add_url_rule("/api/jobs/<name>", "api_job", lambda name: _ask_about(queue, name), methods=["GET", "DELETE"])
    server.add_url_rule("/api/recording/<hash_>.bin", "api_recording", lambda hash_: _fetch(queue.store, hash_))


def _ask(queue: RunQueue) -> Response:
    try:
        asked = request_of(_body())
        answer = queue.ask(asked)
    except RequestEntityTooLarge:
        return _too_large("a request", "give fewer fields")
    except (QueueFullError, OSError) as error:
        return _unavailable(error)
    except MmuvizError as error:
        field = error.field if isinstance(error, RequestError) else ""
        return _said(HTTPStatus.BAD_REQUEST, field=field, message=str(error))
    about = {
        "scenario": asked.base.as_document(),
        "published": [matches_of(each) for each in asked.scenarios],
        "remarks": [remark_of(each)._asdict() for each in asked.scenarios],
        "file": _file_of(asked),
    }
    return _answered(answer, about)


def _file_of(asked: Request) -> dict[str, Any]:
    """Return the Scenario document with which `mmuviz compare` makes the same runs."""
    variants = {} if asked.comparison is None else {"variants": [dict(each) for each in asked.comparison.variants]}
    return {**asked.base.given(), **variants}


def _open() -> Response:
    """Return the request that starts the runs of a file whose text the browser sent."""
    try:
        body = _body()
        text = body.get("text") if isinstance(body, dict) else None
        if not isinstance(text, str):
            raise RequestError("text", "the request must be an object with the file's text")
        return _said(HTTPStatus.OK, **opened(text)._asdict())
    except RequestEntityTooLarge:
        return _too_large("a file", "run it on your own machine: mmuviz compare")
    except MmuvizError as error:
        field = error.field if isinstance(error, RequestError) else ""
        return _said(HTTPStatus.BAD_REQUEST, field=field, message=one_line(str(error)))


def _too_large(what: str, remedy: str) -> Response:
    message = f"{what} may have {MOST_BODY_BYTES >> 10} KiB; {remedy}"
    return _said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, field="", message=message)


def _ask_about(queue: RunQueue, name: str) -> Response:
    status = None
    try:
        if _JOB.fullmatch(name):
            status = queue.cancel(name) if request.method == "DELETE" else queue.status(name)
    except OSError as error:
        return _unavailable(error)
    if status is None:
        return _said(HTTPStatus.NOT_FOUND, message=NO_JOB)
    return _said(HTTPStatus.OK, **status._asdict())


def _fetch(store: ResultStore, hash_: str) -> Response:
    found = store.data(hash_) if _HASH.fullmatch(hash_) else None
    if found is None:
        return _said(HTTPStatus.NOT_FOUND, message=NO_RECORDING)
    zipped = request.accept_encodings.quality("gzip") > 0
    response = Response(found.data if zipped else gzip_file.decompress(found.data), mimetype=BINARY)
    if zipped:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    response.set_etag(found.hash, weak=True)  # the same content, compressed or not
    response.make_conditional(request)
    return response


def _body() -> object:
    """Parse the JSON of the request.

    Raises:
        RequestError: it is not JSON.
        RequestEntityTooLarge: it is longer than the limit.
    """
    request.max_content_length = MOST_BODY_BYTES
    if request.mimetype != "application/json":
        # Pages of other sites could send other content types without a preflight request.
        raise RequestError("", "the request must have Content-Type: application/json")
    try:
        return json.loads(
            request.get_data(cache=False), parse_constant=_refuse, parse_int=_int, object_pairs_hook=_object
        )
    except RequestError:
        raise
    except (ParseException, ClientDisconnected, BlockingIOError) as error:  # bad chunks, too few, or too slow
        raise RequestError("", "the request ended before it was whole; send it again") from error
    except RecursionError as error:
        raise RequestError("", "the request is nested too deep; give dotted names instead") from error
    except ValueError as error:  # includes UnicodeDecodeError and JSONDecodeError
        raise RequestError("", f"the request must be JSON in UTF-8: {one_line(str(error))}") from error


def _refuse(constant: str) -> NoReturn:
    raise RequestError("", f"the request has {constant}; numbers must be finite")


def _int(digits: str) -> int:
    """A whole number; Python itself refuses one of thousands of digits, in words for a programmer."""
    if len(digits) > MOST_DIGITS:
        raise RequestError("", f"the request has a number of {len(digits)} digits; give at most {MOST_DIGITS}")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Counted in one pass: a body has room for tens of thousands of names.
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise RequestError(twice, f"{one_line(twice[:60])!r} is there twice; give it once")
    return found


def _said(status: HTTPStatus, **fields: object) -> Response:
    response = jsonify(fields)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response


def _unavailable(error: Exception) -> Response:
    """Answer that the server cannot accept the request now: its queue or its disk is full."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    message = str(error) if isinstance(error, QueueFullError) else f"the server cannot keep what it does: {reason}"
    response = _said(HTTPStatus.SERVICE_UNAVAILABLE, field="", message=one_line(message))
    response.headers["Retry-After"] = str(RETRY_S)
    return response


def _answered(answer: Answer, about: dict[str, Any]) -> Response:
    """Answer with the results or with the job; `about`: fields that do not depend on the results."""
    status = answer.status
    if status.state == "done":
        return _said(HTTPStatus.OK, runs=status.runs, **about)
    cost = answer.estimate
    estimate = {
        "seconds": cost.seconds,
        "memory_bytes": cost.memory_bytes,
        "accesses": cost.accesses,
        "description": cost.description,
    }
    return _said(HTTPStatus.ACCEPTED, job=answer.job, estimate=estimate, place=status.place, runs=status.runs, **about)
