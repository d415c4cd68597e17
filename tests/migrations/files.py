"""Paths of the recordings of real QEMU."""

from __future__ import annotations

from pathlib import Path

from tests.mmu.recording_files import read, short_name

FOLDER = Path(__file__).resolve().parent / "recorded"
FILES = sorted(FOLDER.glob("*.json.gz"))

__all__ = ["FILES", "FOLDER", "read", "short_name"]
