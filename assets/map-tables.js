// What lies below one 1G table: 512 words at 2M, and for each of them either the one word that all its 4K pages have, or a
// Table of its own once they differ. Also stacks: how many pages of a range have each level and state.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PRESENT = 1;
  const WRITABLE = 2;
  const DIRTY = 8;
  const TABLE = 16;
  const LEVEL_4K = 1;
  const LEVEL_2M = 2;
  const PER_TABLE = 512;

  const byWord = (test) => Uint8Array.from({ length: 256 }, (_, word) => (test(word) ? 1 : 0));
  const IS_PRESENT = byWord((word) => word & PRESENT);
  const IS_PROTECTED = byWord((word) => (word & (PRESENT | WRITABLE)) === PRESENT);
  const IS_DIRTY = byWord((word) => (word & (PRESENT | WRITABLE | DIRTY)) === (PRESENT | WRITABLE | DIRTY));

  const STACK = ["none", "k4", "m2", "g1", "protected4k", "protected2m", "protected1g", "dirtyBits"];

  function addStack(stack, more) {
    for (const name of STACK) {
      stack[name] += more[name];
    }
  }

  function clearStack(stack) {
    stack.none = 0;
    stack.k4 = 0;
    stack.m2 = 0;
    stack.g1 = 0;
    stack.protected4k = 0;
    stack.protected2m = 0;
    stack.protected1g = 0;
    stack.dirtyBits = 0;
    return stack;
  }

  function addPages(stack, level, word, pages) {
    if (!(word & PRESENT)) {
      stack.none += pages;
      return;
    }
    const shielded = IS_PROTECTED[word] * pages;
    if (level === LEVEL_4K) {
      stack.k4 += pages;
      stack.protected4k += shielded;
    } else if (level === LEVEL_2M) {
      stack.m2 += pages;
      stack.protected2m += shielded;
    } else {
      stack.g1 += pages;
      stack.protected1g += shielded;
    }
    stack.dirtyBits += IS_DIRTY[word] * pages;
  }

  // The 512 words of a 2M region's 4K table, once they differ, and how many of them are present, protected, dirty.
  class Table {
    constructor(owner, words, present, shielded, dirty) {
      Object.assign(this, { owner, words, present, shielded, dirty });
    }

    static of(owner, word) {
      const words = new Uint8Array(PER_TABLE);
      if (word) {
        words.fill(word);
      }
      const [present, shielded, dirty] = [IS_PRESENT, IS_PROTECTED, IS_DIRTY].map((is) => PER_TABLE * is[word]);
      return new Table(owner, words, present, shielded, dirty);
    }

    clone(owner) {
      return new Table(owner, this.words.slice(), this.present, this.shielded, this.dirty);
    }

    put(at, word) {
      const old = this.words[at];
      this.words[at] = word;
      this.present += IS_PRESENT[word] - IS_PRESENT[old];
      this.shielded += IS_PROTECTED[word] - IS_PROTECTED[old];
      this.dirty += IS_DIRTY[word] - IS_DIRTY[old];
    }
  }

  // What lies below one 1G table: `words` at 2M; below each, `tables` or else the one word of `below` for all 512 pages.
  class Gigabyte {
    constructor(owner, words, below, tables) {
      Object.assign(this, { owner, words, below, tables, sum: null });
    }

    static empty(owner) {
      return new Gigabyte(owner, new Uint8Array(PER_TABLE), new Uint8Array(PER_TABLE), null);
    }

    clone(owner) {
      return new Gigabyte(owner, this.words.slice(), this.below.slice(), this.tables && this.tables.slice());
    }

    // A region's own table, to write to.
    table(at) {
      this.tables = this.tables || new Array(PER_TABLE).fill(null);
      const table = this.tables[at];
      if (!table || table.owner !== this.owner) {
        this.tables[at] = table ? table.clone(this.owner) : Table.of(this.owner, this.below[at]);
      }
      return this.tables[at];
    }

    flatten(at, word) {
      this.below[at] = word;
      if (this.tables) {
        this.tables[at] = null;
      }
    }

    flattenAll(word) {
      this.below.fill(word);
      this.tables = null;
    }

    // Puts a word into the 4K entries [from, to) of one region.
    putPages(at, from, to, word) {
      if (to - from === PER_TABLE) {
        this.flatten(at, word);
        return;
      }
      const table = this.table(at);
      for (let page = from; page < to; page += 1) {
        table.put(page, word);
      }
    }

    // A table over a leaf hands the leaf's word down to its 512 children.
    put(at, word) {
      const old = this.words[at];
      this.flatten(at, word === TABLE && old & PRESENT ? old : 0);
      this.words[at] = word;
    }

    // Adds the pages [from, to) of one region to a stack.
    addRegion(stack, at, from, to) {
      const word = this.words[at];
      if (!(word & TABLE)) {
        addPages(stack, LEVEL_2M, word, to - from);
        return;
      }
      const table = this.tables && this.tables[at];
      if (!table) {
        addPages(stack, LEVEL_4K, this.below[at], to - from);
      } else if (to - from === PER_TABLE) {
        stack.none += PER_TABLE - table.present;
        stack.k4 += table.present;
        stack.protected4k += table.shielded;
        stack.dirtyBits += table.dirty;
      } else {
        for (let page = from; page < to; page += 1) {
          addPages(stack, LEVEL_4K, table.words[page], 1);
        }
      }
    }

    // The stack of all its pages; kept until the next write.
    whole() {
      if (!this.sum) {
        this.sum = clearStack({});
        for (let at = 0; at < PER_TABLE; at += 1) {
          this.addRegion(this.sum, at, 0, PER_TABLE);
        }
      }
      return this.sum;
    }
  }

  window.mmuviz.pageTables = { Gigabyte, addPages, addStack, clearStack };
})();
