"""The totals of a Recording as an HTML table, for Jupyter."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from mmuviz.recording.quantities import bytes_text, count_text, time_text

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording


def html_of(recording: Recording) -> str:
    """The title of the Scenario and one row per total.

    Args:
        recording: not changed.

    Returns:
        HTML without scripts; every text of the Recording is escaped.
    """
    title = recording.header.scenario.get("title") or "Recording"
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(name)}</th><td style='text-align:right'>{escape(text)}</td></tr>"
        for name, text in _rows("", recording.totals)
    )
    notes = "".join(f"<br>{escape(note)}" for note in recording.header.notes)
    caption = f"<caption>{escape(str(title))} <code>{recording.hash[:12]}</code>{notes}</caption>"
    return f"<table>{caption}{rows}</table>"


def _rows(prefix: str, totals: Mapping[str, Any]) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in totals.items():
        if isinstance(value, Mapping):
            rows += _rows(f"{prefix}{name}.", value)
        else:
            rows.append((f"{prefix}{name}", _text(f"{prefix}{name}", value)))
    return rows


def _text(name: str, value: int) -> str:
    if name.endswith("_ns") or name.startswith("stall_ns."):
        return time_text(value)
    return bytes_text(value) if "_bytes" in f"_{name}" else count_text(value)
