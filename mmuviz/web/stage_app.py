"""The stage as a Dash app of its own, on the server of the page."""

from dash import Dash
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from mmuviz.components.stage import stage
from mmuviz.components.stage_details import Trust, Word
from mmuviz.components.stage_fields import Field
from mmuviz.studies.evidence import packaged_evidence
from mmuviz.studies.glossary import glossary
from mmuviz.studies.offered import fields, hosts, kernels, policies, stories
from mmuviz.web import document

PATH = "/stage/"
OLD_PAGE = "/?scenario=random"
"""The page of recorded pairs, which an address with a query opens; "/" alone opens the stage."""


def trust() -> Trust:
    """How far numbers can be believed, by the packaged evidence."""
    evidence = packaged_evidence()
    recordings = evidence["recordings"]
    return Trust(recordings["exact"], recordings["of"], recordings["mmus"], evidence["uncertainty"])


def create_stage(server: Flask) -> Dash:
    """Put the stage on a server.

    Args:
        server: the WSGI application.

    Returns:
        The Dash app.
    """
    app = Dash(
        "mmuviz.stage",
        server=server,  # type: ignore[arg-type]  # Dash's annotation leaves out what its documentation takes
        url_base_pathname=PATH,
        title="MMUViz",
        update_title="",
        assets_folder=str(document.assets_folder() / "stage"),
        index_string=document.stage_index(),
        compress=False,
        serve_locally=True,
        add_log_handler=False,
        use_async=False,
        enable_mcp=False,
    )
    listed = [Field(*each) for each in fields()]
    words = [Word(*each, each.needed_first) for each in glossary()]
    app.layout = stage(stories(), policies(), kernels(), hosts(), listed, words, trust())

    def open_stage() -> Response | None:
        return redirect(PATH) if request.path == "/" and not request.query_string else None

    server.before_request(open_stage)
    return app
