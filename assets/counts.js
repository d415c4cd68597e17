// A pane's figures at any position, each a fold over the event log: the same as mmuviz/recording/series.py.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PRESENT = 1;
  const TABLE = 16;
  const SPTE = 1;
  const SPLIT = 2;
  const FAULT = 3;
  const FAST = 4;
  const FAST_FIXED = 0;
  const WRITE_NOT_PRESENT = 1;
  const LEVEL_4K = 1;
  const PER_TABLE = 512;
  // A page-table page, and its struct kvm_mmu_page.
  const TABLE_BYTES = 4096 + 184;
  const ROWS_BETWEEN = 1024;

  const OF_TABLES = ["pages_4k", "pages_2m", "pages_1g", "table_pages"];
  const SUMMED = [
    ...OF_TABLES, "faults_not_present", "faults_fast", "faults_slow",
    "splits_enable", "splits_clear", "splits_ring_reset", "splits_fault", "zaps_fault",
  ];
  const WIDTH = SUMMED.length;
  const [TABLE_PAGES, NOT_PRESENT, FAULTS_FAST, FAULTS_SLOW, ZAPS] =
    ["table_pages", "faults_not_present", "faults_fast", "faults_slow", "zaps_fault"].map((name) => SUMMED.indexOf(name));
  const ACCESS_OPS = new Set(["read", "write", "parallel_write"]);

  // Where in SUMMED an op's splits count.
  function splitPlace(kind) {
    const at = SUMMED.indexOf(`splits_${kind}`);
    return at < 0 ? SUMMED.indexOf("splits_fault") : at;
  }

  class Counts {
    constructor(pair, paneIndex, timeline) {
      this.pane = pair.panes[paneIndex];
      this.paneIndex = paneIndex;
      this.timeline = timeline;
      this.recording = this.pane.recording;
      const { ops, runs, op_columns: columns } = this.recording;
      this.splitsAt = ops.map(({ kind }) => splitPlace(kind));
      this.zapsCount = ops.map(({ kind }, op) => ACCESS_OPS.has(kind) && columns.logging[op] !== 0);
      this.sums = new Float64Array((Math.floor(runs.kind.length / ROWS_BETWEEN) + 1) * WIDTH);
      this.atOps = new Float64Array((ops.length + 1) * WIDTH);
      this.sumUp();
    }

    // Keeps the sums at every 1,024th row and at every op's start.
    sumUp() {
      const { first_run: first } = this.recording.op_columns;
      const sum = new Float64Array(WIDTH);
      for (let op = 0; op < this.splitsAt.length; op += 1) {
        this.atOps.set(sum, op * WIDTH);
        for (let row = first[op]; row < first[op + 1]; row += 1) {
          if (row % ROWS_BETWEEN === 0) {
            this.sums.set(sum, (row / ROWS_BETWEEN) * WIDTH);
          }
          this.add(sum, row, op);
        }
      }
      this.atOps.set(sum, this.splitsAt.length * WIDTH);
      const rows = this.recording.runs.kind.length;
      if (rows % ROWS_BETWEEN === 0) {
        this.sums.set(sum, (rows / ROWS_BETWEEN) * WIDTH);
      }
    }

    // Adds what one row changes.
    add(sum, row, op) {
      const { runs, config } = this.recording;
      const kind = runs.kind[row];
      const entries = runs.entries[row];
      if (kind === SPTE) {
        if (config.tdp_mmu) {
          this.addEntries(sum, runs.level[row], runs.old[row], runs.new[row], entries);
        }
        const zapped = runs.level[row] > LEVEL_4K && runs.old[row] & PRESENT && runs.new[row] === 0;
        sum[ZAPS] += zapped && this.zapsCount[op] ? entries : 0;
      } else if (kind === SPLIT) {
        sum[this.splitsAt[op]] += entries;
      } else if (kind === FAULT) {
        sum[runs.detail[row] <= WRITE_NOT_PRESENT ? NOT_PRESENT : FAULTS_SLOW] += entries;
      } else if (kind === FAST && runs.detail[row] === FAST_FIXED) {
        sum[FAULTS_FAST] += entries;
        sum[FAULTS_SLOW] -= entries;
      }
    }

    // Levels count from 1, and so do the places of their pages in SUMMED from 0. A split leaf leaves 512 of the level below.
    addEntries(sum, level, old, word, entries) {
      const leaf = level - LEVEL_4K;
      if (leaf < TABLE_PAGES) {
        sum[leaf] += entries * ((word & PRESENT) - (old & PRESENT));
      }
      sum[TABLE_PAGES] += entries * ((word === TABLE) - (old === TABLE));
      if (word === TABLE && old & PRESENT) {
        sum[leaf - 1] += entries * PER_TABLE;
      }
    }

    sumsAt(cursor, op) {
      const at = Math.floor(cursor / ROWS_BETWEEN);
      const begun = this.recording.op_columns.first_run[op];
      // The nearer of the two before the cursor, so that no row of another op is added.
      const fromOp = begun >= at * ROWS_BETWEEN;
      const sum = fromOp ? this.atOps.slice(op * WIDTH, (op + 1) * WIDTH) : this.sums.slice(at * WIDTH, (at + 1) * WIDTH);
      for (let row = fromOp ? begun : at * ROWS_BETWEEN; row < cursor; row += 1) {
        this.add(sum, row, op);
      }
      return sum;
    }

    // A figure of the page tables at the end of an op, or before the first one.
    atEnd(name, op) {
      const { op_columns: columns } = this.recording;
      const from = op < 0 ? this.pane.base : null;
      const read = (column) => (from ? from[column] : columns[column][op]);
      return name === "table_bytes" ? read("table_bytes") + read("header_bytes") : read(name);
    }

    at(t) {
      const place = this.timeline.place(t);
      const { op, opDone } = place;
      const sum = this.sumsAt(this.timeline.cursor(t, this.paneIndex), op);
      const figures = Object.fromEntries(SUMMED.map((name, index) => [name, sum[index]]));
      const change = (index) => (opDone ? 0 : sum[index] - this.atOps[op * WIDTH + index]);
      const begun = opDone ? op : op - 1;
      OF_TABLES.forEach((name, index) => { figures[name] = this.atEnd(name, begun) + change(index); });
      figures.table_bytes = this.atEnd("table_bytes", begun) + change(TABLE_PAGES) * TABLE_BYTES;
      figures.pending = this.pendingAt(place);
      figures.told = this.pane.told[opDone ? op + 1 : op];
      return figures;
    }

    // Pages that were written and that nothing told userspace of since.
    pendingAt({ op, access, k, ticks, opDone }) {
      const { pending, fresh, fresh_first: first } = this.pane;
      if (opDone) {
        return pending[op + 1];
      }
      const done = access + (k === ticks ? 1 : 0);
      let [low, high] = [first[op], first[op + 1]];
      while (low < high) {
        const middle = Math.floor((low + high) / 2);
        if (fresh[middle] < done) {
          low = middle + 1;
        } else {
          high = middle;
        }
      }
      return pending[op] + low - first[op];
    }
  }

  window.mmuviz.Counts = Counts;
})();
