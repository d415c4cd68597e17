"""The panel "More charts", and the dialog with the values of a chart. Scripts fill both."""

from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.stage_controls import button

PLOTLY: Final = "package_data/plotly.min.js"


def plotly_address() -> str:
    """Return the address at which Dash serves Plotly, with version and time, so that a cached copy is never stale.

    Raises:
        FileNotFoundError: the package is installed without its script.
    """
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("plotly is not installed; Dash needs it: install again")
    changed = int((Path(spec.origin).parent / PLOTLY).stat().st_mtime)
    version = metadata.version("plotly").replace(".", "_")
    return f"/_dash-component-suites/plotly/package_data/plotly.v{version}m{changed}.min.js"


def more_charts() -> Component:
    """Make the panel, closed. It covers maps and charts; its own charts are made when it is first opened."""
    legend = html.Ul([], id="stage-charts-legend", className="more-legend", **attributes(aria_label="Policies"))
    window = html.Div(
        [
            button("first call", "charts-near", "Show the time around the first call"),
            button("whole run", "charts-whole", "Show the whole run"),
        ],
        id="stage-charts-window",
        className="more-window",
        role="group",
        **attributes(aria_label="Time shown"),
    )
    rest = html.Button(
        "Show the rest",
        type="button",
        className="tool",
        role="switch",
        **attributes(data_act="rest", aria_checked="true"),
    )
    head = html.Div(
        [
            html.H2("Charts", id="stage-charts-title", className="details-title"),
            legend,
            window,
            rest,
            button("\N{MULTIPLICATION SIGN}", "more-charts", "Close charts"),
        ],
        className="more-head",
    )
    said = html.P("", id="stage-charts-said", className="more-note", role="status")
    grid = html.Div(
        [], id="stage-charts-grid", className="more-grid", role="group", tabIndex="0", **attributes(aria_label="Charts")
    )
    return html.Section(
        [head, said, grid],
        id="stage-charts",
        className="more-charts",
        hidden=True,
        tabIndex="-1",
        **attributes(aria_labelledby="stage-charts-title", data_plotly=plotly_address()),
    )


def chart_table() -> Component:
    """Make the dialog with the values of one chart."""
    head = html.Div(
        [
            html.H2("", id="stage-table-title"),
            html.Div(
                [button("Copy", "copy-table", "Copy the table"), button("Close", "close-table", "Close the table")],
                className="table-buttons",
            ),
        ],
        className="dialog-head",
    )
    note = html.P("", id="stage-table-note", className="details-note")
    said = html.P("", id="stage-table-said", className="share-said", role="status")
    return html.Dialog(
        [head, note, html.Div([], id="stage-table-place"), said],
        id="stage-table",
        className="help chart-table",
        **attributes(aria_labelledby="stage-table-title"),
    )
