"""Scenario files that run in a moment, even where nothing is compiled."""

import json
from pathlib import Path
from typing import Any

SMALL: dict[str, Any] = {
    "title": "A small guest",
    "vm": {"vcpus": 2},
    "memory": [{"size": "8 MiB", "backing": "hugetlb_2m"}],
    "workload": {"rate_hz": 5_000_000},
    "driver": {"kind": "enable_only", "lead": "20 us", "tail": "60 us"},
}
VARIANTS = [{"policy": "manual_lazy"}, {"policy": "eager_at_enable"}]


def small_file(folder: Path, **parts: Any) -> Path:  # noqa: ANN401 - of a document
    """A scenario file: SMALL with parts put in the place of its own.

    Args:
        folder: where it is written.
        parts: of the document.
    """
    path = folder / "small.json"
    path.write_text(json.dumps({**SMALL, **parts}))
    return path
