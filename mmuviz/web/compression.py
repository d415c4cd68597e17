"""Compresses answers, and keeps what never changes compressed."""

from flask import Request

# Dash's own scripts, one path a version; everything else is cheap to compress or must not be kept.
_KEPT_PREFIX = "/_dash-component-suites/"
# More scripts than Dash has; a bound, because visitors choose the paths.
_KEPT_MAX = 256


def cache_key(request: Request) -> str:
    """Name what may be kept.

    Args:
        request: the request being answered.

    Returns:
        The path of a script of Dash, or an empty string for what must not be kept.
    """
    if request.method == "GET" and request.path.startswith(_KEPT_PREFIX):
        return request.path
    return ""


class StaticCache:
    """Compressed scripts by algorithm and path, ``"br;/_dash-component-suites/…"``."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """Look up a script.

        Args:
            key: algorithm and path.

        Returns:
            The compressed script, or None.
        """
        return self._kept.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Keep a script, unless its path is empty or the cache is full.

        Args:
            key: algorithm and path.
            value: the compressed script.
        """
        if not key.endswith(";") and len(self._kept) < _KEPT_MAX:
            self._kept[key] = value


SETTINGS = {
    "COMPRESS_ALGORITHM": ["zstd", "br", "gzip"],
    "COMPRESS_ALGORITHM_STREAMING": ["zstd", "br", "gzip"],
    "COMPRESS_CACHE_KEY": cache_key,
    "COMPRESS_CACHE_BACKEND": StaticCache,
}
