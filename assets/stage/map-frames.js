// The cells of a run at any time: exact at the ends of bins; inside a bin they change in the order in which actors pass.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Indices in the shares of a cell.
  const [NONE, K4, M2, G1, P4, P2, P1, DIRTY, COUNT] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
  const WHOLE = 255;
  const FRESH_BINS = 6; // longest time for which a change is marked
  const SOON = 1e-6; // never at the bin's start itself, which shows the state before
  const WAVE = 0.35; // part of a bin in which a 1G page is drawn to open, although the split is one instant
  const VCPU = 0;
  const IOCTL = 1;
  const MOST_HEADS = 64; // most vCPUs whose positions order the changes; with more, changes are spread evenly

  const sets = new WeakMap();

  // One object per run, shared by all that draw it.
  S.cellFrames = function (run) {
    if (!sets.has(run)) {
      sets.set(run, new S.CellFrames(run));
    }
    return sets.get(run);
  };

  S.CellFrames = class {
    constructor(run) {
      this.run = run;
      this.cursor = run.cellCursor();
      this.next = new Uint8Array(run.cells * COUNT);
      this.now = new Uint8Array(run.cells * COUNT);
      this.opened = new Uint8Array(run.cells * COUNT); // a 1G page that was split to 2M on its way to 4K
      this.opens = new Float32Array(run.cells).fill(-1); // time at which that is shown, part of the bin; -1 never
      this.start = new Float32Array(run.cells).fill(-1); // time of the change, part of the bin; -1 unchanged
      this.end = new Float32Array(run.cells);
      this.by = new Uint8Array(run.cells);
      this.turned = new Uint8Array(run.cells); // whether what maps the cell changes in this bin
      this.changedPs = new Float64Array(run.cells).fill(-Infinity); // last such change in bins before
      this.changedBy = new Uint8Array(run.cells);
      this.changed = [];
      this.before = []; // the changed cells of the bins before, the last one at the end
      this.jumps = 0;
      this.frame = -2;
      this.part = 0;
      this.ps = -1;
      this.span = run.header.cell_pages;
      this.still = typeof matchMedia === "function" && matchMedia("(prefers-reduced-motion: reduce)").matches;
    }

    // Moves to a time; at(), dirty() and freshness() then return the state of any cell.
    seek(ps) {
      const frame = this.run.frame(ps);
      if (frame !== this.frame) {
        if (this.frame < 0 || frame < this.frame || frame > this.frame + FRESH_BINS) {
          this.jump(Math.max(0, frame - FRESH_BINS));
        }
        while (this.frame < frame) {
          this.step();
        }
        this.plan();
      }
      const from = this.run.framePs(frame);
      const to = this.run.framePs(Math.min(frame + 1, this.run.bins));
      this.part = to > from ? Math.min(1, Math.max(0, (ps - from) / (to - from))) : 0;
      this.ps = ps;
      return this;
    }

    // A moment to hand to changesSince() later.
    moment() {
      return { jumps: this.jumps, frame: this.frame, ps: this.ps };
    }

    // The cells whose state may differ from that at an earlier moment; null if it may be any. Highlights of changes that were
    // shown then may end, and are not among them.
    changesSince({ jumps, frame, ps }) {
      const bins = this.frame - frame;
      return jumps !== this.jumps || ps > this.ps || bins > this.before.length ? null
        : bins === 0 ? this.changed : [...this.before.slice(this.before.length - bins), this.changed].flat();
    }

    jump(frame) {
      this.jumps++;
      this.before = [];
      this.changedPs.fill(-Infinity);
      this.start.fill(-1);
      this.opens.fill(-1);
      this.turned.fill(0);
      this.now.set(this.cursor.at(frame));
      this.next.set(this.now);
      this.frame = frame;
      this.changed = [];
      if (frame < this.run.bins) {
        this.next.set(this.cursor.at(frame + 1));
        this.plan();
      }
    }

    // To the next frame: all planned changes are applied.
    step() {
      if (this.planned !== this.frame) {
        this.plan();
      }
      const from = this.run.framePs(this.frame);
      const bin = this.run.framePs(Math.min(this.frame + 1, this.run.bins)) - from;
      for (const cell of this.changed) {
        if (this.turned[cell]) {
          this.changedPs[cell] = from + bin * this.start[cell];
          this.changedBy[cell] = this.by[cell];
        }
        this.start[cell] = this.opens[cell] = -1;
        this.turned[cell] = 0;
      }
      this.now.set(this.next);
      this.frame++;
      this.before.push(this.changed);
      if (this.before.length > FRESH_BINS) {
        this.before.shift();
      }
      this.changed = [];
      if (this.frame < this.run.bins) {
        this.next.set(this.cursor.at(this.frame + 1));
      }
    }

    // Whether the mapping of a cell changes; its first mapping is no change.
    turns(at) {
      const { now, next } = this;
      const same = now[at + K4] === next[at + K4] && now[at + M2] === next[at + M2] && now[at + G1] === next[at + G1];
      return !same && now[at + NONE] < WHOLE;
    }

    // Computes the order of the changes in this bin.
    plan() {
      this.planned = this.frame;
      const changed = [];
      const [now, next] = [new Uint32Array(this.now.buffer), new Uint32Array(this.next.buffer)]; // two of them a cell
      for (let cell = 0; cell < this.run.cells; cell++) {
        if (now[2 * cell] !== next[2 * cell] || now[2 * cell + 1] !== next[2 * cell + 1]) {
          changed.push(cell);
          this.turned[cell] = this.turns(cell * COUNT) ? 1 : 0;
        }
      }
      this.changed = changed;
      if (changed.length) {
        this.order(changed);
      }
    }

    order(changed) {
      const { run, frame } = this;
      const from = run.framePs(frame);
      const to = run.framePs(frame + 1);
      const [before, after] = [run.splits(from), run.splits(to)];
      const byFault = after[2] - before[2] > 0;
      const byIoctl = after[0] - before[0] + after[1] - before[1] + after[3] - before[3] > 0;
      const heads = this.ways(from, to);
      const walk = this.walkOf(from, to);
      changed.forEach((cell, index) => {
        this.start[cell] = this.end[cell] = Math.max(SOON, this.spread(walk, index, changed.length));
        this.by[cell] = byFault && !byIoctl ? VCPU : byIoctl || walk.call ? IOCTL : VCPU;
        this.passedByWalk(cell, walk);
        const passed = this.passedByHead(cell, heads, byFault || !byIoctl);
        if (passed && byFault) {
          this.by[cell] = VCPU;
        }
      });
      if (byFault && walk.call && walk.b < 1) {
        this.afterCall(changed, walk.b);
      }
      this.openGigabytes(changed);
    }

    // Changes by faults in the bin of a call that caused these faults come after the call.
    afterCall(changed, ended) {
      const later = changed.filter((cell) => this.by[cell] === VCPU);
      const first = later.reduce((least, cell) => Math.min(least, this.start[cell]), 1);
      for (const cell of later) {
        const move = (part) => Math.min(1, ended + ((1 - ended) * (part - first)) / Math.max(SOON, 1 - first));
        this.end[cell] = move(Math.max(this.start[cell], this.end[cell]));
        this.start[cell] = Math.min(0.999, Math.max(SOON, move(this.start[cell])));
      }
    }

    // The part of the bin in which an ioctl runs, and the positions of its walk at both ends.
    walkOf(from, to) {
      const { run } = this;
      const call = run.calls.find((each) => each.startPs < to && each.endPs > from) || null;
      const a = call ? Math.max(0, (call.startPs - from) / (to - from)) : 0;
      const b = call ? Math.min(1, (call.endPs - from) / (to - from)) : 1;
      const first = call && run.walkAt(Math.max(from, call.startPs));
      const last = call && run.walkAt(Math.min(to - 1, call.endPs - 1));
      const straight = first && last && first.kind === last.kind && last.gfn > first.gfn;
      return { call, a, b, first: straight ? first.gfn : -1, last: straight ? last.gfn : -1 };
    }

    spread(walk, index, count) {
      return walk.a + (walk.b - walk.a) * ((index + 0.5) / count);
    }

    passedByWalk(cell, walk) {
      const gfn = this.run.firstGfn[cell];
      if (this.by[cell] === IOCTL && walk.first >= 0 && gfn >= walk.first - this.span && gfn <= walk.last) {
        const part = Math.max(0, (gfn - walk.first) / (walk.last - walk.first));
        this.start[cell] = this.end[cell] = Math.max(SOON, walk.a + (walk.b - walk.a) * part);
      }
    }

    // Progress in the bin of each vCPU that sweeps its range: first index, pages, size of the range.
    ways(from, to) {
      const { run } = this;
      const { ram } = run;
      if (!ram || !ram.sweeps || run.vcpus > MOST_HEADS) {
        return [];
      }
      const found = [];
      for (let vcpu = 0; vcpu < run.vcpus; vcpu++) {
        const [a, b] = [ram.indexOf(run.vcpuGfn(from, vcpu)), ram.indexOf(run.vcpuGfn(Math.max(from, to - 1), vcpu))];
        const { first, pages } = ram.partOf(vcpu);
        if (a >= 0 && b >= 0) {
          found.push({ first, pages, at: a - first, way: Math.max(1, (b - a + pages) % pages) });
        }
      }
      return found;
    }

    passedByHead(cell, heads, splits) {
      const index = heads.length ? this.run.ram.indexOf(this.run.firstGfn[cell]) : -1;
      if (index < 0) {
        return false;
      }
      for (const { first, pages, at, way } of heads) {
        const inside = index - first;
        if (inside + this.span <= 0 || inside >= pages) {
          continue;
        }
        // Pages from the head to the cell; a head that starts inside the cell has less than one cell to its end.
        const ahead = (inside - at + pages) % pages;
        const begins = ahead > pages - this.span ? ahead - pages : ahead;
        if (begins < way) {
          const turns = this.turned[cell] && !splits;
          this.start[cell] = turns ? this.start[cell] : Math.max(SOON, begins / way);
          this.end[cell] = Math.min(1, Math.max(this.start[cell], (begins + this.span) / way));
          return true;
        }
      }
      return false;
    }

    // A split of a 1G page creates all 2M pages at once; they are drawn outward from the position of the split.
    openGigabytes(changed) {
      const began = new Map();
      const regionOf = (cell) => Math.floor(this.run.firstGfn[cell] / S.pagesPer.gib);
      const opens = (cell) => this.now[cell * COUNT + G1] === WHOLE && this.next[cell * COUNT + G1] === 0;
      const opening = changed.filter(opens);
      for (const cell of opening) {
        const first = began.get(regionOf(cell));
        if (first === undefined || this.isEarlier(cell, first)) {
          began.set(regionOf(cell), cell);
        }
      }
      const perGib = Math.max(1, S.pagesPer.gib / this.span);
      for (const cell of opening) {
        const first = began.get(regionOf(cell));
        const begins = this.start[first];
        const wave = begins + (Math.abs(cell - first) / perGib) * Math.min(WAVE, 0.99 - begins);
        this.open(cell, Math.max(SOON, Math.min(0.999, wave)));
      }
    }

    open(cell, part) {
      const at = cell * COUNT;
      if (this.next[at + K4] === 0) {
        this.start[cell] = part;
        this.end[cell] = Math.max(this.end[cell], part);
      } else if (this.next[at + K4] === WHOLE) {
        this.opens[cell] = part;
        this.opened.fill(0, at, at + COUNT);
        this.opened[at + M2] = WHOLE;
        this.opened[at + P2] = this.by[cell] === VCPU && this.next[at + P4] > 0 ? WHOLE : this.now[at + P1];
        this.opened[at + DIRTY] = this.now[at + DIRTY];
      }
    }

    // The split begins at the first page written in this bin; the other cells of the page follow.
    isEarlier(cell, than) {
      const written = (each) => this.next[each * COUNT + K4] > 0;
      return written(cell) !== written(than) ? written(cell) : this.start[cell] < this.start[than];
    }

    // Whether a cell already shows the state of the bin's end.
    isNext(cell) {
      return this.start[cell] >= 0 && this.start[cell] <= this.part && !this.still;
    }

    // The current shares of a cell; they begin at cell * 8.
    at(cell) {
      const opened = this.opens[cell] >= 0 && this.opens[cell] <= this.part && !this.still;
      return this.isNext(cell) ? this.next : opened ? this.opened : this.now;
    }

    // Its current share of dirty pages, which rises while a vCPU passes.
    dirty(cell) {
      const at = cell * COUNT + DIRTY;
      if (!this.isNext(cell)) {
        return this.now[at];
      }
      const [a, b, start, end] = [this.now[at], this.next[at], this.start[cell], this.end[cell]];
      const part = end > start ? Math.min(1, (this.part - start) / (end - start)) : 1;
      const share = Math.round(a + (b - a) * part);
      return part < 1 && b > a ? Math.max(share, Math.min(a + 1, b)) : share;
    }

    // Whether all its bits are set by initially-all-set, written or not.
    unarmed(cell) {
      return this.dirty(cell) === WHOLE && S.neverCleared(this.run, cell, this.frame + (this.isNext(cell) ? 1 : 0));
    }

    // Steps since the cell's mapping changed: 1 to 3, 0 for long ago. `freshPs`: time for which a change counts as new.
    freshness(cell, freshPs) {
      const begins = this.isNext(cell) && this.turned[cell] ? this.startPs(cell) : this.changedPs[cell];
      const age = (this.ps - begins) / freshPs;
      return age >= 0 && age < 1 && !this.still ? 1 + Math.floor(age * 3) : 0;
    }

    startPs(cell) {
      const from = this.run.framePs(this.frame);
      return from + (this.run.framePs(this.frame + 1) - from) * this.start[cell];
    }

    freshBy(cell) {
      return this.isNext(cell) && this.turned[cell] ? this.by[cell] : this.changedBy[cell];
    }

    // Elapsed share of the time for which a change counts as new, at most 1.
    freshPart(cell, freshPs) {
      const begins = this.isNext(cell) && this.turned[cell] ? this.startPs(cell) : this.changedPs[cell];
      return Math.min(1, Math.max(0, (this.ps - begins) / freshPs));
    }
  };

  // Time for which a change counts as new, ps: 0.28 s of playback, at least a quarter of a bin, at most six bins.
  S.freshPs = function (run, psPerSecond) {
    return Math.max(run.binPs / 4, Math.min(FRESH_BINS * run.binPs, 0.28 * (psPerSecond || run.binPs * 8)));
  };
})();
