"""A Recording as one JSON object, printed by `--json`."""

from __future__ import annotations

from typing import Any

from mmuviz.exports.dirty_rate_text import dirty_rate_of
from mmuviz.exports.migration_text import span_document
from mmuviz.recording.recording import Recording
from mmuviz.recording.totals_of import calls_of
from mmuviz.studies.sensitivity import Span


def json_document(recording: Recording, span: Span | None = None) -> dict[str, Any]:
    """The content hash, the complete Scenario, the totals and the calls.

    Args:
        recording: not changed.
        span: of a migration, what the ranges of the host's constants make of it.

    Returns:
        JSON ready: `hash`, `scenario`, `totals`, and `calls`, an object each, times in ns; with a span `range`; of a
        measured dirty rate `dirty_rate`, see dirty_rate_of().
    """
    return {
        "hash": recording.hash,
        "scenario": recording.header.document()["scenario"],
        "totals": recording.totals,
        "calls": calls_of(recording.header, recording.calls),
        **({} if span is None else {"range": span_document(span)}),
        **({"dirty_rate": found} if (found := dirty_rate_of(recording)) else {}),
    }
