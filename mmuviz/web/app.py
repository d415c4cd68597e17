"""Makes the app: one function, no global, ready when it returns."""

import os

from dash import Dash
from flask import Flask, Response, jsonify

from mmuviz.components.shell import shell
from mmuviz.ground.version import __version__
from mmuviz.web import compression, details_api, document, failures, headers, page, routes, run_api
from mmuviz.web.run_queue import RunQueue
from mmuviz.web.shipped import Shelf
from mmuviz.web.stage_app import OLD_PAGE, PATH, create_stage

YEAR_S = 31_536_000
# Far above any callback of ours, far below what could hurt.
MAX_BODY_BYTES = 1 << 20


def create_app() -> Dash:
    """Make the app and answer its first request, so that no visitor's request is the first.

    Returns:
        The Dash app; its ``server`` is the WSGI application.
    """
    # Dash asks its maker for newer versions in debug mode; nothing here speaks to other machines.
    os.environ.setdefault("DASH_DISABLE_VERSION_CHECK", "1")

    server = Flask("mmuviz")
    # Addresses of assets carry the time of their last change, so a copy never grows stale.
    server.config["SEND_FILE_MAX_AGE_DEFAULT"] = YEAR_S
    server.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    compression.register(server)

    app = Dash(
        "mmuviz",
        server=server,  # type: ignore[arg-type]  # Dash's annotation leaves out what its documentation takes
        title="MMUViz",
        update_title="",
        assets_folder=str(document.assets_folder()),
        assets_ignore=document.NOT_WITH_THE_REST,
        assets_path_ignore=["stage"],
        index_string=document.index(),
        compress=False,  # done above, with a cache
        serve_locally=True,
        add_log_handler=False,
        use_async=False,
        enable_mcp=False,
    )
    shelf = Shelf()
    shelf.prepare()
    app.layout = shell(page.menu(), page.layout())
    page.register(app, shelf)
    routes.register(server, shelf)
    server.add_url_rule("/healthz", view_func=_healthz)
    stage = create_stage(server)
    run_api.register(server, RunQueue())
    details_api.register(server)
    failures.register(app)
    # Dash's hashes cover the inline scripts of all callbacks, so this comes after their registration.
    headers.register(server, script_hashes=[*app.csp_hashes(), *stage.csp_hashes()])
    _finish_setup(app)
    return app


def _healthz() -> Response:
    """Say that this worker answers, and what it runs."""
    response = jsonify(status="ok", version=__version__)
    response.headers["Cache-Control"] = "no-store"
    return response


def _finish_setup(app: Dash) -> None:
    """Let Dash finish its setup alone: it declares itself ready before it is, and threads would meet it half done."""
    with app.server.test_client() as client:
        for path in (
            OLD_PAGE,
            PATH,
            *(f"{each}_dash-{what}" for each in ("/", PATH) for what in ("layout", "dependencies")),
        ):
            status = client.get(path).status_code
            if status != 200:
                raise RuntimeError(f"{path} answered {status} when the app was made; it must answer 200")
