// The shares of all cells at any frame of a Recording, and the cells that change from one frame to another.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SHARES = 8;
  const NO_FRAME = -1;

  // The number of values valueAt(0..count - 1), ascending, that are at or below a limit.
  function countUpTo(count, limit, valueAt) {
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (valueAt(middle) <= limit) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  // The rows of cells.shares by cell instead of by frame: rows first[c] to first[c + 1] of `rows` are those of cell c,
  // oldest first. With it any frame is found by a search in each cell, and no copies of whole frames are kept.
  class CellHistory {
    constructor({ frame_start: starts, cell, shares }, cells) {
      Object.assign(this, { starts, cell, shares, cells });
      this.first = new Int32Array(cells + 1);
      for (const each of cell) {
        this.first[each + 1] += 1;
      }
      for (let each = 0; each < cells; each += 1) {
        this.first[each + 1] += this.first[each];
      }
      const next = this.first.slice(0, cells);
      this.rows = new Int32Array(cell.length);
      cell.forEach((each, row) => { this.rows[next[each]] = row; next[each] += 1; });
    }

    // Index in `rows` of a cell's last change at or before a frame; first[cell] - 1 if there is none.
    placeAt(cell, frame) {
      const first = this.first[cell];
      const stop = this.starts[frame + 1];
      return first - 1 + countUpTo(this.first[cell + 1] - first, stop - 1, (i) => this.rows[first + i]);
    }

    frameOf(row) {
      return countUpTo(this.starts.length, row, (frame) => this.starts[frame]) - 1;
    }
  }

  // A cursor: the shares of all cells at a frame that moves. Each consumer of changes has its own cursor.
  class CellCursor {
    constructor(history) {
      this.history = history;
      this.shares = new Uint8Array(history.cells * SHARES);
      this.places = history.first.slice(0, history.cells).map((first) => first - 1);
      this.touched = new Int32Array(history.cells);
      this.marks = new Uint8Array(history.cells);
      this.frame = NO_FRAME;
      this.changed = null;
    }

    // Moves to a frame and returns uint8[cells * 8]; `changed` then lists the cells that differ from the frame before.
    at(frame) {
      const begins = this.frame < 0;
      const { starts, cells } = this.history;
      const from = starts[Math.min(this.frame, frame) + 1];
      const to = starts[Math.max(this.frame, frame) + 1];
      const listed = begins || to - from > cells ? this.jump(frame) : this.walk(from, to, frame > this.frame);
      this.frame = frame;
      const changed = this.write(listed);
      this.changed = begins ? null : changed;
      return this.shares;
    }

    // Moves a cell to an index of its history, and lists it once; returns the number of listed cells.
    touch(cell, place, listed) {
      this.places[cell] = place;
      if (this.marks[cell]) {
        return listed;
      }
      this.marks[cell] = 1;
      this.touched[listed] = cell;
      return listed + 1;
    }

    walk(from, to, forward) {
      let listed = 0;
      for (let row = from; row < to; row += 1) {
        const cell = this.history.cell[row];
        listed = this.touch(cell, this.places[cell] + (forward ? 1 : -1), listed);
      }
      return listed;
    }

    jump(frame) {
      let listed = 0;
      for (let cell = 0; cell < this.history.cells; cell += 1) {
        const place = this.history.placeAt(cell, frame);
        if (place !== this.places[cell]) {
          listed = this.touch(cell, place, listed);
        }
      }
      return listed;
    }

    // Copies the new shares of touched cells, and keeps only changed cells in the list.
    write(listed) {
      const { rows, first, shares } = this.history;
      let kept = 0;
      for (let i = 0; i < listed; i += 1) {
        const cell = this.touched[i];
        const known = this.places[cell] >= first[cell];
        const row = known ? rows[this.places[cell]] * SHARES : 0;
        let differs = 0;
        for (let at = cell * SHARES, share = 0; share < SHARES; share += 1) {
          const value = known ? shares[row + share] : 0;
          differs |= value ^ this.shares[at + share];
          this.shares[at + share] = value;
        }
        this.marks[cell] = 0;
        if (differs) {
          this.touched[kept] = cell;
          kept += 1;
        }
      }
      return this.touched.slice(0, kept);
    }
  }

  Object.assign(S, { countUpTo, CellHistory, CellCursor });
})();
