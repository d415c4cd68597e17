"""Compression of responses, with a cache for static files."""

import hashlib
import threading
from http import HTTPStatus

from flask import Flask, Request, Response, g, request
from flask_compress import Compress

# Scripts of Dash and assets of the page: their bytes do not change while this process runs.
_KEPT_PREFIXES = ("/_dash-component-suites/", "/assets/", "/page.")
_COMPRESSED_TYPES = [
    "text/html",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
    "application/octet-stream",
    "image/svg+xml",
]
# Several times the size of all static files together.
KEPT_BYTES = 64 << 20


def register(server: Flask) -> None:
    """Compress every answer of the server that the client accepts compressed.

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

    # Flask runs the last registered function first: the file is read before it is compressed, since a stream cannot be
    # cached.
    @server.after_request
    def read_file(response: Response) -> Response:
        if not request.path.startswith(_KEPT_PREFIXES):
            return response
        if response.is_streamed:
            response.direct_passthrough = False
            content = response.get_data()
            response.close()
            response.set_data(content)
        # Partial responses are not cached: clients choose their ranges, and there are too many of them.
        if request.method == "GET" and response.status_code == HTTPStatus.OK:
            g.content_digest = hashlib.blake2b(response.get_data(), digest_size=16).hexdigest()
        return response


def cache_key(_: Request) -> str:
    """Return the cache key of a response: a digest, since clients can make up any number of paths for one file.

    Returns:
        A digest of the file that is being sent, or an empty string for content that must not be cached.
    """
    return str(g.get("content_digest", ""))


class StaticCache:
    """Compressed files by algorithm and digest, ``"br;5d41…"``; the least recently used go first."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """Look up a file.

        Args:
            key: algorithm and digest.

        Returns:
            The compressed file, or None.
        """
        with self._lock:
            value = self._kept.pop(key, None)
            if value is not None:
                self._kept[key] = value  # the most recently used are last
            return value

    def set(self, key: str, value: bytes) -> None:
        """Keep a file, unless it has no digest, and drop the least recently used beyond the limit.

        Args:
            key: algorithm and digest.
            value: the compressed file.
        """
        if key.endswith(";") or len(value) > KEPT_BYTES:
            return
        with self._lock:
            self._bytes += len(value) - len(self._kept.pop(key, b""))
            self._kept[key] = value
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._kept.pop(next(iter(self._kept))))
