// Reads a Recording from its bytes: the same form as mmuviz/recording/codec.py writes.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const MAGIC = "MMUVIZR";
  const VERSION = 1;
  const HEAD_BYTES = 12;
  const ALIGN = 8;

  const padded = (at) => Math.ceil(at / ALIGN) * ALIGN;

  // Sums of int32 differences stay exact in a double: gfns are below 2**36.
  function undelta(view, at, rows) {
    const column = new Float64Array(rows);
    let value = 0;
    for (let row = 0; row < rows; row += 1) {
      value += view.getInt32(at + 4 * row, true);
      column[row] = value;
    }
    return column;
  }

  function floats(view, at, rows) {
    const column = new Float64Array(rows);
    for (let row = 0; row < rows; row += 1) {
      column[row] = view.getFloat64(at + 8 * row, true);
    }
    return column;
  }

  const FORMS = {
    u8: { bytes: 1, read: (view, at, rows) => new Uint8Array(view.buffer, at, rows) },
    delta32: { bytes: 4, read: undelta },
    float64: { bytes: 8, read: floats },
  };

  // Takes an ArrayBuffer and gives {name, kernel, note, config, slot, ops, op_columns, runs, touches, ranges, start}:
  // each of the last five an object of columns. Throws an Error that says what is wrong.
  window.mmuviz.decode = function (buffer) {
    const view = new DataView(buffer);
    const magic = String.fromCharCode(...new Uint8Array(buffer, 0, Math.min(MAGIC.length, buffer.byteLength)));
    if (magic !== MAGIC || buffer.byteLength < HEAD_BYTES) {
      throw new Error("these bytes are not a recording of MMUViz");
    }
    if (view.getUint8(MAGIC.length) !== VERSION) {
      throw new Error("the recording is of another version; load the page again");
    }
    const end = HEAD_BYTES + view.getUint32(8, true);
    const { columns, ...recording } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, HEAD_BYTES, end - HEAD_BYTES)));
    let at = padded(end);
    for (const [table, name, form, rows] of columns) {
      const { bytes, read } = FORMS[form];
      recording[table] = recording[table] || {};
      recording[table][name] = read(view, at, rows);
      at += padded(bytes * rows);
    }
    if (at !== buffer.byteLength) {
      throw new Error("the recording is cut short; load the page again");
    }
    return recording;
  };
})();
