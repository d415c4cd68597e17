"""`mmuviz replay`: prints KVM recordings with the model's answers in place of the kernel's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from mmuviz.core.errors import MmuvizError
from mmuviz.mmu.kvm_recording import read_document
from mmuviz.mmu.replay import TOO_LARGE, replay_document
from mmuviz.studies.migrations.document import is_migration
from mmuviz.studies.migrations.replay import replayed_migration


def _answered(document: dict[str, Any]) -> dict[str, Any]:
    return replayed_migration(document) if is_migration(document) else replay_document(document)


def answer_files(paths: list[Path], out: TextIO, answer: Callable[[dict[str, Any]], dict[str, Any]]) -> int:
    """Write one line of JSON per file; the line of a bad file has the error.

    Args:
        paths: KVM recordings.
        out: output stream.
        answer: function that makes the answer for a file's document.

    Returns:
        Exit status: 1 if any file was bad.
    """
    status = 0
    for path in paths:
        try:
            line = json.dumps(answer(read_document(path)), separators=(",", ":"), allow_nan=False)
        except (MmuvizError, MemoryError) as error:
            said = str(error) if isinstance(error, MmuvizError) else TOO_LARGE
            line = json.dumps({"file": str(path), "error": said})
            status = 1
        out.write(line + "\n")
    return status


def replay_command(paths: list[Path], out: TextIO) -> int:
    """`mmuviz replay FILE...`: see answer_files()."""
    return answer_files(paths, out, _answered)
