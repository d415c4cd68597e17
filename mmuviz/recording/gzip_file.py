"""Reproducible gzip files: the same bytes for the same content, inflated within bounds."""

from __future__ import annotations

import struct
import zlib
from typing import Final

from mmuviz.core.errors import InputError
from mmuviz.recording.content import DIGEST_BYTES, PREFIX, REMEDY, read_start, text_end

LEVEL: Final = 6
GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_HEADER: Final = GZIP_MAGIC + b"\x08\x00" + bytes(4) + b"\x00\xff"
"""Deflate without name, time or operating system, which differ between machines."""


def compress(content: bytes) -> bytes:
    """Return the content as a gzip file's bytes."""
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(content) + deflate.flush()
    return GZIP_HEADER + body + struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def decompress(data: bytes) -> bytes:
    """Return the content of a gzip file.

    At most as many bytes are inflated as the header announces, which is limited.

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
