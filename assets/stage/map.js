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
      this.actors = new S.Actors(this);
      this.names = new S.MapNames(this);
      this.marks = new Map();
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
      this.looks = new Float64Array(run.cells).fill(-1);
      this.image = this.sheet.geometry.flat ? null : this.layerCtx.createImageData(this.layer.width, this.layer.height);
      this.layerPixels = this.image && new Uint32Array(this.image.data.buffer);
      this.columns = new Array(run.cells);
      this.actors.resize();
      this.names.resize();
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

    // Draws the state at a time, ps.
    draw(ps) {
      this.ps = ps;
      this.frames.seek(ps);
      const speed = this.options.psPerSecond ? this.options.psPerSecond() : 0;
      this.freshPs = S.freshPs(this.run, speed);
      if (this.sheet.geometry.flat) {
        this.drawColumns();
      } else {
        this.drawCells();
      }
      const { ctx, canvas } = this;
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.drawImage(this.layer, 0, 0);
      S.drawSent?.(this, ps);
      this.names.marksPill = null;
      this.actors.seek(ps);
      this.names.drawHoles();
      const { folded } = this.actors;
      if (!folded) {
        this.names.draw(this.frames, this.actors);
      }
      this.names.drawMargin(this.actors.states.states);
      this.drawLost(ps);
      this.actors.draw();
      if (folded) {
        this.names.draw(this.frames, this.actors); // the bars of many vCPUs would cross them
      }
      if (this.names.marksPill) {
        this.names.marksPill();
      }
    }

    drawCells() {
      const { frames, sheet, looks, layout } = this;
      for (const track of layout.tracks) {
        let [first, last] = [track.last + 1, -1];
        for (let cell = track.first; cell <= track.last; cell++) {
          const fresh = frames.freshness(cell, this.freshPs);
          const by = fresh ? frames.freshBy(cell) : 0;
          const dirty = frames.dirty(cell);
          const look = sheet.look(frames.at(cell), cell * COUNT, dirty, fresh, by, this.edges[cell], this.rows[cell], cell, frames.unarmed(cell));
          if (look !== looks[cell]) {
            looks[cell] = look;
            this.keepPixels(cell, sheet.sprite(look));
            first = Math.min(first, cell);
            last = cell;
          }
        }
        if (last >= 0) {
          const x = layout.x[first];
          this.layerCtx.putImageData(this.image, 0, 0, x, track.y, layout.x[last] + layout.pitch - x, track.height);
        }
      }
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

    drawColumns() {
      const { layout } = this;
      for (const track of layout.tracks) {
        for (let first = track.first; first <= track.last; first += layout.rows) {
          this.drawColumn(track, first, Math.min(track.last + 1, first + layout.rows));
        }
      }
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
      const look = sheet.columnLook(sums, end - first, dirty, newest, by, layout.x[first] - track.x);
      const key = Object.values(look).join();
      if (this.columns[first] !== key) {
        this.columns[first] = key;
        sheet.paintColumn(this.layerCtx, layout.x[first], track.y, look);
      }
    }

    drawLost(ps) {
      const lost = this.options.lost ? this.options.lost(ps) : [];
      for (const gfn of lost) {
        const spot = this.spotOf(gfn);
        if (spot) {
          const y = this.layout.y[spot.cell] + this.layout.pitch / 2;
          S.lostRing(this.ctx, spot.x, y, this.sheet.geometry, this.tokens);
        }
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
