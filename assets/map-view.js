// Where each cell of the map lies, and which pages it stands for. Cells are squares in tiles of 32 by 16, tiles stand in
// reading order, and a gap parts them. All lengths are device pixels.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PER_TABLE = 512;
  const ACROSS = 32;
  const DOWN = 16;
  const PER_TILE = ACROSS * DOWN;
  const MOST_PAGES_AS_CELLS = 32768;
  const MOST_CELLS = 2048;
  // Views below the whole slot, wide ones first.
  const CLOSER = [
    { name: "1 GiB", pages: 262144, span: 512 },
    { name: "64 MiB", pages: 16384, span: 1 },
    { name: "2 MiB", pages: 512, span: 1 },
  ];

  function wholeSpan(pages) {
    if (pages <= MOST_PAGES_AS_CELLS) {
      return 1;
    }
    let span = PER_TABLE;
    while (Math.ceil(pages / span) > MOST_CELLS) {
      span *= 2;
    }
    return span;
  }

  // The views of a slot, {name, first, pages, span}, the whole first; all but that one lie at the slot's start.
  function views(slot) {
    const whole = { name: "slot", pages: slot.pages, span: wholeSpan(slot.pages) };
    return [whole, ...CLOSER.filter((view) => view.pages < slot.pages)]
      .map((view, depth) => ({ ...view, first: depth === 0 ? slot.base_gfn : aligned(slot.base_gfn, view.pages) }));
  }

  const aligned = (gfn, pages) => Math.floor(gfn / pages) * pages;

  // The view of a depth that shows a gfn.
  function viewAt(slot, depth, gfn) {
    const view = views(slot)[depth];
    return depth === 0 ? view : { ...view, first: aligned(gfn, view.pages) };
  }

  const gapOf = (cellPx) => Math.max(2, Math.floor(cellPx / 3));

  // Pixels of so many cells in a row and tiles side by side.
  const extent = (tiles, perTile, cellPx) => tiles * perTile * cellPx + (tiles - 1) * gapOf(cellPx);

  // 0 where no cell of a whole pixel fits.
  function largestCell(across, down, width, height) {
    let cellPx = Math.floor(Math.min(width / (across * ACROSS), height / (down * DOWN)));
    while (cellPx > 0 && (extent(across, ACROSS, cellPx) > width || extent(down, DOWN, cellPx) > height)) {
      cellPx -= 1;
    }
    return cellPx;
  }

  // Large cells first, then a full last row of tiles, then few rows.
  function bestLayout(tiles, width, height) {
    let best = null;
    for (let across = 1; across <= tiles; across += 1) {
      const down = Math.ceil(tiles / across);
      const cellPx = largestCell(across, down, width, height);
      const empty = across * down - tiles;
      if (!best || cellPx > best.cellPx || (cellPx === best.cellPx && empty <= best.empty)) {
        best = { across, down, cellPx, empty };
      }
    }
    return { ...best, cellPx: Math.max(1, best.cellPx) };
  }

  // The shape of a view in a box: {span, first, cells, across, down, cellPx, gapPx, width, height}.
  function geometry(slot, view, boxWidth, boxHeight) {
    const first = aligned(view.first, PER_TILE * view.span);
    const tiles = Math.ceil((view.first + view.pages - first) / (PER_TILE * view.span));
    const { across, down, cellPx } = bestLayout(tiles, boxWidth, boxHeight);
    return {
      span: view.span, first, cells: tiles * PER_TILE, across, down, cellPx, gapPx: gapOf(cellPx),
      width: extent(across, ACROSS, cellPx),
      height: extent(down, DOWN, cellPx),
    };
  }

  // The left and top pixel of a cell.
  function cornerOf({ across, cellPx, gapPx }, cell) {
    const tile = Math.floor(cell / PER_TILE);
    const inside = cell % PER_TILE;
    return [
      (tile % across) * (ACROSS * cellPx + gapPx) + (inside % ACROSS) * cellPx,
      Math.floor(tile / across) * (DOWN * cellPx + gapPx) + Math.floor(inside / ACROSS) * cellPx,
    ];
  }

  // The cell at a pixel, or -1 between tiles and outside the map.
  function cellAt({ across, down, cellPx, gapPx, cells }, x, y) {
    const [wide, high] = [ACROSS * cellPx + gapPx, DOWN * cellPx + gapPx];
    const [column, row] = [Math.floor(x / wide), Math.floor(y / high)];
    const [inX, inY] = [Math.floor((x - column * wide) / cellPx), Math.floor((y - row * high) / cellPx)];
    if (column < 0 || row < 0 || column >= across || row >= down || inX >= ACROSS || inY >= DOWN) {
      return -1;
    }
    const cell = (row * across + column) * PER_TILE + inY * ACROSS + inX;
    return cell < cells ? cell : -1;
  }

  Object.assign(window.mmuviz, { views, viewAt, geometry, cornerOf, cellAt });
})();
