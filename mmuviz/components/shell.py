"""The frame of the page: its header, and a main element for whatever is shown."""

from dash import html
from dash.development.base_component import Component

PURPOSE = "See a KVM MMU split 1G and 2M pages while dirty logging is on, step by step, as the kernel does it."


def shell(content: Component) -> Component:
    """Put the header above the content.

    Args:
        content: what the main element holds.

    Returns:
        The whole page.
    """
    header = html.Header(
        [html.H1("MMUViz", className="site-name"), html.P(PURPOSE, className="site-purpose")],
        className="site-header",
    )
    return html.Div([header, html.Main(content, className="site-main")], className="site")
