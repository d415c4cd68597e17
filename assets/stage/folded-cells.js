// Cells that would be too small are drawn in groups; a group's shares are the mean of its cells, weighted by pages.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const COUNT = 8;
  const WHOLE = 255;

  // 0 only if all are 0, WHOLE only if all are; rounded in between.
  function shareOf(sum, pages) {
    return sum === 0 || sum === pages * WHOLE ? (sum && WHOLE) : Math.max(1, Math.min(WHOLE - 1, Math.round(sum / pages)));
  }

  // The states of grouped cells, with the interface of S.CellFrames.
  class FoldedFrames {
    constructor(frames, run, members) {
      Object.assign(this, { frames, run, members });
      this.still = frames.still;
      this.shares = new Uint8Array(members.length * COUNT);
      this.dirtyShares = new Uint8Array(members.length);
      this.groupOf = new Int32Array(run.cells);
      members.forEach(({ first, end }, group) => this.groupOf.fill(group, first, end));
      this.sums = new Float64Array(COUNT);
      this.known = null; // the moment of the computed shares
    }

    seek(ps) {
      this.frames.seek(ps);
      const changed = this.known && this.changesSince(this.known);
      if (changed) {
        changed.forEach((group) => this.compute(group));
      } else {
        this.members.forEach((_, group) => this.compute(group));
      }
      this.known = this.frames.moment();
      return this;
    }

    moment() {
      return this.frames.moment();
    }

    changesSince(moment) {
      const cells = this.frames.changesSince(moment);
      return cells && [...new Set(cells.map((cell) => this.groupOf[cell]))];
    }

    compute(group) {
      const { frames, run, sums, shares } = this;
      const { first, end, pages } = this.members[group];
      let dirty = 0;
      sums.fill(0);
      for (let cell = first; cell < end; cell += 1) {
        const of = frames.at(cell);
        const own = run.cellPages[cell];
        for (let share = 0; share < COUNT; share += 1) {
          sums[share] += of[cell * COUNT + share] * own;
        }
        dirty += frames.dirty(cell) * own;
      }
      for (let share = 0; share < COUNT; share += 1) {
        shares[group * COUNT + share] = shareOf(sums[share], pages);
      }
      this.dirtyShares[group] = shareOf(dirty, pages);
    }

    at() {
      return this.shares;
    }

    dirty(cell) {
      return this.dirtyShares[cell];
    }

    unarmed(cell) {
      const { first, end } = this.members[cell];
      return this.dirtyShares[cell] === WHOLE && Array.from({ length: end - first }, (_, at) => first + at)
        .every((each) => this.frames.unarmed(each));
    }

    // The cell of the group that changed last, -1 if none did.
    newest(cell, freshPs) {
      const { first, end } = this.members[cell];
      let [found, least] = [-1, Infinity];
      for (let each = first; each < end; each += 1) {
        const fresh = this.frames.freshness(each, freshPs);
        if (fresh && fresh < least) {
          [found, least] = [each, fresh];
        }
      }
      return found;
    }

    freshness(cell, freshPs) {
      this.freshCell = this.newest(cell, freshPs);
      return this.freshCell < 0 ? 0 : this.frames.freshness(this.freshCell, freshPs);
    }

    // Of the cell whose freshness was requested last.
    freshBy() {
      return this.freshCell < 0 ? 0 : this.frames.freshBy(this.freshCell);
    }
  }

  // Cells in groups of `factor`, by address: [{gfn, first, end, pages}].
  function groupsOf(run, factor) {
    const span = run.header.cell_pages * factor;
    const found = [];
    for (let cell = 0; cell < run.cells; cell += 1) {
      const gfn = Math.floor(run.firstGfn[cell] / span) * span;
      const last = found[found.length - 1];
      if (last && last.gfn === gfn) {
        last.end = cell + 1;
        last.pages += run.cellPages[cell];
      } else {
        found.push({ gfn, first: cell, end: cell + 1, pages: run.cellPages[cell] });
      }
    }
    return found;
  }

  // A run whose cells are groups of `factor` cells, a power of two, of the given one: {shown, frames()}.
  S.foldedCells = function (run, factor) {
    const members = groupsOf(run, factor);
    const header = { ...run.header, cell_pages: run.header.cell_pages * factor };
    const [firstGfn, cellPages] = [members.map(({ gfn }) => gfn), members.map(({ pages }) => pages)];
    const shown = Object.assign(Object.create(run), { header, cells: members.length, firstGfn, cellPages, members });
    return { shown, frames: () => new FoldedFrames(S.cellFrames(run), run, members) };
  };
})();
