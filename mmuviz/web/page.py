"""The main area of the page."""

from dash.development.base_component import Component

from mmuviz.components.recording_table import recording_table
from mmuviz.web.shipped import shipped_recordings


def layout() -> Component:
    """Show the recordings that come with the package.

    Returns:
        The content of the page's main element.
    """
    return recording_table(shipped_recordings())
