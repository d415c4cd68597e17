"""The frame of the page: its header, and a main element for whatever is shown."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes
from mmuviz.components.ids import Id

PURPOSE = "How KVM splits 1G and 2M pages under dirty logging"


def shell(menu: Component, content: Component) -> Component:
    """Put the header above the content.

    Args:
        menu: what the header holds beside the name.
        content: what the main element holds.

    Returns:
        The whole page.
    """
    keys = html.Button(
        "?", className="button help-button", type="button", **attributes(data_act="help", aria_label="Keys")
    )
    sign = html.Span(className="theme-sign", **attributes(aria_hidden="true"))
    theme = html.Button(
        sign, id=Id.THEME, className="button theme-button", type="button", **attributes(aria_label="Colours")
    )
    name, purpose = html.H1("MMUViz", className="site-name"), html.P(PURPOSE, className="site-purpose")
    header = html.Header([name, purpose, menu, theme, keys], className="site-header")
    return html.Div([header, html.Main(content, className="site-main")], className="site")
