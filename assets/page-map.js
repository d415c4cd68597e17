// The page tables at any cursor, as a fold over the event log: the same rules as mmuviz/recording/fold.py.
//
// One word stands for each 1G entry; what lies below a 1G table is a Gigabyte of map-tables.js. A checkpoint copies the
// top only: what an earlier generation owns below it is not changed any more, a write copies it first.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PRESENT = 1;
  const WRITABLE = 2;
  const DIRTY = 8;
  const TABLE = 16;
  const SPTE = 1;
  const FAST = 4;
  const CPU_DIRTY = 5;
  const UNTRACED = 6;
  const FAST_FIXED = 0;

  const LEVEL_4K = 1;
  const LEVEL_2M = 2;
  const LEVEL_1G = 3;
  const SHIFT_2M = 9;
  const SHIFT_1G = 18;
  const PER_TABLE = 512;
  const LAST = PER_TABLE - 1;
  const PAGES_PER_1G = PER_TABLE * PER_TABLE;

  const CHECKPOINTS = 32;
  const LEAST_ROWS_BETWEEN = 256;
  // Rows from the checkpoint that a step back leaves behind: further steps back replay no more than these.
  const NEAR = 512;
  // More changed regions than these are "all".
  const MOST_TOUCHED = 8192;

  const { Gigabyte, addPages, addStack, clearStack } = window.mmuviz.pageTables;

  class PageMap {
    constructor(recording) {
      const { slot, runs } = recording;
      this.recording = recording;
      this.origin = Math.floor(slot.base_gfn / PAGES_PER_1G) * PAGES_PER_1G;
      this.end = slot.base_gfn + slot.pages;
      const size = Math.ceil((this.end - this.origin) / PAGES_PER_1G);
      this.top = new Uint8Array(size);
      this.gigabytes = new Array(size).fill(null);
      this.generation = 0;
      this.isTouched = new Uint8Array(size * PER_TABLE);
      this.touchedRegions = new Int32Array(MOST_TOUCHED);
      this.touchedCount = 0;
      this.allTouched = true;
      this.cursor = 0;
      this.between = Math.max(LEAST_ROWS_BETWEEN, Math.ceil(runs.kind.length / CHECKPOINTS));
      this.checkpoints = [];
      this.near = null;
      this.putStart();
      this.passCheckpoint();
    }

    putStart() {
      const { level, word, gfn, stride, entries } = this.recording.start;
      for (let row = 0; row < level.length; row += 1) {
        for (let index = 0; index < entries[row]; index += 1) {
          const page = gfn[row] + stride[row] * index - this.origin;
          this.top[page >>> SHIFT_1G] = level[row] < LEVEL_1G ? TABLE : this.top[page >>> SHIFT_1G];
          if (level[row] === LEVEL_4K) {
            this.own(page >>> SHIFT_1G).words[(page >>> SHIFT_2M) & LAST] = TABLE;
          }
        }
        this.putRun(level[row], word[row], gfn[row], stride[row], entries[row]);
      }
    }

    // ---- where the map stands

    // Goes to the state after the first `cursor` rows of the event log, forward or back.
    seek(cursor) {
      const from = this.nearest(cursor);
      if (cursor < this.cursor || (from && from.cursor > this.cursor)) {
        this.restore(from);
        if (cursor - this.cursor > 2 * NEAR) {
          this.forward(cursor - NEAR);
          this.near = this.checkpoint();
        }
      }
      this.forward(cursor);
    }

    forward(cursor) {
      while (this.cursor < cursor) {
        const stop = Math.min(cursor, (Math.floor(this.cursor / this.between) + 1) * this.between);
        for (; this.cursor < stop; this.cursor += 1) {
          this.apply(this.cursor);
        }
        this.passCheckpoint();
      }
    }

    passCheckpoint() {
      const at = this.cursor / this.between;
      if (Number.isInteger(at) && !this.checkpoints[at]) {
        this.checkpoints[at] = this.checkpoint();
      }
    }

    checkpoint() {
      this.generation += 1;
      return { cursor: this.cursor, top: this.top.slice(), gigabytes: this.gigabytes.slice() };
    }

    nearest(cursor) {
      let at = Math.min(Math.floor(cursor / this.between), this.checkpoints.length - 1);
      while (!this.checkpoints[at]) {
        at -= 1;
      }
      const [far, near] = [this.checkpoints[at], this.near];
      return near && near.cursor <= cursor && near.cursor > far.cursor ? near : far;
    }

    restore({ cursor, top, gigabytes }) {
      for (let at = 0; at < top.length; at += 1) {
        if (top[at] !== this.top[at] || gigabytes[at] !== this.gigabytes[at]) {
          this.touch(at * PER_TABLE, (at + 1) * PER_TABLE);
        }
      }
      this.top.set(top);
      this.gigabytes = gigabytes.slice();
      this.cursor = cursor;
      this.generation += 1;
    }

    // ---- what a row does

    apply(row) {
      const { runs, config } = this.recording;
      const kind = runs.kind[row];
      if (kind === UNTRACED || (kind === SPTE && config.tdp_mmu)) {
        if (runs.level[row] <= LEVEL_1G) {
          this.putRun(runs.level[row], runs.new[row], runs.gfn[row], runs.stride[row], runs.entries[row]);
        }
      } else if (config.tdp_mmu && (kind === CPU_DIRTY || (kind === FAST && runs.detail[row] === FAST_FIXED))) {
        for (let index = 0; index < runs.entries[row]; index += 1) {
          const page = runs.gfn[row] + runs.stride[row] * index - this.origin;
          this.addBits(page, kind === FAST ? WRITABLE : DIRTY);
        }
      }
    }

    // Puts a word into entries of a level at equal distances; whole tables at once where they lie side by side.
    putRun(level, word, gfn, stride, entries) {
      const page = gfn - this.origin;
      if (level === LEVEL_4K && stride === 1 && entries > 1) {
        this.putPages(page, page + entries, word);
        return;
      }
      if (level === LEVEL_2M && stride === PER_TABLE && word !== TABLE) {
        this.putRegions(page >>> SHIFT_2M, (page >>> SHIFT_2M) + entries, word);
        return;
      }
      for (let index = 0; index < entries; index += 1) {
        this.put(level, page + stride * index, word);
      }
    }

    put(level, page, word) {
      const at = page >>> SHIFT_1G;
      const region = page >>> SHIFT_2M;
      if (level === LEVEL_4K) {
        this.own(at).table(region & LAST).put(page & LAST, word);
        this.touch(region, region + 1);
      } else if (level === LEVEL_2M) {
        this.own(at).put(region & LAST, word);
        this.touch(region, region + 1);
      } else {
        const old = this.top[at];
        this.top[at] = word;
        this.gigabytes[at] = null;
        if (word === TABLE && old & PRESENT) {
          this.own(at).words.fill(old);
        }
        this.touch(at * PER_TABLE, (at + 1) * PER_TABLE);
      }
    }

    putPages(from, to, word) {
      for (let page = from; page < to; ) {
        const gigabyte = this.own(page >>> SHIFT_1G);
        const stop = Math.min(to, ((page >>> SHIFT_1G) + 1) * PAGES_PER_1G);
        if (stop - page === PAGES_PER_1G) {
          gigabyte.flattenAll(word);
          page = stop;
        }
        while (page < stop) {
          const end = Math.min(stop, ((page >>> SHIFT_2M) + 1) * PER_TABLE);
          gigabyte.putPages((page >>> SHIFT_2M) & LAST, page & LAST, (page & LAST) + end - page, word);
          page = end;
        }
      }
      this.touch(from >>> SHIFT_2M, ((to - 1) >>> SHIFT_2M) + 1);
    }

    putRegions(from, to, word) {
      for (let region = from; region < to; ) {
        const at = region >>> SHIFT_2M;
        const stop = Math.min(to, (at + 1) * PER_TABLE);
        const gigabyte = this.own(at);
        gigabyte.words.fill(word, region & LAST, stop - at * PER_TABLE);
        if (gigabyte.tables) {
          gigabyte.tables.fill(null, region & LAST, stop - at * PER_TABLE);
        }
        region = stop;
      }
      this.touch(from, to);
    }

    addBits(page, bits) {
      const at = page >>> SHIFT_1G;
      const region = page >>> SHIFT_2M;
      if (!(this.top[at] & TABLE)) {
        this.top[at] |= bits;
        this.touch(at * PER_TABLE, (at + 1) * PER_TABLE);
        return;
      }
      const gigabyte = this.own(at);
      if (!(gigabyte.words[region & LAST] & TABLE)) {
        gigabyte.words[region & LAST] |= bits;
      } else {
        const table = gigabyte.table(region & LAST);
        table.put(page & LAST, table.words[page & LAST] | bits);
      }
      this.touch(region, region + 1);
    }

    // What lies below a 1G table, to write to.
    own(at) {
      let gigabyte = this.gigabytes[at];
      if (!gigabyte || gigabyte.owner !== this.generation) {
        gigabyte = gigabyte ? gigabyte.clone(this.generation) : Gigabyte.empty(this.generation);
        this.gigabytes[at] = gigabyte;
      }
      gigabyte.sum = null;
      return gigabyte;
    }

    // ---- what changed

    touch(from, to) {
      if (this.allTouched) {
        return;
      }
      if (this.touchedCount + to - from > MOST_TOUCHED) {
        this.allTouched = true;
        return;
      }
      for (let region = from; region < to; region += 1) {
        if (!this.isTouched[region]) {
          this.isTouched[region] = 1;
          this.touchedRegions[this.touchedCount] = region;
          this.touchedCount += 1;
        }
      }
    }

    // The 2M regions that changed since the last call, counted from `origin`, or "all".
    touched() {
      const regions = this.touchedRegions.slice(0, this.touchedCount);
      regions.forEach((region) => { this.isTouched[region] = 0; });
      const all = this.allTouched;
      this.touchedCount = 0;
      this.allTouched = false;
      return all ? "all" : regions;
    }

    // ---- what is asked of it

    // Level and word of the leaf that maps a gfn, as level * 256 + word; 0 where nothing does.
    leaf(gfn) {
      const page = gfn - this.origin;
      let word = this.top[page >>> SHIFT_1G];
      if (!(word & TABLE)) {
        return word & PRESENT ? LEVEL_1G * 256 + word : 0;
      }
      const gigabyte = this.gigabytes[page >>> SHIFT_1G];
      if (!gigabyte) {
        return 0;
      }
      const at = (page >>> SHIFT_2M) & LAST;
      word = gigabyte.words[at];
      if (!(word & TABLE)) {
        return word & PRESENT ? LEVEL_2M * 256 + word : 0;
      }
      const table = gigabyte.tables && gigabyte.tables[at];
      word = table ? table.words[page & LAST] : gigabyte.below[at];
      return word & PRESENT ? LEVEL_4K * 256 + word : 0;
    }

    // Pages by level, protected pages by level, and pages whose leaf is writable with its dirty bit set, of a range
    // clipped to the slot. `stack` is an object to use again.
    stack(firstGfn, pages, stack = {}) {
      clearStack(stack);
      const stop = Math.min(firstGfn + pages, this.end) - this.origin;
      for (let page = Math.max(firstGfn, this.recording.slot.base_gfn) - this.origin; page < stop; ) {
        const at = page >>> SHIFT_1G;
        const inside = Math.min(stop, (at + 1) * PAGES_PER_1G);
        if (!(this.top[at] & TABLE) || !this.gigabytes[at]) {
          addPages(stack, LEVEL_1G, this.top[at], inside - page);
          page = inside;
        } else if (inside - page === PAGES_PER_1G) {
          addStack(stack, this.gigabytes[at].whole());
          page = inside;
        } else {
          const region = page >>> SHIFT_2M;
          const to = Math.min(stop, (region + 1) * PER_TABLE);
          this.gigabytes[at].addRegion(stack, region & LAST, page & LAST, (page & LAST) + to - page);
          page = to;
        }
      }
      return stack;
    }
  }

  window.mmuviz.PageMap = PageMap;
})();
