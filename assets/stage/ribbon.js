// The ribbons above the scrubber: shares of the vCPUs' time in each run, with the ioctls on top and a playhead.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const FUTURE = 0.3;
  const FUTURE_CALL = 0.5;
  const KNOB = 6.5;
  const LEAST_NAME_PX = 10;
  const SIGN = 12;
  const RIGHT = 10;
  const REACH = 5;
  const OVER = 3;
  const DOT = 4.5;

  // Shares of [from, to) of all vCPUs: stalled, slower, running; the rest was idle.
  function sharesOf(run, idle, from, to) {
    const span = to - from;
    const stalled = (run.stallPs(to) - run.stallPs(from)) / span;
    const slower = (run.slowPs(to) - run.slowPs(from)) / span;
    const away = (idle(to) - idle(from)) / span;
    const inside = (share) => Math.max(0, Math.min(1, share));
    const running = inside(1 - stalled - slower - away);
    return { stalled: inside(stalled), slower: inside(Math.min(slower, 1 - stalled)), running };
  }

  // The time up to an instant in which the vCPUs neither ran nor stalled: the rest of their shares in each bin.
  function idleOf(run) {
    const sums = new Float64Array(run.bins + 1);
    const out = new Float64Array(4);
    // Shares are rounded to 1/255, so a small rest may be a rounding error.
    const grain = 4 / 255;
    for (let bin = 0; bin < run.bins; bin += 1) {
      let busy = 0;
      for (let vcpu = 0; vcpu < run.vcpus; vcpu += 1) {
        run.vcpuShares(bin, vcpu, out);
        busy += out[0] + out[1] + out[2] + out[3];
      }
      const left = 1 - busy / run.vcpus;
      const width = Math.min(run.binPs, run.endPs - bin * run.binPs);
      sums[bin + 1] = sums[bin] + (left > grain ? left * width : 0);
    }
    return function (ps) {
      const at = Math.max(0, Math.min(ps, run.endPs));
      const bin = Math.min(run.bins - 1, Math.floor(at / run.binPs));
      const width = Math.min(run.binPs, run.endPs - bin * run.binPs) || 1;
      return sums[bin] + ((sums[bin + 1] - sums[bin]) * (at - bin * run.binPs)) / width;
    };
  }

  const MOST_LETTERS = 16; // of a run's name

  class Ribbon {
    // options: presenter: larger type; scale: factor of the type size.
    constructor(canvas, runs, options = {}) {
      this.canvas = canvas;
      this.ctx = canvas.getContext("2d");
      this.runs = runs;
      this.options = options;
      this.endPs = Math.max(...runs.map((run) => run.endPs));
      this.idle = runs.map(idleOf);
      this.ribbons = document.createElement("canvas");
      this.bars = document.createElement("canvas");
      this.labelLayer = document.createElement("canvas");
      this.labels = [];
      this.dots = [];
      this.hairs = []; // for each run, times that are marked by a hairline
      this.groups = runs.map(() => []);
      this.loop = null;
      this.axis = null;
      this.resize();
    }

    // After a change of size, theme or type.
    resize() {
      const { canvas } = this;
      const presenter = this.options.presenter ?? document.body.classList.contains("presenter");
      const scale = this.options.scale ?? (Number(getComputedStyle(canvas).getPropertyValue("--k")) || 1);
      this.dpr = window.devicePixelRatio || 1;
      this.width = canvas.clientWidth;
      this.height = canvas.clientHeight;
      for (const each of [canvas, this.ribbons, this.bars, this.labelLayer]) {
        each.width = Math.max(1, Math.round(this.width * this.dpr));
        each.height = Math.max(1, Math.round(this.height * this.dpr));
      }
      this.colours = S.tokens();
      this.px = presenter ? 16 : Math.round(13 * scale);
      this.drawn = null; // how, and with which playheads, the canvas is drawn
      this.layOut(presenter);
      if (this.width > this.left + 20) {
        this.runs.forEach((run, row) => this.paintRibbon(run, row));
        this.runs.forEach((run, row) => this.paintBars(run, row));
        this.paintLabels();
      }
    }

    layOut(presenter) {
      const { ctx } = this;
      const tight = this.height < 30 * this.runs.length;
      const gap = tight ? 2 : 3;
      const bar = tight ? 3 : 5;
      const pitchBelow = (top) => (this.height - top - 2 * KNOB + 1 + gap) / this.runs.length;
      this.namePx = presenter ? this.px : Math.min(this.px, Math.max(LEAST_NAME_PX, Math.floor(pitchBelow(2))));
      ctx.font = S.chartFont(this.namePx, 650);
      const most = Math.max(0.3 * this.width, MOST_LETTERS * 0.62 * this.px);
      this.rowNames = this.runs.map((run) => S.fitText(ctx, run.label, most));
      const widest = Math.max(...this.rowNames.map((name) => ctx.measureText(name).width));
      // The line of phases above has the name of a run and a sign in the same width.
      const sign = this.namePx < this.px && this.hairs.some(({ length }) => length > 0) ? SIGN : 0;
      this.left = Math.ceil(widest) + 10 + sign;
      // If the runs' names would touch, the names of ioctls are left out.
      this.hasIoctlNames = pitchBelow(this.px + 2) >= this.px - 1;
      this.top = this.hasIoctlNames ? this.px + 2 : 2;
      const pitch = pitchBelow(this.top);
      this.rows = this.runs.map((_, row) => {
        const top = Math.round(this.top + row * pitch);
        const bottom = Math.round(this.top + (row + 1) * pitch) - gap;
        return { bar: top, barHigh: bar, y: top + bar + 1, high: Math.max(3, bottom - top - bar - 1) };
      });
    }

    xAt(ps) {
      return this.left + ((this.width - RIGHT - this.left) * ps) / this.endPs;
    }

    psAt(x) {
      const share = (x - this.left) / (this.width - RIGHT - this.left);
      return this.endPs * Math.max(0, Math.min(1, share));
    }

    // The run whose row is nearest to a height.
    rowAt(y) {
      const away = this.rows.map(({ bar, y: top, high }) => Math.max(bar - y, y - top - high, 0));
      return away.indexOf(Math.min(...away));
    }

    // The call whose name is there, {run, startPs}, or null.
    namedAt(x, y) {
      const found = this.labels.find((each) => each.names && x >= each.x && x <= each.x + each.width
        && y >= each.y && y <= each.y + each.height);
      return found?.names ?? null;
    }

    // The calls whose bar is at a point or within a few pixels: {run, calls}, or null.
    callsAt(x, y) {
      let found = null;
      let nearest = REACH;
      this.rows.forEach(({ bar, barHigh }, run) => {
        if (y < bar - OVER || y > bar + barHigh + OVER) {
          return;
        }
        for (const group of this.groups[run]) {
          const away = Math.max(group.x - x, x - group.x - group.width, 0);
          if (away < nearest) {
            nearest = away;
            found = { run, calls: group.calls };
          }
        }
      });
      return found;
    }

    paintRibbon(run, row) {
      const { dpr, colours } = this;
      const ctx = this.ribbons.getContext("2d");
      const top = Math.round(this.rows[row].y * dpr);
      const high = Math.round(this.rows[row].high * dpr);
      const first = Math.round(this.left * dpr);
      const last = Math.max(first + 1, Math.round(this.xAt(run.endPs) * dpr));
      const perPixel = run.endPs / (last - first);
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.fillStyle = colours.hair;
      ctx.fillRect(first, top, Math.round((this.width - RIGHT) * dpr) - first, high);
      for (let x = 0; x < last - first; x += 1) {
        const shares = sharesOf(run, this.idle[row], x * perPixel, (x + 1) * perPixel);
        const stalled = Math.round(shares.stalled * high);
        const running = Math.round(shares.running * high);
        const slower = Math.min(Math.round(shares.slower * high), high - stalled - running);
        const free = high - stalled - running - slower > 1 ? 0 : high - stalled - running;
        ctx.fillStyle = colours.slowf;
        ctx.fillRect(first + x, top + high - running - (free || slower), 1, free || slower);
        ctx.fillStyle = colours.runf;
        ctx.fillRect(first + x, top + high - running, 1, running);
        ctx.fillStyle = colours.panel;
        ctx.fillRect(first + x, top + stalled, 1, stalled && stalled < high ? Math.ceil(dpr) : 0);
        ctx.fillStyle = colours.stall;
        ctx.fillRect(first + x, top, 1, stalled);
      }
    }

    // One bar for each call that is separate from its neighbours, and a notched bar for a group.
    paintBars(run, row) {
      const ctx = this.bars.getContext("2d");
      const { bar, barHigh } = this.rows[row];
      ctx.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
      this.groups[row] = S.callGroups(this, run);
      for (const { x, width, calls } of this.groups[row]) {
        ctx.fillStyle = this.colours.ioctl;
        ctx.fillRect(x, bar, width, barHigh);
        ctx.fillStyle = this.colours.panel;
        const notches = calls.length > 1 ? Math.min(calls.length, Math.floor(width / 4)) : 0;
        for (let notch = 1; notch < notches; notch += 1) {
          ctx.fillRect(x + (notch * width) / notches - 0.5, bar, 1, barHigh - 2);
        }
      }
    }

    paintLabels() {
      const ctx = this.labelLayer.getContext("2d");
      ctx.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
      ctx.textBaseline = "middle";
      this.labels = this.rowNames.map((text, row) => {
        const { bar, y, high } = this.rows[row];
        const centre = this.rows.length > 2 || !this.hasIoctlNames ? (bar + y + high) / 2 : y + high / 2;
        return { text, x: 0, centre, tone: "ink", weight: 650, px: this.namePx };
      });
      if (this.hasIoctlNames) {
        this.labels.push(...S.ribbonLabels(this, ctx));
      }
      ctx.fillStyle = this.colours.ink;
      this.hairs.forEach((times, row) => {
        const { y, high } = this.rows[row];
        times.forEach((ps) => ctx.fillRect(Math.round(this.xAt(ps) * this.dpr) / this.dpr - 0.5, y, 1, high));
      });
      for (const label of this.labels) {
        ctx.font = S.chartFont(label.px ?? this.px, label.weight);
        ctx.fillStyle = this.colours[label.tone];
        ctx.fillText(label.text, label.x, label.centre);
        label.width = ctx.measureText(label.text).width;
        label.height = Math.min(this.px, this.rows[0].high + this.rows[0].barHigh + 2);
        label.y = label.centre - label.height / 2;
      }
    }

    // Draws the ribbons at a time: between two positions of the playhead only what is around them, and nothing if it stays.
    draw(ps) {
      if (this.width <= this.left + 20) {
        this.ctx.setTransform(1, 0, 0, 1, 0, 0);
        this.ctx.clearRect(0, 0, this.canvas.width, this.canvas.height);
        return;
      }
      const xs = this.rows.map((_, row) => Math.round(this.xAt(Math.max(0, Math.min(S.timeOf(row, ps), this.endPs))) * this.dpr));
      const look = [this.loop, this.axis?.aligned, this.dots.length, Boolean(S.times)].join();
      const before = this.drawn?.look === look ? this.drawn.xs : null;
      if (before?.every((x, row) => x === xs[row])) {
        return;
      }
      this.drawn = { look, xs };
      const reach = Math.ceil((KNOB + 3) * this.dpr);
      const all = before ? [...before, ...xs] : [];
      const from = before ? Math.min(...all) - reach : 0;
      this.drawPart(xs, from, before ? Math.max(...all) + reach : this.canvas.width);
    }

    // The part of the ribbons from one column of pixels to another; `xs` are the playheads, device pixels.
    drawPart(xs, from, to) {
      const { ctx, dpr, canvas } = this;
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.save();
      ctx.beginPath();
      ctx.rect(from, 0, to - from, canvas.height);
      ctx.clip();
      ctx.clearRect(from, 0, to - from, canvas.height);
      xs.forEach((x, row) => this.drawRow(row, x));
      ctx.drawImage(this.labelLayer, 0, 0);
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.dots.forEach((dot) => this.drawDot(dot));
      this.drawLoop();
      if (S.times) {
        xs.forEach((x, row) => this.drawOwnPlayhead(x / dpr, this.rows[row]));
      } else {
        this.drawPlayhead(xs[0] / dpr);
      }
      ctx.restore();
    }

    // The ribbon of a run before and after the playhead.
    drawRow(row, cut) {
      const { bar, y, high } = this.rows[row];
      const top = Math.floor((bar - 1) * this.dpr);
      const tall = Math.ceil((y + high + 1) * this.dpr) - top;
      this.part(this.ribbons, cut, FUTURE, top, tall);
      this.part(this.bars, cut, FUTURE_CALL, top, tall);
    }

    // The loop, with its first and last moment.
    drawLoop() {
      const { ctx, colours, loop, axis } = this;
      if (!loop) {
        return;
      }
      this.rows.forEach(({ bar, y, high }, row) => {
        const [from, to] = loop.map((at) => this.xAt(axis ? axis.timeOf(row, at) : at));
        const last = row === this.rows.length - 1;
        const below = last ? this.height - 1 : y + high + 2;
        ctx.fillStyle = colours.ink;
        ctx.fillRect(from - 1, bar - 1, 2, below - bar);
        ctx.fillRect(to - 1, bar - 1, 2, below - bar);
        if (last) {
          ctx.fillRect(from, this.height - 4, Math.max(2, to - from), 3);
        }
      });
    }

    part(layer, cut, alpha, top, tall) {
      const { ctx, canvas } = this;
      if (cut > 0) {
        ctx.drawImage(layer, 0, top, cut, tall, 0, top, cut, tall);
      }
      if (cut < canvas.width) {
        ctx.globalAlpha = alpha;
        ctx.drawImage(layer, cut, top, canvas.width - cut, tall, cut, top, canvas.width - cut, tall);
        ctx.globalAlpha = 1;
      }
    }

    // A time after the end of the runs is at the right edge.
    dotX({ ps }) {
      return Math.min(this.xAt(ps), this.width - DOT - 1);
    }

    // The end that a call would have by a published measurement.
    drawDot(dot) {
      const { ctx, colours } = this;
      const { bar, barHigh } = this.rows[dot.run];
      const [x, y] = [this.dotX(dot), bar + barHigh / 2];
      ctx.beginPath();
      ctx.moveTo(x, y - DOT);
      ctx.lineTo(x + DOT, y);
      ctx.lineTo(x, y + DOT);
      ctx.lineTo(x - DOT, y);
      ctx.closePath();
      ctx.fillStyle = colours.panel;
      ctx.fill();
      ctx.lineWidth = 2;
      ctx.strokeStyle = colours.ink;
      ctx.stroke();
    }

    // The position of a run that has its own time.
    drawOwnPlayhead(x, { bar, y, high }) {
      const { ctx, colours } = this;
      ctx.fillStyle = colours.panel;
      ctx.fillRect(x - 3.5, bar - 2, 7, y + high - bar + 4);
      ctx.fillStyle = colours.ink;
      ctx.fillRect(x - 2, bar - 2, 4, y + high - bar + 4);
    }

    drawPlayhead(x) {
      const { ctx, colours } = this;
      ctx.fillStyle = colours.panel;
      ctx.fillRect(x - 2.25, this.top - 1, 4.5, this.height - this.top - KNOB);
      ctx.fillStyle = colours.ink;
      ctx.fillRect(x - 1.25, this.top - 1, 2.5, this.height - this.top - KNOB);
      ctx.beginPath();
      ctx.arc(x, this.height - KNOB - 1, KNOB, 0, 2 * Math.PI);
      ctx.fill();
      ctx.lineWidth = 2;
      ctx.strokeStyle = colours.panel;
      ctx.stroke();
    }
  }

  S.Ribbon = Ribbon;
})();
