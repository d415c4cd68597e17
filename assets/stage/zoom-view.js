// The content of a zoomed map: 2M regions or single pages of a run, from the events of a Focus.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [NONE, K4, M2, G1, P4, DIRTY, COUNT] = [0, 1, 2, 3, 4, 7, 8];
  const REGION = 512;
  const WHOLE = 255;
  const LARGEST = 72; // CSS px of a cell's side: few cells, large ones

  // A part of a number of pages as a share of 255, as in a Recording: 0 only for nothing, 255 only for all.
  S.shareOf = function (pages, whole) {
    if (pages <= 0 || pages >= whole) {
      return pages <= 0 ? 0 : WHOLE;
    }
    return Math.max(1, Math.min(WHOLE - 1, Math.floor((2 * pages * WHOLE + whole) / (2 * whole))));
  };

  // Stretches of guest memory, [{first, pages}]. Without memslots in the header: from cells, of which the first of a
  // stretch is filled up to its end, and the others from their beginning.
  S.stretchesOf = function (run) {
    const slots = S.slotsOf(run);
    if (slots.length > 0) {
      return slots;
    }
    const span = run.header.cell_pages;
    const found = [];
    for (let cell = 0; cell < run.cells; cell += 1) {
      const [first, pages] = [run.firstGfn[cell], run.cellPages[cell]];
      const joins = cell > 0 && run.firstGfn[cell - 1] + span === first && found.length > 0;
      if (joins) {
        found[found.length - 1].pages += pages;
      } else if (pages > 0) {
        found.push({ first: first + span - pages, pages });
      }
    }
    return found;
  };

  // The gfns of guest memory in a window, one step apart, and the pages of each step: {gfns, pages}.
  function parts(run, { first, pages }, step) {
    const stretches = S.stretchesOf(run);
    const inside = (from, to) => stretches.reduce((sum, each) =>
      sum + Math.max(0, Math.min(to, each.first + each.pages) - Math.max(from, each.first)), 0);
    const found = { gfns: [], pages: [] };
    for (let gfn = first; gfn < first + pages; gfn += step) {
      const count = inside(gfn, Math.min(gfn + step, first + pages));
      if (count > 0) {
        found.gfns.push(gfn);
        found.pages.push(count);
      }
    }
    return found;
  }

  // The states of the parts, with the interface of S.CellFrames.
  class ZoomFrames {
    // `initially`: whether the bits of all pages are set when logging is enabled.
    constructor(fold, gfns, pages, step, initially) {
      Object.assign(this, { fold, gfns, pages, step });
      this.shares = new Uint8Array(gfns.length * COUNT);
      this.processor = new Uint8Array(gfns.length); // whether the entry's D bit is set; of a single page
      this.never = new Uint8Array(gfns.length); // whether all of its pages are in the log and have never left it
      this.allSet = initially;
      this.row = -1;
      this.still = typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
    }

    seek(ps) {
      this.ps = ps;
      this.fold.seek(ps);
      if (this.fold.row !== this.row) {
        this.row = this.fold.row;
        this.gfns.forEach((gfn, cell) => (this.step === 1 ? this.readPage(gfn, cell) : this.readRegion(gfn, cell)));
        this.fold.touched.fill(0);
      }
      return this;
    }

    // Which cells change is not known: it may be any.
    moment() {
      return null;
    }

    changesSince() {
      return null;
    }

    readPage(gfn, cell) {
      const { level, bits } = this.fold.leaf(gfn);
      const at = cell * COUNT;
      this.shares.fill(0, at, at + COUNT);
      this.shares[at + level] = WHOLE; // none, 4K, 2M, 1G are levels 0 to 3
      if (level > 0 && !(bits & S.spteFlags.WRITABLE)) {
        this.shares[at + P4 + level - 1] = WHOLE;
      }
      this.shares[at + DIRTY] = this.fold.isDirty(gfn) ? WHOLE : 0;
      this.processor[cell] = level > 0 && bits & S.spteFlags.DIRTY ? 1 : 0;
      this.never[cell] = this.fold.neverCleared(gfn) ? 1 : 0;
    }

    readRegion(gfn, cell) {
      if (!this.fold.touched[Math.floor(gfn / REGION) - Math.floor(this.fold.first / REGION)]) {
        return;
      }
      const counts = new Int32Array(COUNT);
      let never = 0;
      for (let page = gfn; page < gfn + this.step; page += 1) {
        if (!this.fold.holds(page, 1)) {
          continue;
        }
        const { level, bits } = this.fold.leaf(page);
        counts[level] += level > 0 ? 1 : 0;
        counts[P4 + level - 1] += level > 0 && !(bits & S.spteFlags.WRITABLE) ? 1 : 0;
        counts[DIRTY] += this.fold.isDirty(page) ? 1 : 0;
        never += this.fold.neverCleared(page) ? 1 : 0;
      }
      this.never[cell] = never === this.pages[cell] ? 1 : 0;
      counts[NONE] = this.pages[cell] - counts[K4] - counts[M2] - counts[G1];
      counts.forEach((count, share) => (this.shares[cell * COUNT + share] = S.shareOf(count, this.pages[cell])));
    }

    at() {
      return this.shares;
    }

    dirty(cell) {
      return this.shares[cell * COUNT + DIRTY];
    }

    // As S.neverCleared of a whole map.
    unarmed(cell) {
      return this.allSet && this.never[cell] === 1;
    }

    turnedRow(cell) {
      if (this.step === 1) {
        return this.fold.rowOf("turned", this.gfns[cell]);
      }
      const { turned, first } = this.fold;
      const at = Math.floor(this.gfns[cell] / REGION) - Math.floor(first / REGION);
      const gib = Math.floor(this.gfns[cell] / S.pagesPer.gib) - Math.floor(first / S.pagesPer.gib);
      return Math.max(turned[2][at], turned[3][gib]);
    }

    freshness(cell, freshPs) {
      const row = this.turnedRow(cell);
      const age = row < 0 ? -1 : (this.ps - this.fold.events.time_ps[row]) / freshPs;
      return age >= 0 && age < 1 && !this.still ? 1 + Math.floor(age * 3) : 0;
    }

    freshBy(cell) {
      const row = this.turnedRow(cell);
      return row >= 0 && this.fold.events.vcpu[row] < 0 ? 1 : 0;
    }
  }

  // The size of a zoomed map's cells: single pages if the window is one region or less.
  S.zoomStep = ({ pages }) => (pages > REGION ? REGION : 1);

  // Options of S.MapPane for a window of a run.
  S.zoomOptions = function (run, fold, zoom) {
    const step = S.zoomStep(zoom);
    const { gfns, pages } = parts(run, zoom, step);
    const header = { ...run.header, cell_pages: step };
    const shown = Object.assign(Object.create(run), { header, cells: gfns.length, firstGfn: gfns, cellPages: pages });
    const options = { frames: new ZoomFrames(fold, gfns, pages, step, S.startsAllSet(run)), label: 0, slots: [], largest: LARGEST };
    return { shown, options: step === 1 ? { ...options, sheet: S.PageSheet, single: true } : options };
  };
})();
