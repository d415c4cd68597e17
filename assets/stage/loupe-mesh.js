// Tables of a page-table walk as meshes of dots: one dot an entry, or a few dots for all of its entries.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PER_TABLE = 512;
  const ROWS = 8; // entries of a column of the table
  const COLUMNS = PER_TABLE / ROWS;
  const SIDE = 6; // dots of a side of a table that is drawn small

  // A table that is drawn small: numbers of dirty and of write-protected dots.
  S.smallMesh = {
    dots: SIDE * SIDE,
    paint(ctx, tokens, { dirty, armed, width, height }) {
      const [dx, dy] = [width / SIDE, height / SIDE];
      for (let dot = 0; dot < SIDE * SIDE; dot++) {
        const [left, top] = [Math.floor(dot / SIDE) * dx, (dot % SIDE) * dy];
        if (dot < dirty) {
          ctx.globalAlpha = 0.5;
          ctx.fillStyle = tokens.dirty;
          ctx.fillRect(left, top, dx, dy);
          ctx.globalAlpha = 1;
        }
        ctx.fillStyle = dot < dirty ? tokens.dirty : dot >= SIDE * SIDE - armed ? tokens.g2 : tokens.g4;
        ctx.fillRect(left, top, dx - 1, dy - 1);
      }
    },
  };

  // A table of which all entries have one colour, as a canvas. `dot` is the distance of the dots, `size` their side, in units;
  // with `gaps` the space between them is filled too, half.
  function tableOf({ stamps }, scale, { colour, size, gaps, dot }) {
    const box = { left: 0, top: 0, right: COLUMNS * dot * scale, bottom: ROWS * dot * scale };
    return stamps.of(`entries|${colour}|${size}`, box, (ctx) => {
      ctx.scale(scale, scale);
      ctx.fillStyle = colour;
      if (gaps) {
        ctx.globalAlpha = 0.5;
        ctx.fillRect(0, 0, COLUMNS * dot, ROWS * dot);
        ctx.globalAlpha = 1;
      }
      for (let page = 0; page < PER_TABLE; page++) {
        ctx.fillRect(Math.floor(page / ROWS) * dot, (page % ROWS) * dot, size, size);
      }
    }).canvas;
  }

  // Draws entries `from` up to `to`, down the columns, copied from a table of one colour, at a point in units.
  S.drawEntries = function (loupe, entries, left, top) {
    const { from, to, dot } = entries;
    if (from >= to) {
      return;
    }
    const { ctx } = loupe;
    const scale = loupe.scale * loupe.dpr;
    const canvas = tableOf(loupe, scale, entries);
    const [x0, y0] = [Math.round(left * scale), Math.round(top * scale)];
    const copy = (column, row, columns, rows) => {
      const [x, y] = [column, row].map((at) => Math.round(at * dot * scale));
      const [width, height] = [Math.round((column + columns) * dot * scale) - x, Math.round((row + rows) * dot * scale) - y];
      if (width > 0 && height > 0) {
        ctx.drawImage(canvas, x, y, width, height, x0 + x, y0 + y, width, height);
      }
    };
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    const [first, last] = [Math.ceil(from / ROWS), Math.floor(to / ROWS)]; // whole columns
    if (last < first) {
      copy(last, from % ROWS, 1, to - from);
    } else {
      copy(first - 1, ROWS - (first * ROWS - from), 1, first * ROWS - from);
      copy(first, 0, last - first, ROWS);
      copy(last, 0, 1, to - last * ROWS);
    }
    ctx.setTransform(scale, 0, 0, scale, 0, 0);
  };
})();
