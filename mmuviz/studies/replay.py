"""`mmuviz replay`: recordings with the model's own answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from mmuviz.core.errors import MmuvizError
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.mmu.replay import TOO_LARGE, replay_document
from mmuviz.studies.migrations.document import is_migration
from mmuviz.studies.migrations.replay import replayed_migration


def _answered(document: dict[str, Any]) -> dict[str, Any]:
    return replayed_migration(document) if is_migration(document) else replay_document(document)


def replay_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz replay FILE...`: one JSON document a line; a bad file has its error in its place.

    Args:
        paths: recordings.
        out: where the lines go.

    Returns:
        Exit status: 1 if any file was bad.
    """
    status = 0
    for path in paths:
        try:
            line = json.dumps(_answered(read_document(path)), separators=(",", ":"), allow_nan=False)
        except MmuvizError as error:
            line = json.dumps({"file": str(path), "error": str(error)})
            status = 1
        except MemoryError:
            line = json.dumps({"file": str(path), "error": TOO_LARGE})
            status = 1
        out.write(line + "\n")
    return status
