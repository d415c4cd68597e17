// The entries of a page-table walk, from the cells of a map: pages, tables, or nothing.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [NONE, K4, M2, G1, COUNT] = [0, 1, 2, 3, 8]; // level 0 for nothing, and the columns of shares
  const PER_TABLE = 512;

  S.WalkEntries = class {
    // `frames` are the cells at the time that is drawn.
    constructor(run, frames) {
      Object.assign(this, { run, frames, span: run.header.cell_pages });
      const { gib } = S.pagesPer;
      const found = new Set();
      for (const first of run.firstGfn) {
        for (let gfn = first; gfn < first + this.span; gfn += gib) {
          found.add(Math.floor(gfn / gib));
        }
      }
      this.gibs = [...found].sort((a, b) => a - b);
      this.ranges = new Map();
    }

    // The level that maps most of what is mapped in a cell: a table with few entries is a table.
    levelOf(cell) {
      const shares = this.frames.at(cell);
      const at = cell * COUNT;
      const [k4, m2, g1] = [shares[at + K4], shares[at + M2], shares[at + G1]];
      if (k4 > 0 && (this.span === PER_TABLE || k4 >= Math.max(m2, g1))) {
        return K4;
      }
      return g1 >= m2 && g1 > 0 ? G1 : m2 > 0 ? M2 : NONE;
    }

    // First and last cell of a 1 GiB region, cached.
    cellsOf(gib) {
      let range = this.ranges.get(gib);
      if (!range) {
        const { firstGfn } = this.run;
        const first = firstGfn.findIndex((gfn) => gfn + this.span > gib * S.pagesPer.gib);
        let last = first;
        while (last + 1 < firstGfn.length && firstGfn[last + 1] < (gib + 1) * S.pagesPer.gib) {
          last++;
        }
        range = [first, last];
        this.ranges.set(gib, range);
      }
      return range;
    }

    // Whether a 1G entry is a page, a table, or nothing.
    kindOfGib(gib) {
      const [first, last] = this.cellsOf(gib);
      let kind = "none";
      for (let cell = first; cell <= last; cell++) {
        const level = this.levelOf(cell);
        if (level === K4 || level === M2) {
          return "table";
        }
        kind = level === G1 ? "page" : kind;
      }
      return kind;
    }
  };
})();
