"""All scripts of the page as one file, and all styles as another: ninety requests take longer than the page does."""

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
"""What follows all of them: the page begins when its last script is there, whatever else is still on its way."""
PATH: Final = "/page."


def address(kind: str) -> str:
    """Where a file is served: with the time of its parts' last change, so a copy never grows stale.

    Args:
        kind: "js" or "css".
    """
    return f"{PATH}{kind}?m={_changed(_parts(kind))}"


def register(server: Flask) -> None:
    """Serve both.

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
    """Files in the order in which they are read: that of their names."""
    files = assets_folder().glob(f"*.{kind}")
    return sorted((each for each in files if not re.search(NOT_WITH_THE_REST, each.name)), key=lambda file: file.name)


def _changed(parts: Sequence[Path]) -> str:
    """Differs when a part is another one: the time of the last change, and how many there are."""
    return f"{max(each.stat().st_mtime for each in parts)}-{len(parts)}"


@lru_cache(maxsize=2 * len(TYPES))
def _joined(parts: tuple[Path, ...], changed: str) -> bytes:  # noqa: ARG001 - the time is a part of the key
    return b"".join(b"/* %s */\n%s\n" % (each.name.encode(), each.read_bytes()) for each in parts)
