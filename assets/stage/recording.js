// Parses the bytes of a Recording: the layout of docs/recording-file.md, as written by mmuviz/recording/content.py.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const MAGIC = "mmuviz\0R";
  const VERSION = 3;
  const PREFIX_BYTES = 16;
  const DIGEST_BYTES = 32;
  const ALIGN = 8;
  const TWO_32 = 2 ** 32;
  const DAMAGED = "the recording is cut short or damaged; load the page again";

  const aligned = (size) => Math.ceil(size / ALIGN) * ALIGN;
  const product = (lengths) => lengths.reduce((all, length) => all * length, 1);

  // ---- SHA-256. crypto.subtle is asynchronous, and not available on a page served over plain HTTP.

  const primes = [];
  for (let number = 2; primes.length < 64; number += 1) {
    if (primes.every((prime) => number % prime)) {
      primes.push(number);
    }
  }
  const fraction32 = (value) => ((value - Math.floor(value)) * TWO_32) | 0;
  const ROUND_KEYS = Int32Array.from(primes, (prime) => fraction32(Math.cbrt(prime)));
  const FIRST_STATE = Int32Array.from(primes.slice(0, 8), (prime) => fraction32(Math.sqrt(prime)));
  const BLOCK_BYTES = 64;

  function expand(words, view, at) {
    for (let i = 0; i < 16; i += 1) {
      words[i] = view.getInt32(at + 4 * i);
    }
    for (let i = 16; i < 64; i += 1) {
      const x = words[i - 15];
      const y = words[i - 2];
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
      words[i] = (words[i - 16] + s0 + words[i - 7] + s1) | 0;
    }
  }

  function compress(state, words) {
    let a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
    for (let i = 0; i < 64; i += 1) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
      const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND_KEYS[i] + words[i]) | 0;
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    state[0] += a; state[1] += b; state[2] += c; state[3] += d;
    state[4] += e; state[5] += f; state[6] += g; state[7] += h;
  }

  // The last one or two blocks: the remaining bytes, a one bit, zeros, and the length in bits.
  function tail(bytes) {
    const rest = bytes.length % BLOCK_BYTES;
    const last = new Uint8Array(rest + 9 > BLOCK_BYTES ? 2 * BLOCK_BYTES : BLOCK_BYTES);
    last.set(bytes.subarray(bytes.length - rest));
    last[rest] = 0x80;
    const view = new DataView(last.buffer);
    view.setUint32(last.length - 8, Math.floor(bytes.length / (TWO_32 / 8)));
    view.setUint32(last.length - 4, (bytes.length * 8) % TWO_32);
    return view;
  }

  function sha256(bytes) {
    const state = Int32Array.from(FIRST_STATE);
    const words = new Int32Array(64);
    for (const view of [new DataView(bytes.buffer, bytes.byteOffset, bytes.length), tail(bytes)]) {
      for (let at = 0; at + BLOCK_BYTES <= view.byteLength; at += BLOCK_BYTES) {
        expand(words, view, at);
        compress(state, words);
      }
    }
    const digest = new DataView(new ArrayBuffer(DIGEST_BYTES));
    state.forEach((word, i) => digest.setInt32(4 * i, word));
    return new Uint8Array(digest.buffer);
  }

  // ---- Columns. Each begins at a multiple of 8 bytes, and every browser runs on little-endian machines.

  // No number and no difference of two numbers is above 2**53, so doubles represent them and their sums exactly.
  function readInt64(buffer, at, items, delta) {
    const low = new Uint32Array(buffer, at, 2 * items);
    const high = new Int32Array(buffer, at, 2 * items);
    const column = new Float64Array(items);
    let before = 0;
    for (let item = 0; item < items; item += 1) {
      const stored = high[2 * item + 1] * TWO_32 + low[2 * item];
      column[item] = stored + before;
      before = delta ? column[item] : 0;
    }
    return column;
  }

  function readInt32(buffer, at, items, delta) {
    const stored = new Int32Array(buffer, at, items);
    if (!delta) {
      return stored;
    }
    const column = new Int32Array(items);
    let value = 0;
    for (let item = 0; item < items; item += 1) {
      value = (value + stored[item]) | 0;
      column[item] = value;
    }
    return column;
  }

  const TYPES = {
    "<i8": { bytes: 8, read: readInt64 },
    "<i4": { bytes: 4, read: readInt32 },
    "<i2": { bytes: 2, read: (buffer, at, items) => new Int16Array(buffer, at, items) },
    "|u1": { bytes: 1, read: (buffer, at, items) => new Uint8Array(buffer, at, items) },
  };

  // Bytes that are no Recording of this version; no fault of the connection.
  class Unreadable extends Error {}
  S.Unreadable = Unreadable;

  // The JSON text, and the offset of the columns.
  function readText(buffer) {
    const bytes = new Uint8Array(buffer);
    if (String.fromCharCode(...bytes.subarray(0, MAGIC.length)) !== MAGIC) {
      throw new Unreadable("these bytes are no recording of MMUViz; load the page again");
    }
    if (bytes.length < PREFIX_BYTES + DIGEST_BYTES) {
      throw new Unreadable(DAMAGED);
    }
    const view = new DataView(buffer);
    if (view.getUint32(8, true) !== VERSION) {
      throw new Unreadable("the recording is of another version; load the page again");
    }
    const body = bytes.subarray(0, bytes.length - DIGEST_BYTES);
    const digest = bytes.subarray(body.length);
    if (!sha256(body).every((byte, i) => byte === digest[i])) {
      throw new Unreadable(DAMAGED);
    }
    const end = PREFIX_BYTES + view.getUint32(12, true);
    return [JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX_BYTES, end))), aligned(end)];
  }

  // Parses the inflated content of a Recording to {header, tables}: tables.<table>.<column> is a typed array,
  // int64 as Float64Array; a column with two axes is flat, row after row. Throws an Error of one plain line.
  S.decode = function (buffer) {
    const [{ header, columns }, first] = readText(buffer);
    const tables = {};
    let at = first;
    for (const [table, name, type, coding, shape] of columns) {
      const { bytes, read } = TYPES[type];
      const items = product(shape);
      tables[table] = tables[table] || {};
      tables[table][name] = read(buffer, at, items, coding === "delta");
      at += aligned(bytes * items);
    }
    return { header, tables };
  };
})();
