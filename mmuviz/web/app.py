"""The function that makes the app; there is no global app, and the returned one is ready to serve."""

import os

from dash import Dash, html
from flask import Flask, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from mmuviz.core.version import __version__
from mmuviz.web import (
    bundle,
    compression,
    details_api,
    failures,
    headers,
    index_html,
    migration_api,
    page,
    run_api,
)
from mmuviz.web.markup import markup
from mmuviz.web.run_queue import RunQueue

YEAR_S = 31_536_000
# Far above any request of ours, far below a size that could do harm.
MAX_BODY_BYTES = 1 << 20


class Page(Dash):
    """A Dash app whose page is part of the HTML document, so that it is drawn before Dash's own scripts load."""

    def interpolate_index(self, *texts: str, **parts: str) -> str:
        """Fill the document for one visitor.

        Args:
            *texts: parts that Dash inserts.
            **parts: the same by the names of their places.

        Returns:
            HTML.
        """
        text = str(super().interpolate_index(*texts, **parts))  # type: ignore[no-untyped-call]  # Dash leaves it untyped
        return text.replace("{%style%}", bundle.address("css")).replace("{%script%}", bundle.address("js"))


def create_app() -> Dash:
    """Make the app and answer its first request, so that no visitor's request is the first.

    Returns:
        The Dash app; its ``server`` is the WSGI application.
    """
    # In debug mode Dash asks its vendor for newer versions; this app contacts no other machine.
    os.environ.setdefault("DASH_DISABLE_VERSION_CHECK", "1")

    server = Flask("mmuviz")
    # Addresses of assets carry the time of their last change, so a copy never grows stale.
    server.config["SEND_FILE_MAX_AGE_DEFAULT"] = YEAR_S
    server.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    compression.register(server)

    app = Page(
        "mmuviz",
        server=server,  # type: ignore[arg-type]  # Dash's annotation leaves out what its documentation takes
        title="MMUViz",
        update_title="",
        assets_folder=str(index_html.assets_folder()),
        assets_ignore=".*",  # bundle.py serves them as one file
        index_string=index_html.index(markup(page.layout())),
        compress=False,  # compression.py does it, with a cache
        serve_locally=True,
        add_log_handler=False,
        use_async=False,
        enable_mcp=False,
    )
    app.layout = html.Div()  # the page runs by its own scripts and needs no renderer
    bundle.register(server)
    queue = RunQueue()
    run_api.register(server, queue)
    migration_api.register(server, queue.store)
    details_api.register(server)
    server.add_url_rule("/healthz", view_func=_healthz)
    for path in ("/stage", "/stage/"):
        server.add_url_rule(path, f"moved_{path}", _moved)
    failures.register(server)
    headers.register(server, script_hashes=app.csp_hashes())
    _finish_setup(app)
    return app


def _healthz() -> Response:
    """Report that this worker answers, and its version."""
    response = jsonify(status="ok", version=__version__)
    response.headers["Cache-Control"] = "no-store"
    return response


def _moved() -> AnyResponse:
    """Redirect the page's former address to the present one."""
    query = request.query_string.decode("latin-1")
    return redirect(f"/?{query}" if query else "/")


def _finish_setup(app: Dash) -> None:
    """Let Dash finish its setup in one thread: it declares itself ready too early for several threads."""
    with app.server.test_client() as client:
        for path in ("/", "/_dash-layout", "/_dash-dependencies"):
            status = client.get(path).status_code
            if status != 200:
                raise RuntimeError(f"{path} answered {status} when the app was made; it must answer 200")
