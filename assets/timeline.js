// The clock that both panes share: the same as mmuviz/recording/timeline.py.
//
// An access takes as many ticks as the pane with more events has rows for it, and at least one. Accesses without events
// are not stored: only those between them are counted.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  // The last index of [first, stop) that fits, or first - 1: those that fit come first.
  function lastThat(fits, first, stop) {
    let [low, high] = [first, stop];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (fits(middle)) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low - 1;
  }

  function sums(values) {
    const column = new Float64Array(values.length + 1);
    values.forEach((value, at) => { column[at + 1] = column[at] + value; });
    return column;
  }

  class Timeline {
    constructor({ header, panes }) {
      this.ops = header.ops;
      this.recordings = panes.map((pane) => pane.recording);
      this.touches = this.recordings[0].touches;
      this.firstTouch = this.recordings[0].op_columns.first_touch;
      this.accessesBefore = sums(this.touches.accesses);
      this.secondsBefore = sums(this.ops.map((op) => op.seconds));
      this.opTick = new Float64Array(this.ops.length + 1);
      this.opEvent = new Int32Array(this.ops.length + 1);
      this.layOut();
    }

    // An event here is an access that has rows in either pane: `access`, ticks done before it, rows of each pane before it.
    layOut() {
      const most = this.recordings.reduce((sum, recording) => sum + countAccesses(recording), 0);
      const rows = [0, 1].map(() => new Int32Array(most + 1));
      const laid = { access: new Int32Array(most), tick: new Float64Array(most), rows };
      let count = 0;
      for (let op = 0; op < this.ops.length; op += 1) {
        this.opEvent[op] = count;
        count = this.layOutOp(op, laid, count);
      }
      this.opEvent[this.ops.length] = count;
      this.recordings.forEach(({ runs }, pane) => { laid.rows[pane][count] = runs.kind.length; });
      this.access = laid.access.slice(0, count);
      this.tick = laid.tick.slice(0, count);
      this.rows = laid.rows.map((column) => column.slice(0, count + 1));
    }

    layOutOp(op, { access, tick, rows }, from) {
      const [left, right] = this.recordings.map(({ runs }) => runs.access);
      const [stopLeft, stopRight] = this.recordings.map(({ op_columns: columns }) => columns.first_run[op + 1]);
      let [atLeft, atRight] = this.recordings.map(({ op_columns: columns }) => columns.first_run[op]);
      let count = from;
      // Ticks that this op's events have taken beyond the one that every access takes.
      let extra = this.opTick[op];
      while (atLeft < stopLeft || atRight < stopRight) {
        const here = Math.min(atLeft < stopLeft ? left[atLeft] : Infinity, atRight < stopRight ? right[atRight] : Infinity);
        access[count] = here;
        tick[count] = extra + here;
        rows[0][count] = atLeft;
        rows[1][count] = atRight;
        while (atLeft < stopLeft && left[atLeft] === here) {
          atLeft += 1;
        }
        while (atRight < stopRight && right[atRight] === here) {
          atRight += 1;
        }
        extra += Math.max(atLeft - rows[0][count], atRight - rows[1][count]) - 1;
        count += 1;
      }
      this.opTick[op + 1] = extra + this.accessesOf(op);
      return count;
    }

    accessesOf(op) {
      const made = this.accessesBefore[this.firstTouch[op + 1]] - this.accessesBefore[this.firstTouch[op]];
      return Math.max(1, made);
    }

    get total() {
      return this.opTick[this.ops.length];
    }

    // Of the whole story at speed 1.
    get seconds() {
      return this.secondsBefore[this.ops.length];
    }

    ticksOf(event) {
      return Math.max(this.rows[0][event + 1] - this.rows[0][event], this.rows[1][event + 1] - this.rows[1][event]);
    }

    // The tick that was done last: its op, access, number inside the access and the access's ticks; `event` is the last
    // access with events that began before it, `within` says whether the tick belongs to that one.
    find(t) {
      const tick = Math.max(1, t);
      const op = lastThat((at) => this.opTick[at] < tick, 1, this.ops.length);
      const event = lastThat((at) => this.tick[at] < tick, this.opEvent[op], this.opEvent[op + 1]);
      if (event < this.opEvent[op]) {
        return { op, event, within: false, access: tick - this.opTick[op] - 1, k: t ? 1 : 0, ticks: 1 };
      }
      const ticks = this.ticksOf(event);
      const k = tick - this.tick[event];
      if (k <= ticks) {
        return { op, event, within: true, access: this.access[event], k: t ? k : 0, ticks };
      }
      return { op, event, within: false, access: this.access[event] + k - ticks, k: 1, ticks: 1 };
    }

    place(t) {
      const { op, access, k, ticks } = this.find(t);
      return { op, access, k, ticks, opDone: t === this.opTick[op + 1] };
    }

    // Rows of the pane's event log that are done.
    cursor(t, pane) {
      const { op, event, within, k } = this.find(t);
      const rows = this.rows[pane];
      if (within) {
        return Math.min(rows[event] + k, rows[event + 1]);
      }
      return event < this.opEvent[op] ? this.recordings[pane].op_columns.first_run[op] : rows[event + 1];
    }

    // The row of the event that tick t did in a pane, or -1.
    rowAt(t, pane) {
      const { event, within, k } = this.find(t);
      const row = within && k > 0 ? this.rows[pane][event] + k - 1 : -1;
      return row >= 0 && row < this.rows[pane][event + 1] ? row : -1;
    }

    // What tick t was in a pane: an event; quiet, an access without any; or a wait for the other pane.
    why(t, pane) {
      const { event, within, k } = this.find(t);
      if (!within || k === 0) {
        return "quiet";
      }
      const rows = this.rows[pane][event + 1] - this.rows[pane][event];
      if (k <= rows) {
        return "event";
      }
      return rows === 0 && k === 1 ? "quiet" : "waits";
    }

    nextAccess(t) {
      if (t >= this.total) {
        return this.total;
      }
      const { k, ticks } = this.find(t + 1);
      return t + 1 + ticks - k;
    }

    backAccess(t) {
      return t - this.find(t).k;
    }

    nextOp(t) {
      return t >= this.total ? this.total : this.opTick[this.find(t + 1).op + 1];
    }

    backOp(t) {
      return t === 0 ? 0 : this.opTick[this.find(t).op];
    }

    // Seconds into the story at speed 1.
    xAt(t) {
      const { op } = this.find(t);
      const share = (t - this.opTick[op]) / (this.opTick[op + 1] - this.opTick[op]);
      return this.secondsBefore[op] + this.ops[op].seconds * share;
    }

    // The last tick that is done at x seconds.
    tickAtX(x) {
      if (x >= this.seconds) {
        return this.total;
      }
      const op = Math.max(0, lastThat((at) => this.secondsBefore[at] <= x, 0, this.ops.length));
      const share = Math.max(0, x - this.secondsBefore[op]) / this.ops[op].seconds;
      let t = this.opTick[op] + Math.floor(share * (this.opTick[op + 1] - this.opTick[op]));
      // A quotient is rounded: it may lie one tick off what xAt() says.
      while (t < this.total && this.xAt(t + 1) <= x) {
        t += 1;
      }
      while (t > 0 && this.xAt(t) > x) {
        t -= 1;
      }
      return t;
    }

    // The page that an access touches, counted from the slot's start; -1 where the op makes none.
    pageOf(op, access) {
      const [first, stop] = [this.firstTouch[op], this.firstTouch[op + 1]];
      if (first === stop) {
        return -1;
      }
      const at = this.accessesBefore[first] + access;
      const row = lastThat((index) => this.accessesBefore[index] <= at, first, stop);
      return this.touches.page[row] + this.touches.stride[row] * (at - this.accessesBefore[row]);
    }

    vcpuOf(op, access) {
      const { config, ops } = this.recordings[0];
      return ops[op].kind === "parallel_write" ? access % config.vcpus : ops[op].fields.vcpu || 0;
    }
  }

  // Accesses of a recording that have rows.
  function countAccesses({ runs, op_columns: columns }) {
    let count = 0;
    for (let op = 0; op + 1 < columns.first_run.length; op += 1) {
      let last = -1;
      for (let row = columns.first_run[op]; row < columns.first_run[op + 1]; row += 1) {
        count += runs.access[row] === last ? 0 : 1;
        last = runs.access[row];
      }
    }
    return count;
  }

  window.mmuviz.Timeline = Timeline;
})();
