// Paints a page map on a canvas, cell by cell. A cell is one 4K page, or one 2M region of a larger slot; 32 by 16 cells
// make a block, which is one entry of the level above. How a cell looks:
//
// * its colour is the level; a leaf larger than the cell has no lines between its cells;
// * where a cell stands for a table of 4K pages, nine parts of it fill up with the share that is mapped, the middle first;
// * stripes say that a write would be noticed: falling to the left for write protection, to the right for a clear dirty
//   bit that PML watches; a square in the middle, or the whole of a small cell, says dirty. Stripes never cross the
//   middle of a cell.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const WRITABLE = 2;
  const DIRTY = 8;
  const LEVEL_4K = 1;
  const PER_TABLE = 512;
  const ACROSS = 32;
  const DOWN = 16;
  const CELL_4K_MAX_PAGES = 32768;
  const GAP_FROM_PX = 4;
  const PARTS_FROM_PX = 9;
  const PARTS = 9;
  // The part of a 3 x 3 cell, row by row, and the order in which they fill: the middle first, then its sides, the corners.
  const RANK = [5, 1, 6, 2, 0, 3, 7, 4, 8];
  // By level; 0 is not mapped.
  const FILLS = ["--map-none", "--map-4k", "--map-2m", "--map-1g"];
  const STRIPES = ["--map-none-stripe", "--map-4k-stripe", "--map-2m-stripe", "--map-1g-stripe"];

  function word32(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
  }

  function readColours() {
    const style = getComputedStyle(document.documentElement);
    const token = (name) => word32(style.getPropertyValue(name).trim());
    return {
      levels: FILLS.map(token),
      stripes: STRIPES.map(token),
      dirty: token("--map-dirty"),
      gap: token("--surface-raised"),
    };
  }

  // What one cell shows. `logged` says whether the slot is logged: without that no page is dirty or armed.
  function look(pageMap, gfn, span, logged) {
    const { base_gfn: base, pages } = pageMap.recording.slot;
    const seen = { level: 0, parts: 0, whole: false, striped: false, armed: false, dirty: false, outside: false };
    const first = Math.max(gfn, base);
    const stop = Math.min(gfn + span, base + pages);
    if (first >= stop) {
      seen.outside = true;
      return seen;
    }
    let mapped = 0;
    for (let page = first; page < stop; page += 1) {
      const leaf = pageMap.leaf(page);
      const level = leaf >> 8;
      if (level > 0) {
        mapped += 1;
        seen.level = seen.level || level;
        seen.striped = seen.striped || !(leaf & WRITABLE);
        seen.armed = seen.armed || (leaf & (WRITABLE | DIRTY)) === WRITABLE;
        seen.dirty = seen.dirty || (logged && (leaf & (WRITABLE | DIRTY)) === (WRITABLE | DIRTY));
      }
      if (level > LEVEL_4K) {
        mapped = stop - first;
        break;
      }
    }
    seen.parts = Math.ceil((PARTS * mapped) / (stop - first));
    seen.whole = span === 1 ? seen.level > LEVEL_4K : seen.level > LEVEL_4K + 1;
    return seen;
  }

  function colourAt(seen, x, y, size, span, colours) {
    if (seen.outside) {
      return colours.gap;
    }
    const edge = size - 1;
    const gap = size >= GAP_FROM_PX && !seen.whole && (x === edge || y === edge);
    if (gap) {
      return colours.gap;
    }
    const middle = Math.floor(edge / 2);
    const reach = size < PARTS_FROM_PX ? size : Math.floor(size / 8);
    if (seen.dirty && Math.abs(x - middle) <= reach && Math.abs(y - middle) <= reach) {
      return colours.dirty;
    }
    if (seen.parts < PARTS && size >= PARTS_FROM_PX) {
      const part = Math.floor((3 * y) / size) * 3 + Math.floor((3 * x) / size);
      if (RANK[part] >= seen.parts) {
        return colours.levels[0];
      }
    }
    const thick = Math.max(1, Math.round(size / 9));
    const along = (2 * middle + Math.floor(size / 2)) % size;
    const left = (x + y - along + 2 * size) % size;
    const right = (x - y - Math.floor(size / 2) + 2 * size) % size;
    if ((seen.striped && left < thick) || (seen.armed && right < thick)) {
      return colours.stripes[seen.level];
    }
    return colours.levels[seen.level];
  }

  // Where each cell lies for a width in device pixels, blocks side by side.
  function geometry(slot, width, mostAcross) {
    const span = slot.pages <= CELL_4K_MAX_PAGES ? 1 : PER_TABLE;
    const perBlock = ACROSS * DOWN * span;
    const first = Math.floor(slot.base_gfn / perBlock) * perBlock;
    const blocks = Math.ceil((slot.base_gfn + slot.pages - first) / perBlock);
    const across = Math.min(mostAcross, blocks);
    const rows = Math.ceil(blocks / across);
    let size = Math.max(1, Math.floor(width / (across * ACROSS)));
    let gap = Math.max(2, Math.floor(size / 3));
    while (size > 1 && across * ACROSS * size + (across - 1) * gap > width) {
      size -= 1;
      gap = Math.max(2, Math.floor(size / 3));
    }
    return {
      span, first, size, gap, across,
      cells: blocks * ACROSS * DOWN,
      width: across * ACROSS * size + (across - 1) * gap,
      height: rows * DOWN * size + (rows - 1) * gap,
    };
  }

  function corner(shape, cell) {
    const block = Math.floor(cell / (ACROSS * DOWN));
    const inside = cell % (ACROSS * DOWN);
    const column = block % shape.across;
    const row = Math.floor(block / shape.across);
    return [
      column * (ACROSS * shape.size + shape.gap) + (inside % ACROSS) * shape.size,
      row * (DOWN * shape.size + shape.gap) + Math.floor(inside / ACROSS) * shape.size,
    ];
  }

  function paintCell(pixels, width, left, top, seen, size, span, colours) {
    for (let y = 0; y < size; y += 1) {
      for (let x = 0; x < size; x += 1) {
        pixels[(top + y) * width + left + x] = colourAt(seen, x, y, size, span, colours);
      }
    }
  }

  // Paints the whole map and gives its geometry.
  function paint(canvas, pageMap, mostAcross, logged) {
    const ratio = window.devicePixelRatio || 1;
    const shape = geometry(pageMap.recording.slot, Math.floor(canvas.parentElement.clientWidth * ratio), mostAcross);
    canvas.width = shape.width;
    canvas.height = shape.height;
    canvas.style.width = `${shape.width / ratio}px`;
    const context = canvas.getContext("2d");
    const image = context.createImageData(shape.width, shape.height);
    const pixels = new Uint32Array(image.data.buffer);
    const colours = readColours();
    for (let cell = 0; cell < shape.cells; cell += 1) {
      const [left, top] = corner(shape, cell);
      const seen = look(pageMap, shape.first + cell * shape.span, shape.span, logged);
      paintCell(pixels, shape.width, left, top, seen, shape.size, shape.span, colours);
    }
    context.putImageData(image, 0, 0);
    return shape;
  }

  Object.assign(window.mmuviz, { paintMap: paint });
})();
