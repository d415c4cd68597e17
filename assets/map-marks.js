// Outlines what just changed, on a canvas of its own that lies over the map.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const ACROSS = 32;
  const PER_TILE = 512;
  const PER_LEVEL = [1, 1, 512, 262144, 134217728];

  // What a row of the event log is about, as [first gfn, pages]; neighbours are one range, and there are at most `limit`.
  function rangesOfRow({ runs }, row, limit) {
    const pages = PER_LEVEL[runs.level[row]] || 1;
    const [gfn, stride, entries] = [runs.gfn[row], runs.stride[row], runs.entries[row]];
    if (entries === 1 || stride === pages) {
      return [[gfn, pages * entries]];
    }
    return Array.from({ length: Math.min(entries, limit) }, (_, index) => [gfn + stride * index, pages]);
  }

  // The cells that lie in one of the ranges, 1 each.
  function markedCells({ first, span, cells }, ranges) {
    const marked = new Uint8Array(cells);
    for (const [gfn, pages] of ranges) {
      const from = Math.max(0, Math.floor((gfn - first) / span));
      const to = Math.min(cells, Math.ceil((gfn + pages - first) / span));
      if (to > from) {
        marked.fill(1, from, to);
      }
    }
    return marked;
  }

  // Which neighbours of a cell in its tile are not marked: above, below, left, right; null where all are.
  function openSides(marked, cell) {
    const inside = cell % PER_TILE;
    const column = inside % ACROSS;
    const above = inside < ACROSS || !marked[cell - ACROSS];
    const below = inside >= PER_TILE - ACROSS || !marked[cell + ACROSS];
    const left = column === 0 || !marked[cell - 1];
    const right = column === ACROSS - 1 || !marked[cell + 1];
    return above || below || left || right ? { above, below, left, right } : null;
  }

  // Lines around a cell, outside it.
  function outline(context, [left, top], size, line, sides) {
    const length = size + 2 * line;
    if (sides.above) {
      context.fillRect(left - line, top - line, length, line);
    }
    if (sides.below) {
      context.fillRect(left - line, top + size, length, line);
    }
    if (sides.left) {
      context.fillRect(left - line, top, line, size);
    }
    if (sides.right) {
      context.fillRect(left + size, top, line, size);
    }
  }

  // Outlines the cells of these ranges, [first gfn, pages] each; what was outlined before is gone.
  function mark(canvas, shape, ranges) {
    if (canvas.width !== shape.width || canvas.height !== shape.height) {
      canvas.width = shape.width;
      canvas.height = shape.height;
    }
    const ratio = window.devicePixelRatio || 1;
    canvas.style.width = `${shape.width / ratio}px`;
    canvas.style.height = `${shape.height / ratio}px`;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, shape.width, shape.height);
    context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
    const marked = markedCells(shape, ranges);
    const line = Math.max(1, Math.round(ratio), Math.floor(shape.cellPx / 8));
    for (let cell = marked.indexOf(1); cell >= 0; cell = marked.indexOf(1, cell + 1)) {
      const sides = openSides(marked, cell);
      if (sides) {
        outline(context, window.mmuviz.cornerOf(shape, cell), shape.cellPx, line, sides);
      }
    }
  }

  Object.assign(window.mmuviz, { mark, rangesOfRow });
})();
