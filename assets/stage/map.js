// The map of guest memory in a run: a layer of cells, of which only changed ones are redrawn, with names and actors.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [DIRTY, COUNT] = [7, 8];
  const NARROW = 420; // CSS px of width below which tracks have no column of names before them
  const COLUMN = 40; // CSS px of the names before tracks, at normal type size
  const GIB = 1 << 18; // pages
  const FOLDS = [1, 2, 4, 8, 16, 32, 64]; // cells drawn as one
  const READABLE = 6; // least CSS px of a cell's side at which its geometry shows its level

  // Options: presenter (large type), psPerSecond() (speed of play, for how long a change counts as new), lost(ps)
  // (gfns that a defect of KVM concerns), box (the element that gives the room; else the canvas's parent); and of a
  // zoomed map (S.zoomOptions): frames, slots, label, largest (CSS px of a cell), sheet (what draws a cell).
  S.MapPane = class {
    constructor(canvas, run, options = {}) {
      Object.assign(this, { canvas, run, options });
      this.ctx = canvas.getContext("2d");
      this.layer = document.createElement("canvas");
      this.layerCtx = this.layer.getContext("2d");
      this.whole = run;
      this.frames = options.frames || S.cellFrames(run);
      this.slots = options.slots || S.slotsOf(run);
      this.still = this.frames.still;
      this.stamps = new S.Stamps(this.ctx);
      this.actors = new S.Actors(this);
      this.names = new S.MapNames(this);
      this.resize();
    }

    // Fits the map into its box, and sets `height` and `x0` of the map, CSS px;
    // the canvas is slightly higher on both sides. Called also when the theme changes.
    resize() {
      const box = this.options.box || this.canvas.parentElement;
      const dpr = window.devicePixelRatio || 1;
      const width = Math.max(40, box.clientWidth);
      const height = Math.max(40, this.options.height || box.clientHeight);
      this.tokens = this.options.tokens || S.tokens();
      this.presenter = Boolean(this.options.presenter);
      this.dpr = dpr;
      const scale = this.presenter ? 1 : S.typeScale();
      const column = width < NARROW || this.presenter ? 0 : COLUMN * scale;
      this.label = this.options.label ?? column;
      const gap = (width < NARROW ? 4 : 8) * scale;
      const { single, largest } = this.options;
      const space = { width, height, label: this.label, gap, dpr, ink: dpr * scale, largest, single };
      this.layout = this.foldInto(space);
      const Sheet = this.options.sheet || S.CellSheet;
      this.sheet = new Sheet(S.cellGeometry(this.layout.pitch, this.layout.ink), this.tokens, this.layout.rows, this.frames);
      this.over = Math.round(4 * this.layout.ink); // the ioctl thread's bar extends above and below
      this.fit(dpr);
      this.prepare();
    }

    // The layout with the smallest groups of cells that are large enough; else the one with the largest cells.
    foldInto(space) {
      let best = null;
      for (const factor of this.options.frames ? [1] : FOLDS) {
        const folded = factor === 1 ? { shown: this.whole, frames: () => S.cellFrames(this.whole) } : S.foldedCells(this.whole, factor);
        const { cells, firstGfn, header } = folded.shown;
        const layout = S.mapLayout({ cells, firstGfn, span: header.cell_pages, slots: this.slots }, space);
        if (!best || layout.em > best.layout.em) {
          best = { ...folded, layout };
        }
        if (layout.em >= READABLE) {
          break;
        }
      }
      if (!this.options.frames) {
        this.frames = best.frames();
        this.run = best.shown;
      }
      return best.layout;
    }

    fit(dpr) {
      const { layout, canvas, layer } = this;
      canvas.width = layer.width = layout.width;
      canvas.height = layer.height = layout.height + 2 * this.over;
      canvas.style.width = `${canvas.width / dpr}px`;
      canvas.style.height = `${canvas.height / dpr}px`;
      canvas.style.marginTop = `${-this.over / dpr}px`;
      this.height = layout.height / dpr;
      this.x0 = layout.x0 / dpr;
      for (const track of layout.tracks) {
        track.y += this.over;
      }
      layout.y.forEach((y, cell) => (layout.y[cell] = y + this.over));
    }

    prepare() {
      const { run, layout } = this;
      this.edges = new Uint8Array(run.cells);
      this.rows = new Uint8Array(run.cells);
      for (let cell = 0; cell < run.cells; cell++) {
        this.edges[cell] = this.edgesOf(cell);
        this.rows[cell] = (cell - layout.tracks[layout.trackOf[cell]].first) % layout.rows;
      }
      this.columnOf = Int32Array.from({ length: run.cells }, (_, cell) => cell - this.rows[cell]);
      this.looks = new Float64Array(run.cells).fill(-1);
      this.fresh = []; // highlighted cells
      this.seen = null; // the moment that is drawn
      this.image = this.sheet.geometry.flat ? null : this.layerCtx.createImageData(this.layer.width, this.layer.height);
      this.layerPixels = this.image && new Uint32Array(this.image.data.buffer);
      this.columns = new Array(run.cells);
      this.stamps.clear();
      this.actors.resize();
      this.names.resize();
      this.names.drawHoles(this.layerCtx);
    }

    // Edges at which the 1 GiB region of a cell ends: 1 left, 2 right, 4 top, 8 bottom.
    edgesOf(cell) {
      const { run, layout } = this;
      const track = layout.tracks[layout.trackOf[cell]];
      const region = (of) => Math.floor(run.firstGfn[of] / GIB);
      const at = cell - track.first;
      const inTrack = (other) => other >= track.first && other <= track.last;
      const same = (other, inside) => inside && inTrack(other) && region(other) === region(cell);
      const left = same(cell - layout.rows, true) ? 0 : 1;
      const right = same(cell + layout.rows, true) ? 0 : 2;
      const top = same(cell - 1, at % layout.rows > 0) ? 0 : 4;
      const bottom = same(cell + 1, at % layout.rows < layout.rows - 1) ? 0 : 8;
      return left + right + top + bottom;
    }

    // Draws the state at a time, ps; nothing if it looks like the last one.
    draw(ps) {
      this.ps = ps;
      this.frames.seek(ps);
      const speed = this.options.psPerSecond ? this.options.psPerSecond() : 0;
      this.freshPs = S.freshPs(this.run, speed);
      const changed = this.drawLayer();
      this.actors.seek(ps);
      this.place(ps);
      if (changed || this.stamps.moved) {
        const { ctx, canvas } = this;
        ctx.clearRect(0, 0, canvas.width, canvas.height);
        ctx.drawImage(this.layer, 0, 0);
        this.stamps.draw();
      }
    }

    // What is drawn over the layer, from the bottom to the top.
    place(ps) {
      const { stamps, names, actors, frames } = this;
      const { folded } = actors;
      stamps.begin();
      if (S.drawSent && S.migrates(this.run)) {
        stamps.add(null, () => S.drawSent(this, ps));
      }
      names.marksPill = null;
      if (!folded) {
        names.draw(frames, actors);
      }
      names.drawMargin(actors.states.states);
      this.placeLost(ps);
      actors.draw();
      if (folded) {
        names.draw(frames, actors); // the bars of many vCPUs would cross them
      }
      names.marksPill?.();
    }

    // Draws the cells that may have changed since the last drawing, and those that were highlighted then. Returns whether the
    // layer changed.
    drawLayer() {
      const { frames, seen, freshPs } = this;
      const cells = seen && seen.freshPs === freshPs ? frames.changesSince(seen.moment) : null;
      const listed = cells ? [...cells, ...this.fresh] : this.looks.keys();
      this.seen = { moment: frames.moment(), freshPs };
      this.names.forget(cells, this.columnOf);
      this.fresh = [];
      return this.sheet.geometry.flat ? this.drawColumns(listed) : this.drawCells(listed);
    }

    drawCells(cells) {
      const { frames, sheet, looks, layout, fresh: highlighted } = this;
      const drawn = new Map(); // first and last changed cell of each track
      for (const cell of cells) {
        const fresh = frames.freshness(cell, this.freshPs);
        const by = fresh ? frames.freshBy(cell) : 0;
        const dirty = frames.dirty(cell);
        const look = sheet.look(frames.at(cell), cell * COUNT, dirty, fresh, by, this.edges[cell], this.rows[cell], cell, frames.unarmed(cell));
        if (fresh) {
          highlighted.push(cell);
        }
        if (look !== looks[cell]) {
          looks[cell] = look;
          this.keepPixels(cell, sheet.sprite(look));
          const [first, last] = drawn.get(layout.trackOf[cell]) ?? [cell, cell];
          drawn.set(layout.trackOf[cell], [Math.min(first, cell), Math.max(last, cell)]);
        }
      }
      for (const [index, [first, last]] of drawn) {
        const x = layout.x[first];
        const { y, height } = layout.tracks[index];
        this.layerCtx.putImageData(this.image, 0, 0, x, y, layout.x[last] + layout.pitch - x, height);
      }
      return drawn.size > 0;
    }

    // The layer's pixels are also kept in memory, so that many changes cost little more than one.
    keepPixels(cell, pixels) {
      const { pitch, x, y } = this.layout;
      const wide = this.layer.width;
      let to = y[cell] * wide + x[cell];
      for (let from = 0; from < pixels.length; from += pitch, to += wide) {
        for (let at = 0; at < pitch; at++) {
          this.layerPixels[to + at] = pixels[from + at];
        }
      }
    }

    drawColumns(cells) {
      const { layout } = this;
      let changed = false;
      for (const first of new Set(Array.from(cells, (cell) => this.columnOf[cell]))) {
        const track = layout.tracks[layout.trackOf[first]];
        changed = this.drawColumn(track, first, Math.min(track.last + 1, first + layout.rows)) || changed;
      }
      return changed;
    }

    drawColumn(track, first, end) {
      const { frames, layout, sheet } = this;
      const sums = new Float64Array(COUNT);
      let dirty = 0;
      let newest = 0;
      let by = 0;
      for (let cell = first; cell < end; cell++) {
        const shares = frames.at(cell);
        for (let share = 0; share < DIRTY; share++) {
          sums[share] += shares[cell * COUNT + share];
        }
        dirty += frames.dirty(cell);
        const fresh = frames.freshness(cell, this.freshPs);
        if (fresh && (!newest || fresh < newest)) {
          newest = fresh;
          by = frames.freshBy(cell);
        }
      }
      if (newest) {
        this.fresh.push(first);
      }
      const look = sheet.columnLook(sums, end - first, dirty, newest, by, layout.x[first] - track.x);
      const key = Object.values(look).join();
      const changed = this.columns[first] !== key;
      if (changed) {
        this.columns[first] = key;
        sheet.paintColumn(this.layerCtx, layout.x[first], track.y, look);
      }
      return changed;
    }

    placeLost(ps) {
      const lost = this.options.lost ? this.options.lost(ps) : [];
      for (const spot of lost.map((gfn) => this.spotOf(gfn)).filter(Boolean)) {
        const y = this.layout.y[spot.cell] + this.layout.pitch / 2;
        this.stamps.add(`lost|${spot.x}|${y}`, (ctx) => S.lostRing(ctx, spot.x, y, this.sheet.geometry, this.tokens));
      }
    }

    // The position of a page: its cell, its track, and its exact x in device pixels; null outside all memslots.
    spotOf(gfn) {
      const cell = gfn >= 0 ? S.cellOf(this.run.firstGfn, this.layout.span, gfn) : -1;
      if (cell < 0) {
        return null;
      }
      const { layout } = this;
      const track = layout.tracks[layout.trackOf[cell]];
      const cells = cell - track.first + (gfn - this.run.firstGfn[cell]) / layout.span;
      return { cell, track, x: track.x + (cells / layout.rows) * layout.pitch };
    }

    // The parts at a point of the canvas, CSS px: the cell and its pages, and the vCPU whose head is there.
    hit(x, y) {
      const { layout, run } = this;
      const [left, top] = [x * layout.dpr, y * layout.dpr];
      const track = layout.tracks.find(
        (each) => left >= each.x && left < each.x + each.width && top >= each.y && top < each.y + each.height,
      );
      const row = track ? Math.floor((top - track.y) / layout.pitch) : 0;
      const cell = track ? track.first + Math.floor((left - track.x) / layout.pitch) * layout.rows + row : -1;
      const vcpu = this.actors.hit(left, top);
      if (!track || cell > track.last) {
        return null;
      }
      const found = { cell, firstGfn: run.firstGfn[cell], pages: run.cellPages[cell] };
      return vcpu >= 0 ? { ...found, vcpu } : found;
    }
  };
})();
