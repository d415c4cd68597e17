"""The headers that every answer carries."""

from collections.abc import Sequence

from flask import Flask, Response


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """State the sources that the page may load from: its own files and nothing else.

    Args:
        script_hashes: quoted hashes of the inline scripts that Dash writes into the page.

    Returns:
        The value of the Content-Security-Policy header.
    """
    directives = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *script_hashes],
        # Dash and Plotly place elements by style attributes, which have no hashes.
        "style-src": ["'self'", "'unsafe-inline'"],
        # Pictures that the page draws and offers for download.
        "img-src": ["'self'", "data:", "blob:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(" ".join([name, *sources]) for name, sources in directives.items())


def register(server: Flask, *, script_hashes: Sequence[str]) -> None:
    """Set the headers on every answer of the server.

    Args:
        server: the WSGI application.
        script_hashes: quoted hashes of the inline scripts that Dash writes into the page.
    """
    fixed = {
        "Content-Security-Policy": content_security_policy(script_hashes),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }

    @server.after_request
    def set_headers(response: Response) -> Response:
        response.headers.update(fixed)
        return response
