// The page tables at any cursor, as a fold over the event log: the same rules as mmuviz/recording/fold.py.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const WRITABLE = 2;
  const DIRTY = 8;
  const PRESENT = 1;
  const TABLE = 16;
  const SPTE = 1;
  const FAST = 4;
  const CPU_DIRTY = 5;
  const UNTRACED = 6;
  const FAST_FIXED = 0;

  const LEVEL_4K = 1;
  const LEVEL_1G = 3;
  const PER_TABLE = 512;
  const PAGES_PER_1G = PER_TABLE * PER_TABLE;
  const PAGES_PER_LEVEL = [0, 1, PER_TABLE, PAGES_PER_1G];

  class PageMap {
    constructor(recording) {
      const { slot } = recording;
      this.recording = recording;
      this.origin = Math.floor(slot.base_gfn / PAGES_PER_1G) * PAGES_PER_1G;
      const regions = Math.ceil((slot.base_gfn + slot.pages - this.origin) / PAGES_PER_1G);
      // By level: entries[1] at 4K, [2] at 2M, [3] at 1G.
      this.entries = [
        null,
        new Uint8Array(regions * PAGES_PER_1G),
        new Uint8Array(regions * PER_TABLE),
        new Uint8Array(regions),
      ];
      this.restart();
    }

    restart() {
      this.cursor = 0;
      this.entries.forEach((words) => words && words.fill(0));
      const { level, word, gfn, stride, entries } = this.recording.start;
      for (let row = 0; row < level.length; row += 1) {
        for (let above = LEVEL_1G; above > level[row]; above -= 1) {
          this.each(gfn[row], stride[row], entries[row], above, (at) => { this.entries[above][at] = TABLE; });
        }
        this.each(gfn[row], stride[row], entries[row], level[row], (at) => this.put(level[row], at, word[row]));
      }
    }

    each(gfn, stride, entries, level, visit) {
      for (let index = 0; index < entries; index += 1) {
        visit(Math.floor((gfn + stride * index - this.origin) / PAGES_PER_LEVEL[level]));
      }
    }

    // A table over a leaf hands the leaf's word down to its 512 children.
    put(level, at, word) {
      const old = this.entries[level][at];
      if (word === TABLE && level > LEVEL_4K) {
        this.entries[level - 1].fill(old & PRESENT ? old : 0, at * PER_TABLE, (at + 1) * PER_TABLE);
      }
      this.entries[level][at] = word;
    }

    addBits(page, bits) {
      const [, l1, l2, l3] = this.entries;
      const at2 = Math.floor(page / PER_TABLE);
      const at3 = Math.floor(page / PAGES_PER_1G);
      if (!(l3[at3] & TABLE)) {
        l3[at3] |= bits;
      } else if (!(l2[at2] & TABLE)) {
        l2[at2] |= bits;
      } else {
        l1[page] |= bits;
      }
    }

    // Goes to the state after the first `cursor` rows of the event log.
    seek(cursor) {
      if (cursor < this.cursor) {
        this.restart();
      }
      for (; this.cursor < cursor; this.cursor += 1) {
        this.apply(this.cursor);
      }
    }

    apply(row) {
      const { runs, config } = this.recording;
      const kind = runs.kind[row];
      const [gfn, stride, entries] = [runs.gfn[row], runs.stride[row], runs.entries[row]];
      if (kind === UNTRACED || (kind === SPTE && config.tdp_mmu)) {
        const level = runs.level[row];
        if (level <= LEVEL_1G) {
          this.each(gfn, stride, entries, level, (at) => this.put(level, at, runs.new[row]));
        }
      } else if (config.tdp_mmu && (kind === CPU_DIRTY || (kind === FAST && runs.detail[row] === FAST_FIXED))) {
        this.each(gfn, stride, entries, LEVEL_4K, (at) => this.addBits(at, kind === FAST ? WRITABLE : DIRTY));
      }
    }

    // Level and word of the leaf that maps a gfn, as level * 256 + word; 0 where nothing does.
    leaf(gfn) {
      let page = gfn - this.origin;
      for (let level = LEVEL_1G; level >= LEVEL_4K; level -= 1) {
        const word = this.entries[level][Math.floor(page / PAGES_PER_LEVEL[level])];
        if (!(word & TABLE)) {
          return word & PRESENT ? level * 256 + word : 0;
        }
      }
      return 0;
    }
  }

  window.mmuviz.PageMap = PageMap;
})();
