"""A Recording as one JSON object, printed by `--json`."""

from __future__ import annotations

from typing import Any

from mmuviz.recording.recording import Recording
from mmuviz.recording.totals_of import calls_of


def json_document(recording: Recording) -> dict[str, Any]:
    """The content hash, the complete Scenario, the totals and the calls.

    Args:
        recording: not changed.

    Returns:
        JSON ready: `hash`, `scenario`, `totals`, and `calls`, one object per call, times in ns.
    """
    return {
        "hash": recording.hash,
        "scenario": recording.header.document()["scenario"],
        "totals": recording.totals,
        "calls": calls_of(recording.header, recording.calls),
    }
