// Queries on a Recording at any simulated time. Times are ps, numbers are per vCPU where a comment says so. Sums rise
// linearly inside a bin of time; states change at the ends of bins.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SHARES = 8;
  const FULL_SHARE = 255;
  const PAGE_BYTES = 4096;
  const PS_PER_S = 1e12;
  const NO_GFN = -1;
  const LEAST_STALL = 0.01;
  const LEVELS = [["k4", "pages_4k", 1, 1], ["m2", "pages_2m", 2, 512], ["g1", "pages_1g", 3, 512 * 512]];
  const FAULTS = ["not_present", "fast", "slow_protected", "spurious"];
  const SPLITS = ["enable", "clear", "fault", "pre_split"];
  const IOCTL_KINDS = new Set(["enable", "get", "clear", "reset", "disable", "pre_split"]);

  const named = (row, columns, names) =>
    Object.fromEntries(Object.entries(names).map(([name, column]) => [name, columns[column][row]]));

  const CALL = {
    startPs: "start_ps", endPs: "end_ps", waitPs: "wait_ps", holdPs: "hold_ps", slot: "slot", vcpu: "vcpu", op: "op",
    iteration: "iteration", reported: "reported_pages", tablesAdded: "tables_added", splits: "splits", zaps: "zaps",
    tlbFlushes: "tlb_flushes", accesses: "accesses", faults: "faults", stallPs: "stall_ps",
  };
  const EXAMPLE = {
    timePs: "time_ps", vcpu: "vcpu", level: "level", old: "old", new: "new", gfn: "gfn", stallPs: "stall_ps",
  };

  class Run {
    // `label` distinguishes the run; `short` is a short label, its name on the page.
    constructor({ header, tables }, { label = "", short = label, policy = "" } = {}) {
      Object.assign(this, { header, tables, label: short, full: label, byPolicy: label === policy, policy });
      this.endPs = header.end_ps;
      this.binPs = header.bin_ps;
      this.bins = header.bins;
      this.vcpus = header.vcpus;
      this.firstGfn = tables.cell_map.first_gfn;
      this.cellPages = tables.cell_map.pages;
      this.cells = this.firstGfn.length;
      this.readCalls();
      this.readSums();
      this.readExamples();
      this.history = new S.CellHistory(tables.cells, this.cells);
      this.cursor = this.cellCursor();
      this.ram = new S.GuestRam(header.scenario, this.vcpus);
    }

    readCalls() {
      const { calls } = this.tables;
      const all = Array.from(calls.kind, (code, row) =>
        ({ kind: this.header.vocabularies.call_kinds[code], ...named(row, calls, CALL) }));
      this.calls = all.filter(({ kind }) => IOCTL_KINDS.has(kind));
      this.phases = all.filter(({ kind }) => !IOCTL_KINDS.has(kind));
      const enable = this.calls.find(({ kind }) => kind === "enable");
      this.enablePs = enable ? enable.startPs : null;
      this.ioctlSums = new Float64Array(this.calls.length + 1);
      this.calls.forEach(({ startPs, endPs }, i) => {
        this.ioctlSums[i + 1] = this.ioctlSums[i] + endPs - startPs;
      });
    }

    readSums() {
      const { bins } = this.tables;
      const sumOf = (column) => {
        const sums = new Float64Array(this.bins + 1);
        column.forEach((value, bin) => { sums[bin + 1] = sums[bin] + value; });
        return sums;
      };
      const causes = this.header.causes.map((cause) => bins[`stall_${cause}_ps`]);
      this.sums = {
        stallBy: causes.map(sumOf),
        stall: sumOf(causes[0].map((_, bin) => causes.reduce((all, column) => all + column[bin], 0))),
        slow: sumOf(bins.slow_write_ps),
        accesses: sumOf(bins.accesses),
        faults: FAULTS.map((kind) => sumOf(bins[`faults_${kind}`])),
        splits: SPLITS.map((place) => sumOf(bins[`splits_${place}`])),
      };
      this.fullRate = this.rateBefore(Math.min(...this.calls.map(({ startPs }) => startPs)));
    }

    readExamples() {
      const { time_ps: times } = this.tables.examples;
      this.exampleRows = Int32Array.from(times, (_, row) => row).sort((a, b) => times[a] - times[b] || a - b);
    }

    // Accesses per second in whole bins before a time in which nothing was mapped and vCPUs hardly stalled; 0 if there is
    // no such bin.
    rateBefore(stopPs) {
      const { accesses, faults_not_present: mapped } = this.tables.bins;
      let done = 0;
      let bins = 0;
      for (let bin = 0; bin < this.bins && (bin + 1) * this.binPs <= Math.min(stopPs, this.endPs); bin += 1) {
        const stalled = (this.sums.stall[bin + 1] - this.sums.stall[bin]) / (this.vcpus * this.binPs);
        if (accesses[bin] > 0 && !mapped[bin] && stalled < LEAST_STALL) {
          done += accesses[bin];
          bins += 1;
        }
      }
      return bins ? (done / (bins * this.binPs)) * PS_PER_S : 0;
    }

    // ---- time

    binAt(ps) {
      return Math.min(this.bins - 1, Math.max(0, (ps - (ps % this.binPs)) / this.binPs));
    }

    // The last state at or before a time: frame 0 is time 0, frame k the end of bin k - 1.
    frame(ps) {
      return ps >= this.endPs ? this.bins : Math.max(0, (ps - (ps % this.binPs)) / this.binPs);
    }

    framePs(frame) {
      return Math.min(frame * this.binPs, this.endPs);
    }

    // The elapsed share of a bin, 0 to 1.
    shareOf(bin, ps, since = this.framePs(bin)) {
      const end = this.framePs(bin + 1);
      return end > since ? Math.min(1, Math.max(0, (ps - since) / (end - since))) : Number(ps >= end);
    }

    // A sum at a time. Effects of logging cannot precede it: in the bin of the first enable, a sum that did not rise in
    // the bin before rises only from the call on, not from the bin's start. `first` says whether that holds for a sum of
    // which no bin is known before.
    sumAt(sums, ps, first = false) {
      const bin = this.binAt(ps);
      const { enablePs } = this;
      const flat = bin === 0 ? first : sums[bin] === sums[bin - 1];
      const starts = enablePs !== null && bin === this.binAt(enablePs) && flat;
      const share = this.shareOf(bin, ps, starts ? enablePs : undefined);
      return sums[bin] + (sums[bin + 1] - sums[bin]) * share;
    }

    // ---- memory

    cellCursor() {
      return new S.CellCursor(this.history);
    }

    cellsAt(frame) {
      return this.cursor.at(frame);
    }

    get changedSince() {
      return this.cursor.changed;
    }

    lastChange(cell, frame) {
      const place = this.history.placeAt(cell, frame);
      return place < this.history.first[cell] ? -1 : this.history.frameOf(this.history.rows[place]);
    }

    // Table pages of a state column at a time; before the first bin's end the value of `atStart`.
    stateAt(name, ps, atStart) {
      const frame = this.frame(ps);
      return frame ? this.tables.bins[name][frame - 1] : atStart;
    }

    // Bytes of page tables less those when logging was first enabled; 0 before that, and without logging.
    tablesAdded(ps) {
      const { table_pages_at_enable: before } = this.header;
      if (this.enablePs === null || before === null || this.framePs(this.frame(ps)) < this.enablePs) {
        return 0;
      }
      return (this.stateAt("table_pages", ps, before) - before) * PAGE_BYTES;
    }

    dirtyPages(ps) {
      return this.stateAt("dirty_pages", ps, 0);
    }

    // Leaves of each size. No bin ends at time 0: there they are computed from the cells' shares.
    leaves(ps) {
      return Object.fromEntries(LEVELS.map(([key, column, share, pages]) =>
        [key, this.stateAt(column, ps, this.frame(ps) ? 0 : this.leavesAtStart(share, pages))]));
    }

    leavesAtStart(share, pages) {
      const { cell, shares } = this.tables.cells;
      let mapped = 0;
      for (let row = 0; row < this.tables.cells.frame_start[1]; row += 1) {
        mapped += (shares[row * SHARES + share] / FULL_SHARE) * this.cellPages[cell[row]];
      }
      return Math.round(mapped / pages);
    }

    // ---- vCPUs

    vcpuShares(bin, vcpu, out = new Float64Array(4)) {
      const first = (bin * this.vcpus + vcpu) * 4;
      for (let share = 0; share < 4; share += 1) {
        out[share] = this.tables.vcpu_bins.shares[first + share] / FULL_SHARE;
      }
      return out;
    }

    // The current page of a vCPU, -1 if unknown.
    vcpuGfn(ps, vcpu) {
      const { gfn } = this.tables.vcpu_bins;
      if (!gfn) {
        return NO_GFN;
      }
      const frame = this.frame(ps);
      const { ram } = this;
      const after = frame < this.bins ? gfn[frame * this.vcpus + vcpu] : NO_GFN;
      const start = ram.sweeps ? ram.gfnOf(ram.partOf(vcpu).first) : after;
      const before = frame ? gfn[(frame - 1) * this.vcpus + vcpu] : start;
      if (before < 0 || after < 0 || !ram.sweeps || ram.indexOf(before) < 0 || ram.indexOf(after) < 0) {
        return before;
      }
      return ram.between(before, after, this.shareOf(frame, ps), vcpu);
    }

    // Sums of all vCPUs, divided by their number.
    stallPs(ps) {
      return this.sumAt(this.sums.stall, ps, true) / this.vcpus;
    }

    stallBy(ps, out = new Float64Array(this.sums.stallBy.length)) {
      this.sums.stallBy.forEach((sums, cause) => { out[cause] = this.sumAt(sums, ps, true) / this.vcpus; });
      return out;
    }

    slowPs(ps) {
      return this.sumAt(this.sums.slow, ps, true) / this.vcpus;
    }

    accesses(ps) {
      return this.sumAt(this.sums.accesses, ps);
    }

    faults(ps) {
      return this.sums.faults.map((sums) => this.sumAt(sums, ps));
    }

    splits(ps) {
      return this.sums.splits.map((sums) => this.sumAt(sums, ps));
    }

    // Accesses per second of all vCPUs over the bin.
    rate(ps) {
      const bin = this.binAt(ps);
      const tookPs = this.framePs(bin + 1) - this.framePs(bin);
      return tookPs ? (this.tables.bins.accesses[bin] / tookPs) * PS_PER_S : 0;
    }

    // Whether the vCPUs are idle: they make no access, and do not stall.
    isIdle(ps) {
      const bin = this.binAt(ps);
      const [from, to] = [this.framePs(bin), this.framePs(bin + 1)];
      return this.tables.bins.accesses[bin] === 0 && this.stallPs(to) - this.stallPs(from) < LEAST_STALL * (to - from);
    }

    // Before logging is enabled it is that of the bin before, since no effect precedes its cause.
    speed(ps) {
      const here = this.binAt(ps);
      const before = this.enablePs !== null && ps < this.enablePs && here > 0 && here === this.binAt(this.enablePs);
      const bin = before ? here - 1 : here;
      return this.fullRate ? Math.min(1, this.rate(this.framePs(bin)) / this.fullRate) : this.freeShare(bin);
    }

    // If no bin has the full rate: the share of the vCPUs' time in a bin that is neither stall nor slower writes; 1 if they
    // are idle.
    freeShare(bin) {
      const sums = [0, 0, 0, 0];
      for (let vcpu = 0; vcpu < this.vcpus; vcpu += 1) {
        this.vcpuShares(bin, vcpu).forEach((share, i) => { sums[i] += share; });
      }
      const [running, fault, lock] = sums;
      const tookPs = this.framePs(bin + 1) - this.framePs(bin);
      const slower = tookPs ? this.tables.bins.slow_write_ps[bin] / tookPs : 0;
      const busy = running + fault + lock;
      return busy ? Math.max(0, running - slower) / busy : 1;
    }

    // ---- the ioctl thread

    // The number of calls that have begun; calls do not overlap.
    callsBegun(ps) {
      return S.countUpTo(this.calls.length, ps, (i) => this.calls[i].startPs);
    }

    callAt(ps) {
      const call = this.calls[this.callsBegun(ps) - 1];
      return call && ps < call.endPs ? call : null;
    }

    // Time in calls; their starts and ends are exact and do not depend on bins.
    ioctlPs(ps) {
      const begun = this.callsBegun(ps);
      return begun ? this.ioctlSums[begun] - Math.max(0, this.calls[begun - 1].endPs - ps) : 0;
    }

    // The kind and position of an ioctl's walk, position -1 for a ring; null if there is no walk or it is unknown.
    walkAt(ps) {
      const call = this.tables.bins.walk && this.callAt(ps);
      if (!call) {
        return null;
      }
      const frame = this.frame(ps);
      const after = this.walkOf(call, frame + 1);
      const before = this.walkOf(call, frame) || this.walkBegin(call, after);
      if (!before || !after || before.kind !== after.kind || before.gfn < 0 || before.gfn > after.gfn) {
        return before;
      }
      const share = this.shareOf(frame, ps, Math.max(call.startPs, this.framePs(frame)));
      return { kind: before.kind, gfn: before.gfn + Math.floor((after.gfn - before.gfn) * share) };
    }

    // A walk that begins inside a bin and is first recorded at the bin's end. It starts at the start of the memslot, except
    // that of a CLEAR, which may cover a part of it.
    walkBegin({ kind, slot }, after) {
      const first = this.slotGfn(slot);
      const fromFirst = after && kind !== "clear" && first >= 0 && first <= after.gfn;
      return fromFirst ? { kind: after.kind, gfn: first } : after;
    }

    // The walk of a call at a frame, null if there is none.
    walkOf(call, frame) {
      const { walk: codes, walk_gfn: gfns } = this.tables.bins;
      const ps = this.framePs(frame);
      const code = 0 < frame && frame <= this.bins && call.startPs <= ps && ps <= call.endPs ? codes[frame - 1] : 0;
      return code ? { kind: this.header.vocabularies.walks[code], gfn: gfns[frame - 1] } : null;
    }

    // First gfn of a memslot; that of the first one if a call has no memslot.
    slotGfn(slot) {
      const { memory = [] } = this.header.scenario;
      const found = memory[Math.max(0, slot)];
      return found ? found.base / PAGE_BYTES : NO_GFN;
    }

    // ---- examples

    exampleAt(ps) {
      const { examples } = this.tables;
      const { vocabularies: names } = this.header;
      const count = S.countUpTo(this.exampleRows.length, ps, (i) => examples.time_ps[this.exampleRows[i]]);
      if (!count) {
        return null;
      }
      const row = this.exampleRows[count - 1];
      if (this.example?.row !== row) {
        const [kind, path] = [names.example_kinds[examples.kind[row]], names.paths[examples.path[row]]];
        this.example = { row, is: { ...named(row, examples, EXAMPLE), kind, path } };
      }
      return this.example.is;
    }
  }

  S.Run = Run;
})();
