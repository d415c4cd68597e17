"""Numbers on their way out of the browser, however many."""

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

# A typed array keeps its type, so that a million small numbers stay small.
PACKED = """window.packed = (numbers) => {
    const column = ArrayBuffer.isView(numbers) ? numbers : Float64Array.from(numbers);
    const bytes = new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
    let text = '';
    for (let at = 0; at < bytes.length; at += 4096) {
        text += String.fromCharCode(...bytes.subarray(at, at + 4096));
    }
    return `${column.constructor.name} ${btoa(text)}`;
};"""
DTYPES = {"Float64Array": "<f8", "Int32Array": "<i4", "Uint32Array": "<u4", "Uint16Array": "<u2", "Uint8Array": "u1"}


def unpacked(text: str) -> npt.NDArray[Any]:
    """Decode the result of `window.packed`."""
    kind, data = text.split(" ")
    return np.frombuffer(base64.b64decode(data), dtype=DTYPES[kind])
