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

  // What each canvas outlines: the shape, its cells (1 where marked), and how many are.
  const states = new WeakMap();

  function stateOf(canvas, shape) {
    const known = states.get(canvas);
    if (known && known.shape === shape) {
      return known;
    }
    const ratio = window.devicePixelRatio || 1;
    canvas.width = shape.width;
    canvas.height = shape.height;
    canvas.style.width = `${shape.width / ratio}px`;
    canvas.style.height = `${shape.height / ratio}px`;
    const line = Math.max(1, Math.round(ratio), Math.floor(shape.cellPx / 8));
    const state = { shape, line, context: canvas.getContext("2d"), marked: new Uint8Array(shape.cells), any: false };
    states.set(canvas, state);
    return state;
  }

  function markCells(state, ranges) {
    const { first, span, cells } = state.shape;
    state.marked.fill(0);
    state.any = false;
    for (const [gfn, pages] of ranges) {
      const from = Math.max(0, Math.floor((gfn - first) / span));
      const to = Math.min(cells, Math.ceil((gfn + pages - first) / span));
      if (to > from) {
        state.marked.fill(1, from, to);
        state.any = true;
      }
    }
  }

  // Lines of `line` pixels at `top`, over those of the cells [from, to) whose neighbour is not marked.
  function drawSide({ context, shape, marked, line }, [from, to], neighbour, isEdge, top) {
    const isOpen = (cell) => isEdge || !marked[cell + neighbour];
    for (let cell = from; cell < to; cell += 1) {
      const begin = cell;
      while (cell < to && isOpen(cell)) {
        cell += 1;
      }
      if (cell > begin) {
        const [left] = window.mmuviz.cornerOf(shape, begin);
        context.fillRect(left - line, top, (cell - begin) * shape.cellPx + 2 * line, line);
      }
    }
  }

  // Outlines cells that stand side by side in one row of a tile, on their outside.
  function drawRun(state, from, to) {
    const { context, shape, line } = state;
    const { cellPx } = shape;
    const [left, top] = window.mmuviz.cornerOf(shape, from);
    const inTile = from % PER_TILE;
    context.fillRect(left - line, top, line, cellPx);
    context.fillRect(left + (to - from) * cellPx, top, line, cellPx);
    drawSide(state, [from, to], -ACROSS, inTile < ACROSS, top - line);
    drawSide(state, [from, to], ACROSS, inTile >= PER_TILE - ACROSS, top + cellPx);
  }

  // Outlines the cells of these ranges, [first gfn, pages] each; what was outlined before is gone.
  function mark(canvas, shape, ranges) {
    const state = stateOf(canvas, shape);
    const { context, marked } = state;
    if (state.any) {
      context.clearRect(0, 0, shape.width, shape.height);
    }
    if (!state.any && ranges.length === 0) {
      return;
    }
    markCells(state, ranges);
    context.fillStyle = window.mmuviz.looks.palette().ink;
    for (let cell = marked.indexOf(1); cell >= 0; cell = marked.indexOf(1, cell)) {
      const begin = cell;
      const rowEnd = (Math.floor(cell / ACROSS) + 1) * ACROSS;
      while (cell < rowEnd && marked[cell]) {
        cell += 1;
      }
      drawRun(state, begin, cell);
    }
  }

  Object.assign(window.mmuviz, { mark, rangesOfRow });
})();
