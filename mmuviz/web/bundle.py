"""Bundles of the page's scripts and styles, one file each: ninety requests would take longer than drawing the page."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

from flask import Flask, Response

from mmuviz.web.index_html import NOT_WITH_THE_REST, assets_folder

TYPES: Final = {"js": "text/javascript", "css": "text/css"}
LAST: Final = {"js": b"window.mmuvizStage.begin();\n", "css": b""}
"""Text after all parts: the page begins when its last script is loaded, even if other files are still loading."""
PATH: Final = "/page."


def address(kind: str) -> str:
    """Address of a file, with the time of its parts' last change, so that a cached copy is never stale.

    Args:
        kind: "js" or "css".
    """
    return f"{PATH}{kind}?m={_changed(_parts(kind))}"


def register(server: Flask) -> None:
    """Serve both files.

    Args:
        server: the WSGI application.
    """
    for kind in TYPES:
        server.add_url_rule(f"{PATH}{kind}", f"page_{kind}", lambda kind=kind: _answer(kind))


def _answer(kind: str) -> Response:
    parts = _parts(kind)
    response = Response(_joined(tuple(parts), _changed(parts)) + LAST[kind], mimetype=TYPES[kind])
    response.headers["Cache-Control"] = "public, max-age=31536000"
    return response


def _parts(kind: str) -> list[Path]:
    """Parts of a file, in order of their names."""
    files = assets_folder().glob(f"*.{kind}")
    return sorted((each for each in files if not re.search(NOT_WITH_THE_REST, each.name)), key=lambda file: file.name)


def _changed(parts: Sequence[Path]) -> str:
    """A text that changes with the parts: the time of the last change, and the number of parts."""
    return f"{max(each.stat().st_mtime for each in parts)}-{len(parts)}"


@lru_cache(maxsize=2 * len(TYPES))
def _joined(parts: tuple[Path, ...], changed: str) -> bytes:  # noqa: ARG001 - the time is a part of the key
    return b"".join(b"/* %s */\n%s\n" % (each.name.encode(), each.read_bytes()) for each in parts)
