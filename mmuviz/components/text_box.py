"""A text box of a form, and the line that shows why its value was refused."""

from dash import html
from dash.development.base_component import Component

from mmuviz.components.attributes import attributes


def text_box(field: str, label: str, **data: str) -> Component:
    """Make an editable text box.

    It is a contenteditable element and not an input of Dash: the server checks the text, because it knows every rule.

    Args:
        field: field of the Scenario, e.g. driver.link.
        label: accessible name.
        **data: data attributes by name with underscores, e.g. ``data_mmuviz="control"``.
    """
    return html.Div(
        "",
        className="field-input",
        role="textbox",
        tabIndex="0",
        contentEditable="plaintext-only",
        spellCheck="false",
        **attributes(data_field=field, aria_label=label, **data),
    )


def refusal() -> Component:
    """Make the empty line at a field where a script puts the reason of a refusal."""
    return html.Span("", className="field-refused", role="alert")
