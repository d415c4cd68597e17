"""Parsing of TOML or JSON from untrusted sources, within a second."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any, Final, NoReturn

from mmuviz.core.errors import InputError, short_repr
from mmuviz.core.regular_file import open_regular
from mmuviz.mmu.kvm_recording import SCHEMA, read_document

MAX_FILE_BYTES: Final = 1 << 20
MOST_PARTS: Final = 16
"""Most names in one dotted key; a parser's time grows with their square."""
PUNCTUATION: Final = "=,[{\\\n"
"""Characters of which each line, entry and escape of TOML contains at least one."""
MOST_DIGITS: Final = 400
"""Most digits of a number; the time to parse one grows with their square."""
MOST_ENTRIES: Final = 10_000
"""Most lines and entries of a TOML file, which take some 50 us each; JSON is parsed a hundred times as fast."""
LOOKED_AT: Final = 4096
"""Bytes at the start of a large file that must contain the schema of a KVM recording."""
_DOTTED: Final = re.compile(
    rf"""(?<![\w"'-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_PARTS}}}""", re.ASCII
)
_LONG_DIGITS: Final = re.compile(rf"[0-9][0-9_]{{{MOST_DIGITS - 1}}}")
TOO_LONG: Final = f"holds a number of {MOST_DIGITS} digits or more; no field takes such a number: leave it out"
FORMS: Final = "give a scenario as TOML or JSON, or a recording of real KVM"


def read_text(path: Path) -> dict[str, Any]:
    """Read the document of a scenario or of a KVM recording.

    Args:
        path: .toml or .json, or .json.gz for a KVM recording; the content decides, not the suffix.

    Returns:
        The document; only its syntax is checked.

    Raises:
        InputError: it is not a file, too large, not UTF-8, or neither TOML nor JSON.
    """
    try:
        with open_regular(path) as file:
            head = file.read(LOOKED_AT)
            if _is_recording(head):
                return read_document(path)
            data = head + file.read(MAX_FILE_BYTES + 1 - len(head))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}; {FORMS}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"has more than {MAX_FILE_BYTES >> 20} MiB; a scenario must have less: {FORMS}")
    return parsed(data)


def _is_recording(head: bytes) -> bool:
    if head[:2] == b"\x1f\x8b":
        return True
    return head.lstrip()[:1] == b"{" and f'"{SCHEMA}"'.encode() in head


def parsed(data: bytes) -> dict[str, Any]:
    """Parse a document.

    Args:
        data: UTF-8, TOML, or a JSON object.

    Returns:
        The document.

    Raises:
        InputError: it is neither, or would take a parser too long.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8: byte {error.start} is {data[error.start]:#04x}; {FORMS}") from error
    if text.lstrip()[:1] == "{":
        return _json(text)
    return _toml(text)


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, parse_int=_short
        )
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {_why(error)}; {FORMS}") from error
    if not isinstance(document, dict):
        raise InputError(f"must hold a JSON object; {FORMS}")
    return document


def _toml(text: str) -> dict[str, Any]:
    if _DOTTED.search(text):
        raise InputError(f"holds a dotted name of more than {MOST_PARTS} parts; no field has so many: leave it out")
    if sum(text.count(each) for each in PUNCTUATION) > MOST_ENTRIES:
        raise InputError(
            f"has more than {MOST_ENTRIES} lines and entries; no scenario needs so many: give long lists as JSON"
        )
    if _LONG_DIGITS.search(text):
        raise InputError(TOO_LONG)
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not TOML: {_why(error)}; {FORMS}") from error


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, count in names.items() if count > 1)
        raise InputError(f"has the field {short_repr(twice)} twice in one object; keep one of them")
    return found


def _no_number(literal: str) -> NoReturn:
    raise InputError(f"holds {literal}, which is no JSON; give a number")


def _short(digits: str) -> int:
    if len(digits) >= MOST_DIGITS:
        raise InputError(TOO_LONG)
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise InputError(f"holds the number {digits[:40]}, which is too large; give one below 1e308")
    return number
