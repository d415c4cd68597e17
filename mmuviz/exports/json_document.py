"""A Recording as one JSON object, printed by `--json`."""

from __future__ import annotations

from typing import Any

from mmuviz.exports.dirty_rate_text import dirty_rate_of
from mmuviz.exports.migration_text import span_document
from mmuviz.recording.recording import Recording
from mmuviz.recording.totals_of import calls_of
from mmuviz.studies.sensitivity import Span


def json_document(recording: Recording, span: Span | None = None) -> dict[str, Any]:
    """Make the JSON object of a Recording: content hash, complete Scenario, totals and calls.

    Args:
        recording: the Recording.
        span: spread of a migration's results over the plausible ranges of the host's constants, if it was computed.

    Returns:
        A JSON object: `hash`, `scenario`, `totals`, and `calls`, one object per call, times in ns; `range` if a span is
        given; `dirty_rate` if the run measured one, see dirty_rate_of().
    """
    return {
        "hash": recording.hash,
        "scenario": recording.header.document()["scenario"],
        "totals": recording.totals,
        "calls": calls_of(recording.header, recording.calls),
        **({} if span is None else {"range": span_document(span)}),
        **({"dirty_rate": found} if (found := dirty_rate_of(recording)) else {}),
    }
