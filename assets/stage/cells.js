// Draws a cell of a map: geometry shows the level that maps it, fill shows dirty pages; one rule for every size.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WHOLE = 255;
  // Indices in the shares of a cell.
  const [NONE, K4, M2, G1, P4, P2, P1, DIRTY] = [0, 1, 2, 3, 4, 5, 6, 7];
  const RIM = "rgba(255,255,255,.28)";
  const TOP_EDGE = "rgba(255,255,255,.22)";
  const FRESH_MESH = [1, 0.66, 0.33];
  const FRESH_TILE = [0.8, 0.5, 0.25];
  const LOW = 0.62; // height of a column of 4K pages where cells are too small for a mesh

  // The number of dots, of `of`, that show a share: none only for 0, all only for the whole.
  S.dotsOf = function (share, dots) {
    if (share === 0 || share === WHOLE) {
      return share === 0 ? 0 : dots;
    }
    return Math.max(1, Math.min(dots - 1, Math.ceil((share / WHOLE) * dots)));
  };

  // The geometry of cells of a pitch, in device pixels: dots per side, their distance and gap, the tile's side.
  S.cellGeometry = function (pitch, dpr) {
    const css = pitch / dpr;
    if (css < 6 && pitch < 8) {
      return { flat: true, pitch, dpr, css };
    }
    const dots = css >= 24 ? 8 : css >= 8.5 ? Math.floor(css / 3 + 0.17) : 2;
    const step = Math.floor(pitch / dots);
    const gap = Math.max(1, Math.round(step / 3));
    const mesh = dots * step - gap;
    const tile = Math.max(mesh, pitch - Math.max(1, Math.round(pitch / 9)));
    const radius = css >= 18 ? 3 * dpr : css >= 9 ? 1.5 * dpr : 0;
    return { flat: false, pitch, dpr, css, dots, step, gap, mesh, tile, radius, keyhole: css >= 8 };
  };

  // Divides the columns of a cell among 4K, 2M, 1G and nothing by share; each nonzero share gets at least one column.
  S.columnsOf = function (shares, at, dots) {
    const given = [shares[at + K4], shares[at + M2], shares[at + G1], shares[at + NONE]];
    const columns = given.map((share) => (share ? Math.max(1, Math.round((share / WHOLE) * dots)) : 0));
    let sum = columns[0] + columns[1] + columns[2] + columns[3];
    while (sum > dots) {
      const present = columns.filter(Boolean).length;
      const of = [0, 1, 2, 3].filter((kind) => columns[kind] > 1 || (columns[kind] && present > dots));
      const kind = of.reduce((a, b) => (columns[a] - given[a] / 1e3 >= columns[b] - given[b] / 1e3 ? a : b));
      columns[kind]--;
      sum--;
    }
    while (sum < dots) {
      columns[given.indexOf(Math.max(...given))]++;
      sum++;
    }
    return columns;
  };

  // An opaque colour between two: ink must not depend on what is below it.
  function between(top, below, part) {
    const of = (colour) => [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));
    const [a, b] = [of(top), of(below)];
    return `rgb(${a.map((value, at) => Math.round(value * part + b[at] * (1 - part))).join(",")})`;
  }

  S.roundRect = function (ctx, x, y, width, height, radius) {
    ctx.beginPath();
    if (radius > 0) {
      ctx.roundRect(x, y, width, height, Math.min(radius, width / 2, height / 2));
    } else {
      ctx.rect(x, y, width, height);
    }
  };

  S.keyhole = function (ctx, x, y, size) {
    ctx.beginPath();
    ctx.arc(x, y - size * 0.2, size * 0.3, 0, 7);
    ctx.fill();
    ctx.fillRect(x - size * 0.13, y - size * 0.2, size * 0.26, size * 0.7);
  };

  // A lost page: written, but never reported.
  S.lostRing = function (ctx, x, y, geometry, tokens) {
    const radius = (geometry.css >= 24 ? 14 : geometry.css >= 12 ? 11 : geometry.css >= 9 ? 10 : 9) * geometry.dpr;
    ctx.fillStyle = tokens.ground;
    ctx.beginPath();
    ctx.arc(x, y, radius / 2 + 3.5 * geometry.dpr, 0, 7);
    ctx.fill();
    ctx.strokeStyle = tokens.stall;
    ctx.lineWidth = 3 * geometry.dpr;
    ctx.beginPath();
    ctx.arc(x, y, radius / 2 + geometry.dpr, 0, 7);
    ctx.stroke();
    ctx.fillStyle = tokens.dirty;
    const dot = 5 * geometry.dpr;
    ctx.fillRect(x - dot / 2, y - dot / 2, dot, dot);
  };

  // Sprites of cells of one pitch in one theme. The look of a cell is a number; equal looks have equal pixels.
  S.CellSheet = class {
    constructor(geometry, tokens, rows) {
      Object.assign(this, { geometry, tokens, rows });
      this.halfDirty = between(tokens.dirty, tokens.ground, 0.5);
      this.sprites = new Map();
      const canvas = Object.assign(document.createElement("canvas"), { width: geometry.pitch, height: geometry.pitch });
      this.easel = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    }

    // fresh: 0, or 1 to 3 steps since a recent change; by: 0 a vCPU, 1 the ioctl thread; edges, row: in its 1G page;
    // unarmed: whether its bits are set only by initially-all-set.
    look(shares, at, dirty, fresh, by, edges, row, _, unarmed = false) {
      const { dots } = this.geometry;
      let k4 = shares[at + K4] === WHOLE ? dots : 0;
      let m2 = shares[at + M2] === WHOLE ? dots : 0;
      let g1 = shares[at + G1] === WHOLE ? dots : 0;
      if (k4 + m2 + g1 === 0 && shares[at + NONE] < WHOLE) {
        [k4, m2, g1] = S.columnsOf(shares, at, dots);
      }
      const shut = shares[at + P2] + shares[at + P1] > 0 ? 1 : 0;
      const armed = S.dotsOf(shares[at + P4], dots * dots);
      const slab = g1 > 0 ? edges * 16 + row : 0;
      let look = ((((unarmed ? 9 : 0) + k4) * 9 + m2) * 9 + g1) * 2 + shut;
      look = (look * 65 + armed) * 65 + S.dotsOf(dirty, dots * dots);
      return (look * 8 + (fresh ? fresh * 2 + by : 0)) * 256 + slab;
    }

    // The pixels of a look, uint32[pitch * pitch], opaque.
    sprite(look) {
      let found = this.sprites.get(look);
      if (!found) {
        const { pitch } = this.geometry;
        this.easel.fillStyle = this.tokens.ground;
        this.easel.fillRect(0, 0, pitch, pitch);
        this.paint(this.easel, look);
        found = new Uint32Array(this.easel.getImageData(0, 0, pitch, pitch).data.buffer);
        this.sprites.set(look, found);
      }
      return found;
    }

    paint(ctx, look) {
      const sizes = [256, 8, 65, 65, 2, 9, 9, 9, 2];
      const [slab, fresh, dirty, armed, shut, g1, m2, k4, unarmed] = sizes.map((size) => {
        const part = look % size;
        look = (look - part) / size;
        return part;
      });
      const { dots, step, keyhole } = this.geometry;
      if (k4 + m2 + g1 === 0) {
        this.paintNothing(ctx);
      }
      this.paintMesh(ctx, k4, armed);
      this.paintTile(ctx, k4, m2);
      if (g1) {
        this.paintSlab(ctx, (k4 + m2) * step, g1 === dots, slab >> 4, slab & 15);
      }
      if (shut && keyhole && m2) {
        this.paintKeyhole(ctx, k4, m2);
      }
      if (fresh) {
        this.paintFresh(ctx, (fresh >> 1) - 1, fresh & 1, k4, m2);
      }
      // Drawn last, so that nothing covers it.
      if (unarmed) {
        this.paintUnarmed(ctx, dirty);
      } else {
        this.paintDirty(ctx, dirty, k4, k4 + m2 + g1);
      }
    }

    paintNothing(ctx) {
      const { tile, dpr } = this.geometry;
      const line = Math.max(1, Math.round(dpr));
      ctx.strokeStyle = this.tokens.line;
      ctx.lineWidth = line;
      ctx.strokeRect(line / 2, line / 2, tile - line, tile - line);
    }

    paintMesh(ctx, columns, armed) {
      const { dots, step, gap } = this.geometry;
      for (let dot = 0; dot < columns * dots; dot++) {
        ctx.fillStyle = dot >= dots * dots - armed - (dots - columns) * dots ? this.tokens.g2 : this.tokens.g4;
        ctx.fillRect(Math.floor(dot / dots) * step, (dot % dots) * step, step - gap, step - gap);
      }
    }

    // Left edge and width of the 2M columns; the whole tile if there are only 2M pages.
    tileBox(before, columns) {
      const { dots, step, gap, tile } = this.geometry;
      const left = before * step;
      return [left, before + columns === dots ? tile - left : columns * step - gap];
    }

    paintTile(ctx, before, columns) {
      if (!columns) {
        return;
      }
      const { tile, radius, css, pitch } = this.geometry;
      const [left, width] = this.tileBox(before, columns);
      ctx.fillStyle = this.tokens.g2;
      S.roundRect(ctx, left, 0, width, tile, radius);
      ctx.fill();
      if (css >= 9) {
        ctx.fillStyle = TOP_EDGE;
        ctx.fillRect(left + 1, 0, width - 2, Math.max(1, Math.round(pitch / 12)));
      }
    }

    // A part of a 1G page; edges at which the page ends in this cell: 1 left, 2 right, 4 top, 8 bottom.
    paintSlab(ctx, left, whole, edges, row) {
      const { pitch, dpr } = this.geometry;
      const far = 3 * pitch;
      const open = whole ? edges : 15;
      const x0 = open & 1 ? left : -far;
      const y0 = open & 4 ? 0 : -far;
      const x1 = open & 2 ? pitch - dpr : pitch + far;
      const y1 = open & 8 ? pitch - dpr : pitch + far;
      const paint = ctx.createLinearGradient(0, -row * pitch, 0, (this.rows - row) * pitch);
      paint.addColorStop(0, this.tokens.g1b);
      paint.addColorStop(1, this.tokens.g1);
      const radius = Math.min(pitch * 0.7, 8 * dpr);
      ctx.fillStyle = paint;
      S.roundRect(ctx, x0, y0, x1 - x0, y1 - y0, radius);
      ctx.fill();
      ctx.strokeStyle = RIM;
      ctx.lineWidth = dpr;
      S.roundRect(ctx, x0 + dpr, y0 + dpr, x1 - x0 - 2 * dpr, y1 - y0 - 2 * dpr, radius - dpr);
      ctx.stroke();
    }

    // Dots of dirty pages are the same on any ground. Gaps are filled if no huge page is visible through them.
    paintDirty(ctx, count, mesh, mapped) {
      const { dots, step, gap } = this.geometry;
      for (let dot = 0; dot < count; dot++) {
        const column = Math.floor(dot / dots);
        const x = column * step;
        const y = (dot % dots) * step;
        if (column < mesh || column >= mapped) {
          ctx.fillStyle = this.halfDirty;
          ctx.fillRect(x, y, step, step);
        }
        ctx.fillStyle = this.tokens.dirty;
        ctx.fillRect(x, y, step - gap, step - gap);
      }
    }

    // Bits set initially: the same dots, but hollow, to distinguish them from written pages.
    paintUnarmed(ctx, count) {
      const { dots, step, gap } = this.geometry;
      const side = step - gap;
      const line = Math.max(1, Math.round(side / 5));
      ctx.fillStyle = this.halfDirty;
      for (let dot = 0; dot < count; dot++) {
        const [x, y] = [Math.floor(dot / dots) * step, (dot % dots) * step];
        if (side < 4) {
          ctx.fillRect(x, y, side, Math.max(1, side >> 1));
        } else {
          ctx.fillRect(x, y, side, line);
          ctx.fillRect(x, y + side - line, side, line);
          ctx.fillRect(x, y, line, side);
          ctx.fillRect(x + side - line, y, line, side);
        }
      }
    }

    paintKeyhole(ctx, before, columns) {
      const { tile, css, pitch } = this.geometry;
      const [left, width] = this.tileBox(before, columns);
      const side = Math.max(2, Math.round(pitch / 4.5));
      if (css >= 20) {
        ctx.fillStyle = this.tokens.ground;
        S.keyhole(ctx, left + width / 2, tile / 2, Math.min(width * 0.8, pitch * 0.42));
      } else {
        ctx.fillStyle = this.tokens.hole;
        ctx.fillRect(left + Math.floor((width - side) / 2), Math.floor((tile - side) / 2), Math.min(side, width), side);
      }
    }

    paintFresh(ctx, age, by, mesh, tiles) {
      const { dots, step, gap, tile, radius } = this.geometry;
      ctx.fillStyle = by ? this.tokens.ioctl : this.tokens.stall;
      ctx.globalAlpha = FRESH_MESH[age];
      for (let dot = 0; dot < mesh * dots; dot++) {
        ctx.fillRect(Math.floor(dot / dots) * step, (dot % dots) * step, step - gap, step - gap);
      }
      if (tiles) {
        const [left, width] = this.tileBox(mesh, tiles);
        ctx.globalAlpha = FRESH_TILE[age];
        S.roundRect(ctx, left, 0, width, tile, radius);
        ctx.fill();
      }
      ctx.globalAlpha = 1;
    }

    // Below 6 px a column of cells is one silhouette. Heights of the mapped part, the dirty part and the lid: device pixels.
    columnLook(sums, cells, dirty, fresh, by, x) {
      const { pitch, dpr } = this.geometry;
      const height = this.rows * pitch;
      const part = (share, most) => (share === 0 ? 0 : Math.max(1, Math.round((share / (WHOLE * cells)) * most)));
      const least = Math.round(2 * dpr);
      const low = Math.round(height * LOW);
      const ink = dirty === WHOLE * cells ? low : Math.min(low - 1, Math.max(dirty ? least : 0, part(dirty, low)));
      return {
        g1: part(sums[G1], height),
        m2: part(sums[M2], height),
        k4: part(sums[K4], low),
        ink,
        lid: sums[P2] + sums[P1] ? Math.round(3 * dpr) : 0,
        shut: sums[P4] > sums[K4] / 2,
        fresh: fresh * 2 + (fresh ? by : 0),
        notch: (x / pitch) % Math.max(1, Math.round((24 * dpr) / pitch)) === 0,
        nothing: sums[NONE] === WHOLE * cells,
      };
    }

    paintColumn(ctx, x, y, look) {
      const { pitch, dpr } = this.geometry;
      const { tokens } = this;
      const bottom = y + this.rows * pitch - Math.round(dpr);
      const top = Math.max(y, bottom - look.k4 - look.m2 - look.g1);
      ctx.clearRect(x, y, pitch, this.rows * pitch);
      ctx.fillStyle = look.shut ? tokens.g2 : tokens.g4;
      ctx.fillRect(x, bottom - look.k4, pitch, look.k4);
      const tiles = Math.max(top, bottom - look.k4 - look.m2);
      ctx.fillStyle = tokens.g2;
      ctx.fillRect(x, tiles, pitch, bottom - look.k4 - tiles);
      ctx.fillStyle = tokens.g1;
      ctx.fillRect(x, top, pitch, tiles - top);
      if (look.g1) {
        ctx.fillStyle = RIM;
        ctx.fillRect(x, top, pitch, Math.round(dpr));
      }
      if (look.m2 && look.notch && !look.g1) {
        ctx.clearRect(x, top, 1, Math.round(this.rows * pitch * 0.2));
      }
      if (look.lid && look.m2 + look.g1) {
        ctx.fillStyle = look.g1 ? tokens.g4 : tokens.g1;
        ctx.fillRect(x, top, pitch, Math.min(look.lid, look.m2 + look.g1));
      }
      if (look.fresh) {
        ctx.fillStyle = look.fresh & 1 ? tokens.ioctl : tokens.stall;
        ctx.globalAlpha = FRESH_MESH[(look.fresh >> 1) - 1];
        ctx.fillRect(x, top, pitch, bottom - top);
        ctx.globalAlpha = 1;
      }
      if (look.nothing) {
        ctx.fillStyle = tokens.line;
        ctx.fillRect(x, bottom - Math.round(dpr), pitch, Math.round(dpr));
      }
      ctx.fillStyle = tokens.dirty;
      ctx.fillRect(x, bottom - look.ink, pitch, look.ink);
    }
  };
})();
