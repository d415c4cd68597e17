// Reads a Recording, and a Pair of them, from bytes: the same forms as mmuviz/recording/codec.py and pair.py write.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const RECORDING = { magic: "MMUVIZR", noun: "a recording of MMUViz" };
  const PAIR = { magic: "MMUVIZP", noun: "a pair of recordings of MMUViz" };
  const VERSION = 1;
  const HEAD_BYTES = 12;
  const ALIGN = 8;
  // Columns of `runs` that nearly always fit 32 bits: there are millions of rows.
  const NARROW = new Set(["vcpu", "access", "stride", "entries"]);
  const CUT = "the recording is cut short; load the page again";

  const padded = (at) => Math.ceil(at / ALIGN) * ALIGN;

  // Sums of int32 differences stay exact in a double: gfns are below 2**36.
  function undelta(buffer, at, rows) {
    const deltas = new Int32Array(buffer, at, rows);
    const column = new Float64Array(rows);
    let value = 0;
    for (let row = 0; row < rows; row += 1) {
      value += deltas[row];
      column[row] = value;
    }
    return column;
  }

  function undeltaNarrow(buffer, at, rows) {
    const deltas = new Int32Array(buffer, at, rows);
    const column = new Int32Array(rows);
    let value = 0;
    for (let row = 0; row < rows; row += 1) {
      value += deltas[row];
      if (value !== (value | 0)) {
        return undelta(buffer, at, rows);
      }
      column[row] = value;
    }
    return column;
  }

  // Every column begins at a multiple of 8 bytes, and every browser runs on little-endian machines.
  const FORMS = {
    u8: { bytes: 1, read: (buffer, at, rows) => new Uint8Array(buffer, at, rows) },
    u16: { bytes: 2, read: (buffer, at, rows) => new Uint16Array(buffer, at, rows) },
    delta32: { bytes: 4, read: undelta },
    float64: { bytes: 8, read: (buffer, at, rows) => new Float64Array(buffer, at, rows) },
  };

  // The header's JSON and where what follows it begins.
  function readHeader(buffer, first, stop, { magic, noun }) {
    const bytes = new Uint8Array(buffer, first, stop - first);
    if (bytes.length < HEAD_BYTES || String.fromCharCode(...bytes.subarray(0, magic.length)) !== magic) {
      throw new Error(`these bytes are not ${noun}`);
    }
    if (bytes[magic.length] !== VERSION) {
      throw new Error("the recording is of another version; load the page again");
    }
    const end = HEAD_BYTES + new DataView(buffer, first).getUint32(8, true);
    if (end > bytes.length) {
      throw new Error(CUT);
    }
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, end)));
    return [header, first + padded(end)];
  }

  // Hands each column over to `keep`, and gives the place behind the last one.
  function readColumns(buffer, first, stop, columns, keep) {
    let at = first;
    for (const [table, name, form, rows] of columns) {
      const { bytes, read } = FORMS[form];
      if (at + bytes * rows > stop) {
        throw new Error(CUT);
      }
      const narrow = form === "delta32" && table === "runs" && NARROW.has(name);
      keep(table, name, (narrow ? undeltaNarrow : read)(buffer, at, rows));
      at += padded(bytes * rows);
    }
    if (at !== stop) {
      throw new Error(CUT);
    }
  }

  function readRecording(buffer, first, stop) {
    const [{ columns, ...recording }, at] = readHeader(buffer, first, stop, RECORDING);
    readColumns(buffer, at, stop, columns, (table, name, column) => {
      recording[table] = recording[table] || {};
      recording[table][name] = column;
    });
    return recording;
  }

  // Takes an ArrayBuffer and gives {name, kernel, note, config, slot, ops, op_columns, runs, touches, ranges, start}:
  // each of the last five an object of columns. Throws an Error that says what is wrong.
  window.mmuviz.decode = (buffer) => readRecording(buffer, 0, buffer.byteLength);

  // Takes an ArrayBuffer and gives {header, panes}: each pane is its part of the header with `recording` and the
  // columns `say`, `fresh_first` and `fresh`. Throws an Error that says what is wrong.
  window.mmuviz.decodePair = function (buffer) {
    const [{ columns, panes, ...header }, start] = readHeader(buffer, 0, buffer.byteLength, PAIR);
    let at = start;
    const read = panes.map((pane) => {
      if (at + pane.bytes > buffer.byteLength) {
        throw new Error(CUT);
      }
      at += pane.bytes;
      return { ...pane, recording: readRecording(buffer, at - pane.bytes, at) };
    });
    readColumns(buffer, at, buffer.byteLength, columns, (pane, name, column) => { read[pane][name] = column; });
    return { header, panes: read };
  };
})();
