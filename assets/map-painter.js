// Paints a page map on a canvas: only cells whose look changed, each copied from a sprite, and only their rectangle is
// put on the canvas.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const { OUTSIDE, LEAF_LOOKS, lookOfStack, palette, sprite } = window.mmuviz.looks;
  const PER_TABLE = 512;
  const MOST_SPRITES = 1024;
  const LEVELS = { none: 0, "4k": 1, "2m": 2, "1g": 3 };
  const SHOWN = ["cellPx", "gapPx", "span", "across", "first"];

  const sprites = new Map();
  let spritesTheme = 0;
  const states = new WeakMap();
  const stack = {};

  // Sprites by look, of cells of one kind and size in today's colours.
  function spritesOf({ cellPx, span }) {
    const { theme } = palette();
    if (theme !== spritesTheme) {
      sprites.clear();
      spritesTheme = theme;
    }
    const kind = `${cellPx} ${span > 1}`;
    if (!sprites.has(kind)) {
      sprites.set(kind, new Map());
    }
    return sprites.get(kind);
  }

  function spriteOf(state, look) {
    let pixels = state.sprites.get(look);
    if (!pixels) {
      if (state.sprites.size >= MOST_SPRITES) {
        state.sprites.clear();
      }
      pixels = sprite(look, state.shape, palette());
      state.sprites.set(look, pixels);
    }
    return pixels;
  }

  // Where each cell's first pixel stands in the image.
  function placesOf(shape) {
    return Int32Array.from({ length: shape.cells }, (_, cell) => {
      const [left, top] = window.mmuviz.cornerOf(shape, cell);
      return top * shape.width + left;
    });
  }

  // What a canvas shows: the shape, its pixels, and the look of each cell.
  function stateOf(canvas, shape) {
    const known = states.get(canvas);
    const { theme } = palette();
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
    const state = {
      shape, theme, context, image,
      pixels: new Uint32Array(image.data.buffer),
      looks: new Float64Array(shape.cells).fill(-1),
      places: placesOf(shape),
      sprites: spritesOf(shape),
      logged: null,
    };
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
    const { shape, looks, logged, places } = state;
    for (let cell = from; cell < to; cell += 1) {
      const look = lookOf(pageMap, shape, cell, logged);
      if (look !== looks[cell]) {
        looks[cell] = look;
        const place = places[cell];
        copy(state.pixels, shape, place, spriteOf(state, look));
        const left = place % shape.width;
        const top = (place - left) / shape.width;
        box.left = Math.min(box.left, left);
        box.top = Math.min(box.top, top);
        box.right = Math.max(box.right, left + shape.cellPx);
        box.bottom = Math.max(box.bottom, top + shape.cellPx);
      }
    }
  }

  function copy(pixels, { cellPx, width }, place, from) {
    let at = 0;
    for (let row = place; row < place + cellPx * width; row += width) {
      for (let x = row; x < row + cellPx; x += 1) {
        pixels[x] = from[at];
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
    const size = SWATCH_CELL_PX * Math.max(1, Math.round(window.devicePixelRatio || 1));
    const side = SWATCH_CELLS * size;
    const { look } = canvas.dataset;
    const level = look in LEVELS ? LEVELS[look] : LEVELS["4k"];
    const leaf = level * 256 + (WORDS[look] || WRITABLE);
    const cell = sprite(LEAF_LOOKS[look in LEVELS ? 0 : 1][level && leaf], { span: 1, cellPx: size }, palette());
    canvas.width = side;
    canvas.height = side;
    const context = canvas.getContext("2d");
    const image = context.createImageData(side, side);
    const pixels = new Uint32Array(image.data.buffer);
    for (let at = 0; at < SWATCH_CELLS * SWATCH_CELLS; at += 1) {
      const place = Math.floor(at / SWATCH_CELLS) * size * side + (at % SWATCH_CELLS) * size;
      copy(pixels, { cellPx: size, width: side }, place, cell);
    }
    context.putImageData(image, 0, 0);
  }

  Object.assign(window.mmuviz, { paint, paintSwatch });
})();
