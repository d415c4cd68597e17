"""Conversion of Dash components to HTML text, so that the document has the whole page before any script runs."""

from __future__ import annotations

from html import escape
from typing import Final

from dash.development.base_component import Component

HTML: Final = "dash_html_components"
RENAMED: Final = {"className": "class", "htmlFor": "for"}
"""Attributes that React names differently; all other names differ only in capitals."""
VOID: Final = frozenset({"br", "hr", "img", "input"})
"""Elements without an end tag."""


def markup(tree: object) -> str:
    """Write a tree as HTML.

    Args:
        tree: components of dash.html, text, numbers, lists of them, or None.

    Returns:
        HTML.

    Raises:
        TypeError: it has another component, which needs Dash's renderer.
    """
    if isinstance(tree, Component):
        return _element(tree)
    if isinstance(tree, list | tuple):
        return "".join(markup(each) for each in tree)
    return "" if tree is None else escape(str(tree), quote=False)


def _element(component: Component) -> str:
    described = component.to_plotly_json()  # type: ignore[no-untyped-call]  # Dash leaves it untyped
    if described["namespace"] != HTML:
        raise TypeError(f"{described['type']} is no element of dash.html; only those stand in the document")
    tag, properties = described["type"].lower(), dict(described["props"])
    children = properties.pop("children", None)
    start = f"<{tag}{''.join(_attribute(name, value) for name, value in properties.items())}>"
    return start if tag in VOID else f"{start}{markup(children)}</{tag}>"


def _attribute(name: str, value: object) -> str:
    """Write an attribute as ` name="value"`; empty if its value is false or None."""
    if value is None or value is False:
        return ""
    text = "" if value is True else str(value)
    return f' {RENAMED.get(name, name.lower())}="{escape(text)}"'
