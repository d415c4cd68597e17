"""Data and aria attributes, whose hyphens Python does not allow in argument names."""

from typing import Any


def attributes(**values: str) -> dict[str, Any]:
    """Spell data and aria attributes.

    Args:
        **values: by name with underscores, e.g. ``aria_label="Map"``.

    Returns:
        The same by name with hyphens, to be unpacked into a Dash component.
    """
    return {name.replace("_", "-"): value for name, value in values.items()}
