// The exact state of a Focus's pages at any time: its events are applied one after the other up to that time.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [PRESENT, WRITABLE, DIRTY, TABLE] = [1, 2, 8, 16];
  const SHIFTS = [1, 1, 512, 512 * 512]; // pages of an entry, by level
  const LEVELS = [1, 2, 3];
  const NEVER = -1;
  const MOST_KEPT = 48;

  // Index of the entry of a level that maps a gfn; gfns have more than 31 bits.
  const entryOf = (level, gfn, first) => Math.floor(gfn / SHIFTS[level]) - Math.floor(first / SHIFTS[level]);

  S.PageFold = class {
    // `header` and `events` of a Recording with a Focus.
    constructor({ header, events }) {
      const { first_gfn: first, pages, start } = header.focus;
      const kinds = header.vocabularies.event_kinds;
      Object.assign(this, { first, pages, events, kinds, vocabularies: header.vocabularies });
      this.rows = events.time_ps.length;
      this.kindOf = Object.fromEntries(kinds.map((name, code) => [name, code]));
      this.changing = new Set(["spte", "split", "cpu_dirty", "initial_state"].map((name) => this.kindOf[name]));
      // The state after the last kept event is unknown.
      const whole = header.events_left_out === 0;
      this.fromPs = (start || 0) * 1000;
      this.knownPs = Math.min(whole ? Infinity : events.time_ps[this.rows - 1], header.focus.end === null ? Infinity : header.focus.end * 1000);
      this.entries = this.empty((count) => new Uint8Array(count));
      this.last = this.empty((count) => new Int32Array(count).fill(NEVER)); // row of each entry's last event
      this.turned = this.empty((count) => new Int32Array(count).fill(NEVER)); // row of its last change by KVM
      this.dirty = new Uint8Array(pages);
      this.cleared = new Uint8Array(pages).fill(start ? 1 : 0); // whether the page has left the log once, or may have
      this.touched = new Uint8Array(entryOf(2, first + pages - 1, first) + 1).fill(1);
      this.row = 0;
      this.every = Math.max(256, Math.ceil(this.rows / MOST_KEPT));
      this.kept = [this.copy()];
    }

    empty(make) {
      const { first, pages } = this;
      return [null, ...LEVELS.map((level) => make(entryOf(level, first + pages - 1, first) + 1))];
    }

    // Applies or reverts events, so that exactly those up to a time are applied.
    seek(ps) {
      const row = S.countUpTo(this.rows, ps, (i) => this.events.time_ps[i]);
      if (row < this.row) {
        this.restore(Math.floor(row / this.every));
      }
      while (this.row < row) {
        this.take(this.row);
        this.row += 1;
        if (this.row % this.every === 0 && this.kept.length === this.row / this.every) {
          this.kept.push(this.copy());
        }
      }
      return this;
    }

    copy() {
      const of = (levels) => levels.map((each) => each && each.slice());
      return { row: this.row, entries: of(this.entries), last: of(this.last), turned: of(this.turned), dirty: this.dirty.slice(), cleared: this.cleared.slice() };
    }

    restore(at) {
      const kept = this.kept[Math.min(at, this.kept.length - 1)];
      for (const name of ["entries", "last", "turned"]) {
        LEVELS.forEach((level) => this[name][level].set(kept[name][level]));
      }
      this.dirty.set(kept.dirty);
      this.cleared.set(kept.cleared);
      this.touched.fill(1);
      this.row = kept.row;
    }

    take(row) {
      const { events, kindOf } = this;
      const [kind, level, first, stride] = [events.kind[row], events.level[row], events.gfn[row], events.stride[row]];
      for (let nth = 0; nth < events.entries[row]; nth += 1) {
        const gfn = first + stride * nth;
        if (kind === kindOf.dirty_log) {
          this.dirty[gfn - this.first] = events.new[row] ? 1 : 0;
          this.cleared[gfn - this.first] |= events.new[row] ? 0 : 1;
          this.note(row, 1, gfn);
        } else if (kind === kindOf.fault || kind === kindOf.fast) {
          this.last[1][gfn - this.first] = row;
        } else if (!this.changing.has(kind)) {
          throw new Error(`the map does not know what events of kind ${kind} do`);
        } else if (level >= 1 && level <= 3) {
          this.change(row, kind, level, gfn);
        }
      }
    }

    // Sets the row as the last one of an entry, and of all pages that it maps.
    note(row, level, gfn) {
      this.last[level][entryOf(level, gfn, this.first)] = row;
      const from = Math.max(0, entryOf(2, gfn, this.first));
      const to = level < 3 ? from : Math.min(this.touched.length - 1, entryOf(2, gfn + SHIFTS[3] - 1, this.first));
      this.touched.fill(1, from, to + 1);
    }

    change(row, kind, level, gfn) {
      const { events, kindOf } = this;
      const at = entryOf(level, gfn, this.first);
      if (kind === kindOf.split || at < 0) {
        return; // already changed by the entry's own event
      }
      this.entries[level][at] = events.new[row];
      if (kind === kindOf.initial_state) {
        this.touched.fill(1);
        return;
      }
      this.note(row, level, gfn);
      if (kind === kindOf.spte) {
        this.turned[level][at] = row;
        this.below(level, events.old[row], events.new[row], gfn);
      }
    }

    // A split fills the new table from the huge page; when a table is removed, its entries are removed.
    below(level, old, now, gfn) {
      if (level === 1 || (old & TABLE) === (now & TABLE)) {
        return;
      }
      const bits = now & TABLE ? old : 0;
      const fill = (of) => {
        const low = Math.max(0, entryOf(of, gfn, this.first));
        this.entries[of].fill(bits, low, Math.max(low, entryOf(of, gfn + SHIFTS[level] - 1, this.first) + 1));
      };
      fill(level - 1);
      if (level === 3 && !bits) {
        fill(1);
      }
    }

    // ---- one page

    // The entry that maps a page, or ends its walk: {level, bits}; level 0 if it is not mapped.
    leaf(gfn) {
      for (const level of [3, 2, 1]) {
        const bits = this.entries[level][entryOf(level, gfn, this.first)];
        if (!(bits & TABLE)) {
          return { level: bits & PRESENT ? level : 0, bits };
        }
      }
      return { level: 0, bits: 0 };
    }

    // Row of the last event (`last`) or change (`turned`) of a page, at any level; -1 if there is none.
    rowOf(name, gfn) {
      return Math.max(...LEVELS.map((level) => this[name][level][entryOf(level, gfn, this.first)]));
    }

    // The last event of a page: {timePs, vcpu, kind, level, old, new}; null if there is none.
    lastEvent(gfn) {
      const row = this.rowOf("last", gfn);
      const { events } = this;
      return row < 0 ? null : {
        timePs: events.time_ps[row], vcpu: events.vcpu[row], kind: this.kinds[events.kind[row]], level: events.level[row],
        old: events.old[row], new: events.new[row],
      };
    }

    isDirty(gfn) {
      return this.dirty[gfn - this.first] === 1;
    }

    // Whether a page is in the log and has never left it: with initially-all-set that does not say that it was written.
    neverCleared(gfn) {
      return this.isDirty(gfn) && this.cleared[gfn - this.first] === 0;
    }

    isWritable(gfn) {
      return (this.leaf(gfn).bits & WRITABLE) !== 0;
    }

    holds(first, pages) {
      return first >= this.first && first + pages <= this.first + this.pages;
    }
  };

  S.spteFlags = { PRESENT, WRITABLE, DIRTY, TABLE };
})();
