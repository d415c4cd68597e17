"""A gzip file that is the same for the same content, read within bounds and never left half written."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Final

from mmuviz.ground.errors import InputError, shown
from mmuviz.recording.content import DIGEST_BYTES, PREFIX, REMEDY, read_start, text_end

LEVEL: Final = 6
GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_HEADER: Final = GZIP_MAGIC + b"\x08\x00" + bytes(4) + b"\x00\xff"
"""Deflate, no name, no time, no operating system: nothing that differs between machines."""
MAX_FILE_BYTES: Final = 1 << 27


def compress(content: bytes) -> bytes:
    """The bytes of a file."""
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(content) + deflate.flush()
    return GZIP_HEADER + body + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def decompress(data: bytes) -> bytes:
    """The content of a file.

    Only as much is inflated as the header announces, which is bounded.

    Args:
        data: the bytes of the file.

    Returns:
        The content; its own hash is not checked.

    Raises:
        InputError: it is no gzip file, no Recording, damaged, cut short or too large.
    """
    if not data.startswith(GZIP_MAGIC):
        raise InputError("it is no Recording of mmuviz; name a file that `mmuviz run -o` or Recording.save() wrote")
    inflater = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = inflater.decompress(data, PREFIX.size)
        for end in (text_end, lambda start: read_start(start).size):
            content += inflater.decompress(inflater.unconsumed_tail, max(end(content) - len(content), 1))
        rest = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, DIGEST_BYTES)
    except zlib.error as error:
        raise InputError(f"the Recording is damaged: {error}; {REMEDY}") from None
    if rest or inflater.unused_data:
        raise InputError(f"the Recording is followed by other bytes; {REMEDY}")
    if not inflater.eof:
        raise InputError(f"the Recording is cut short; {REMEDY}")
    return content


def read(path: Path) -> bytes:
    """The bytes of a file, of at most MAX_FILE_BYTES.

    Raises:
        InputError: it cannot be read, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"cannot read {path}: {reason}; name a file that `mmuviz run -o` wrote") from None
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"{path} has more than {MAX_FILE_BYTES} bytes; a Recording never has")
    return data


def write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: another one of the same folder is renamed to it.

    Args:
        path: replaced where it exists.
        data: its bytes.

    Raises:
        InputError: the folder or the file cannot be written.
    """
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder; name a file in it")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            beside.chmod(0o666 & ~_umask())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else shown(str(error))
        raise InputError(f"cannot write {path}: {reason}; name a file in a folder that you may write") from None


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
