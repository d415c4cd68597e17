// Paints a page map on a canvas: only cells whose look changed, each copied from a sprite, and only their rectangle is
// put on the canvas.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const { OUTSIDE, LEAF_LOOKS, lookOfStack, readColours, sprite } = window.mmuviz.looks;
  const PER_TABLE = 512;
  const MOST_SPRITES = 1024;
  const LEVELS = { none: 0, "4k": 1, "2m": 2, "1g": 3 };
  const SHOWN = ["cellPx", "gapPx", "span", "across", "first"];

  let colours = null;
  let theme = 0;
  const sprites = new Map();
  const states = new WeakMap();
  const stack = {};

  // Reads the colours again; whatever is painted next is painted whole.
  function refreshColours() {
    colours = readColours();
    theme += 1;
    sprites.clear();
  }

  function spriteOf(look, shape) {
    const name = `${shape.cellPx} ${shape.span > 1} ${look}`;
    let pixels = sprites.get(name);
    if (!pixels) {
      if (sprites.size >= MOST_SPRITES) {
        sprites.clear();
      }
      pixels = sprite(look, shape, colours);
      sprites.set(name, pixels);
    }
    return pixels;
  }

  // What a canvas shows: the shape, its pixels, and the look of each cell.
  function stateOf(canvas, shape) {
    const known = states.get(canvas);
    if (known && known.shape === shape && known.theme === theme) {
      return known;
    }
    const ratio = window.devicePixelRatio || 1;
    if (canvas.width !== shape.width || canvas.height !== shape.height) {
      canvas.width = shape.width;
      canvas.height = shape.height;
    }
    canvas.style.width = `${shape.width / ratio}px`;
    canvas.style.height = `${shape.height / ratio}px`;
    SHOWN.forEach((name) => { canvas.dataset[name] = shape[name]; });
    const context = canvas.getContext("2d");
    const image = context.createImageData(shape.width, shape.height);
    const looks = new Float64Array(shape.cells).fill(-1);
    const state = { shape, theme, context, image, looks, pixels: new Uint32Array(image.data.buffer), logged: null };
    states.set(canvas, state);
    return state;
  }

  function lookOf(pageMap, shape, cell, logged) {
    const gfn = shape.first + cell * shape.span;
    if (shape.span > 1) {
      return lookOfStack(pageMap.stack(gfn, shape.span, stack), shape.span, shape.cellPx, logged);
    }
    const inside = gfn >= pageMap.recording.slot.base_gfn && gfn < pageMap.end;
    return inside ? LEAF_LOOKS[logged ? 1 : 0][pageMap.leaf(gfn)] : OUTSIDE;
  }

  // Repaints cells [from, to) where they look different, and widens the box of what changed.
  function paintCells(state, pageMap, from, to, box) {
    const { shape, looks, logged } = state;
    for (let cell = from; cell < to; cell += 1) {
      const look = lookOf(pageMap, shape, cell, logged);
      if (look !== looks[cell]) {
        looks[cell] = look;
        const [left, top] = window.mmuviz.cornerOf(shape, cell);
        copy(state, spriteOf(look, shape), left, top);
        box.left = Math.min(box.left, left);
        box.top = Math.min(box.top, top);
        box.right = Math.max(box.right, left + shape.cellPx);
        box.bottom = Math.max(box.bottom, top + shape.cellPx);
      }
    }
  }

  function copy({ pixels, shape }, from, left, top) {
    const { cellPx, width } = shape;
    let at = 0;
    for (let y = top; y < top + cellPx; y += 1) {
      const row = y * width + left;
      for (let x = 0; x < cellPx; x += 1) {
        pixels[row + x] = from[at];
        at += 1;
      }
    }
  }

  function paintRegions(state, pageMap, regions, box) {
    const { first, span, cells } = state.shape;
    let last = -1;
    for (const region of regions) {
      const from = Math.floor((pageMap.origin + region * PER_TABLE - first) / span);
      const to = from + Math.max(1, PER_TABLE / span);
      if (from !== last && from >= 0 && to <= cells) {
        paintCells(state, pageMap, from, to, box);
      }
      last = from;
    }
  }

  // Paints what changed in these 2M regions, counted from the map's origin, or all; the canvas takes the shape's size.
  function paint(canvas, pageMap, shape, logged, regions) {
    if (!colours) {
      refreshColours();
    }
    const state = stateOf(canvas, shape);
    const box = { left: Infinity, top: Infinity, right: 0, bottom: 0 };
    if (regions === "all" || state.logged !== logged) {
      state.logged = logged;
      paintCells(state, pageMap, 0, shape.cells, box);
    } else {
      paintRegions(state, pageMap, regions, box);
    }
    if (box.right > 0) {
      state.context.putImageData(state.image, 0, 0, box.left, box.top, box.right - box.left, box.bottom - box.top);
    }
  }

  const PRESENT = 1;
  const WRITABLE = 2;
  const DIRTY = 8;
  const WORDS = { protected: PRESENT, armed: PRESENT | WRITABLE, dirty: PRESENT | WRITABLE | DIRTY };
  const SWATCH_CELLS = 3;
  const SWATCH_CELL_PX = 7;

  // Nine cells of one look, by the canvas's data-look: 1g, 2m, 4k, none, protected, armed or dirty.
  function paintSwatch(canvas) {
    if (!colours) {
      refreshColours();
    }
    const size = SWATCH_CELL_PX * Math.max(1, Math.round(window.devicePixelRatio || 1));
    const side = SWATCH_CELLS * size;
    const { look } = canvas.dataset;
    const level = look in LEVELS ? LEVELS[look] : LEVELS["4k"];
    const leaf = level * 256 + (WORDS[look] || WRITABLE);
    const cell = sprite(LEAF_LOOKS[look in LEVELS ? 0 : 1][level && leaf], { span: 1, cellPx: size }, colours);
    canvas.width = side;
    canvas.height = side;
    const context = canvas.getContext("2d");
    const image = context.createImageData(side, side);
    const state = { pixels: new Uint32Array(image.data.buffer), shape: { cellPx: size, width: side } };
    for (let at = 0; at < SWATCH_CELLS * SWATCH_CELLS; at += 1) {
      copy(state, cell, (at % SWATCH_CELLS) * size, Math.floor(at / SWATCH_CELLS) * size);
    }
    context.putImageData(image, 0, 0);
  }

  Object.assign(window.mmuviz, { paint, paintSwatch, refreshColours });
})();
