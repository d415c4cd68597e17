"""Compresses answers, and keeps what never changes compressed."""

from flask import Flask, Request, Response, request
from flask_compress import Compress

# Dash's scripts, our own files and recordings: the same bytes as long as this process lives.
_KEPT_PREFIXES = ("/_dash-component-suites/", "/assets/", "/recording/")
_COMPRESSED_TYPES = [
    "text/html",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/octet-stream",
    "image/svg+xml",
]
# More files than there are; a bound, because visitors choose the paths.
_KEPT_MAX = 256


def register(server: Flask) -> None:
    """Compress every answer of the server that a visitor takes compressed.

    Args:
        server: the WSGI application, before Dash is on it.
    """
    server.config.update(
        COMPRESS_ALGORITHM=["zstd", "br", "gzip"],
        COMPRESS_MIMETYPES=_COMPRESSED_TYPES,
        COMPRESS_CACHE_KEY=cache_key,
        COMPRESS_CACHE_BACKEND=StaticCache,
    )
    Compress(server)

    # Flask runs the last one first: files are read before they are compressed, for a stream cannot be kept or compared.
    @server.after_request
    def read_file(response: Response) -> Response:
        if response.is_streamed and request.path.startswith(_KEPT_PREFIXES):
            response.direct_passthrough = False
            content = response.get_data()
            response.close()
            response.set_data(content)
        return response


def cache_key(asked: Request) -> str:
    """Name what may be kept.

    Args:
        asked: the request being answered.

    Returns:
        The path of a file, or an empty string for what must not be kept.
    """
    if asked.method == "GET" and asked.path.startswith(_KEPT_PREFIXES):
        return asked.path
    return ""


class StaticCache:
    """Compressed files by algorithm and path, ``"br;/assets/…"``."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """Look up a file.

        Args:
            key: algorithm and path.

        Returns:
            The compressed file, or None.
        """
        return self._kept.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Keep a file, unless its path is empty or the cache is full.

        Args:
            key: algorithm and path.
            value: the compressed file.
        """
        if not key.endswith(";") and len(self._kept) < _KEPT_MAX:
            self._kept[key] = value
