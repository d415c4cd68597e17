"""Paths of the KVM recordings, and a reader for them that does not use mmuviz."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "recordings"
FILES = sorted(FOLDER.glob("*.json.gz"))


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return document


def short_name(path: Path) -> str:
    return path.name.removesuffix(".json.gz")
