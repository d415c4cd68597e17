// How one cell of the map looks, pixel by pixel. A look is a number: what of a cell's pages can be seen at its size.
//
// * A cell of one page has its leaf's colour. Stripes say that a write would be noticed: falling to the left for write
//   protection, to the right for a clear dirty bit that PML watches. A square in the middle, or the whole of a small
//   cell, says dirty. Stripes never cross the middle of a cell.
// * A cell of many pages is a bar, from the bottom: 4K, 2M, 1G, not mapped. A level of which half is write-protected is
//   striped. The strip at the right says how many pages are dirty. A small cell has one colour.
// * Lines part the cells, but not those of a leaf that is larger than a cell.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const WRITABLE = 2;
  const DIRTY = 8;
  const GAP_FROM_PX = 4;
  const BAR_FROM_PX = 6;
  const SQUARE_FROM_PX = 9;
  const PAGES_PER_1G = 262144;
  // By level; 0 is not mapped.
  const FILLS = ["--map-none", "--map-4k", "--map-2m", "--map-1g"];
  const STRIPES = ["--map-none-stripe", "--map-4k-stripe", "--map-2m-stripe", "--map-1g-stripe"];

  const OUTSIDE = 0;
  // Looks of one page, and of small cells: 1 + level + these.
  const LEVELS = 4;
  const STRIPED = 4;
  const ARMED = 8;
  const IS_DIRTY = 16;
  const WHOLE = 32;

  function word32(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  let known = null;
  let theme = 0;

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const token = (name) => style.getPropertyValue(name).trim();
    const pixel = (name) => word32(token(name));
    theme += 1;
    return {
      theme,
      levels: FILLS.map(pixel),
      stripes: STRIPES.map(pixel),
      dirty: pixel("--map-dirty"),
      gap: pixel("--surface-raised"),
      ink: token("--ink"),
    };
  }

  // The page's colours as pixels, but `ink` as text; read once. `theme` changes whenever they are read again.
  function palette() {
    known = known || readColours();
    return known;
  }

  // Reads the colours again; whatever is painted next is painted whole.
  function refreshColours() {
    known = readColours();
  }

  // The look of one page by its leaf (level * 256 + word). Only while the slot is logged is a page dirty or armed.
  function lookOfLeaf(leaf, logged) {
    const level = leaf >> 8;
    if (level === 0) {
      return 1;
    }
    const dirty = logged && (leaf & (WRITABLE | DIRTY)) === (WRITABLE | DIRTY);
    const armed = logged && (leaf & (WRITABLE | DIRTY)) === WRITABLE;
    const states = (leaf & WRITABLE ? 0 : STRIPED) + (armed ? ARMED : 0) + (dirty ? IS_DIRTY : 0);
    return 1 + level + states + (level > 1 ? WHOLE : 0);
  }

  // Every leaf's look, without and with logging: a frame may ask for thousands.
  const LEAF_LOOKS = [false, true].map((logged) =>
    Uint8Array.from({ length: LEVELS * 256 }, (_, leaf) => lookOfLeaf(leaf, logged)));

  const half = (part, of) => of > 0 && 2 * part >= of;

  function smallLook({ none, k4, m2, g1 }, dirty, whole) {
    const counts = [none, k4, m2, g1];
    const level = counts.indexOf(Math.max(...counts));
    return 1 + level + (half(dirty, k4 + m2 + g1) ? IS_DIRTY : 0) + (whole ? WHOLE : 0);
  }

  // The look of many pages by their stack. A bar's look is a number in base cellPx + 1: where each level ends, and the
  // rows of the dirty strip; then 4 bits.
  function lookOfStack(stack, span, cellPx, logged) {
    const { none, k4, m2, g1 } = stack;
    const pages = none + k4 + m2 + g1;
    if (pages === 0) {
      return OUTSIDE;
    }
    const dirty = logged ? stack.dirtyBits : 0;
    const whole = g1 > 0 && span < PAGES_PER_1G;
    if (cellPx < BAR_FROM_PX) {
      return smallLook(stack, dirty, whole);
    }
    const ends = [k4, k4 + m2, k4 + m2 + g1].map((sum) => Math.round((cellPx * sum) / pages));
    const rows = dirty > 0 ? Math.max(1, Math.round((cellPx * dirty) / pages)) : 0;
    const number = [...ends, rows].reduce((sum, digit) => sum * (cellPx + 1) + digit, 0);
    const flags = (half(stack.protected4k, k4) ? 1 : 0) + (half(stack.protected2m, m2) ? 2 : 0)
      + (half(stack.protected1g, g1) ? 4 : 0) + (whole ? 8 : 0);
    return 1 + number * 16 + flags;
  }

  function barOfLook(look, cellPx) {
    const flags = (look - 1) % 16;
    let number = (look - 1 - flags) / 16;
    const digits = [0, 0, 0, 0].map(() => {
      const digit = number % (cellPx + 1);
      number = (number - digit) / (cellPx + 1);
      return digit;
    });
    const [rows, ...ends] = digits;
    return { rows, ends: ends.reverse(), striped: [false, flags & 1, flags & 2, flags & 4], whole: (flags & 8) !== 0 };
  }

  // How far a pixel is along from a stripe that falls to the left, and to the right; the middle is on none.
  function stripeAt(x, y, size) {
    const middle = Math.floor((size - 1) / 2);
    const along = (2 * middle + Math.floor(size / 2)) % size;
    return { left: (x + y - along + 2 * size) % size, right: (x - y - Math.floor(size / 2) + 2 * size) % size };
  }

  // A cell of one pixel is all middle: it has no stripes.
  const thickness = (size) => (size > 1 ? Math.max(1, Math.round(size / 9)) : 0);

  function inGap(x, y, size, whole) {
    return size >= GAP_FROM_PX && !whole && (x === size - 1 || y === size - 1);
  }

  function pixelOfPlain(look, x, y, size, colours) {
    const state = look - 1;
    if (inGap(x, y, size, state & WHOLE)) {
      return colours.gap;
    }
    const middle = Math.floor((size - 1) / 2);
    const reach = size < SQUARE_FROM_PX ? size : Math.floor(size / 8);
    if (state & IS_DIRTY && Math.abs(x - middle) <= reach && Math.abs(y - middle) <= reach) {
      return colours.dirty;
    }
    const { left, right } = stripeAt(x, y, size);
    const level = state % LEVELS;
    const onStripe = (state & STRIPED && left < thickness(size)) || (state & ARMED && right < thickness(size));
    return onStripe ? colours.stripes[level] : colours.levels[level];
  }

  // The dirty strip lies beside and above the lines between cells, so that one row of it can be seen.
  function pixelOfBar({ rows, ends, striped, whole }, x, y, size, colours) {
    if (inGap(x, y, size, whole)) {
      return colours.gap;
    }
    const edge = whole ? 0 : 1;
    const row = size - 1 - y;
    if (x >= size - edge - Math.floor(size / 4) && row < rows + edge) {
      return colours.dirty;
    }
    const end = ends.findIndex((at) => row < at);
    const level = end + 1;
    return striped[level] && stripeAt(x, y, size).left < thickness(size) ? colours.stripes[level] : colours.levels[level];
  }

  // A cell's pixels by its look, row by row.
  function sprite(look, { span, cellPx }, colours) {
    const isBar = span > 1 && cellPx >= BAR_FROM_PX;
    const bar = isBar ? barOfLook(look, cellPx) : null;
    return Uint32Array.from({ length: cellPx * cellPx }, (_, at) => {
      const [x, y] = [at % cellPx, Math.floor(at / cellPx)];
      if (look === OUTSIDE) {
        return colours.gap;
      }
      return isBar ? pixelOfBar(bar, x, y, cellPx, colours) : pixelOfPlain(look, x, y, cellPx, colours);
    });
  }

  window.mmuviz.looks = { OUTSIDE, LEAF_LOOKS, lookOfStack, palette, sprite };
  window.mmuviz.refreshColours = refreshColours;
})();
