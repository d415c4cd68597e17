// A chart over time on a canvas: one measure of all runs, drawn up to now, with the current values at the lines' ends.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // A value's text is the one that its pane has.
  const MEASURES = {
    stall: {
      description: "Stall per vCPU",
      colour: "stall",
      units: () => S.TIME_UNITS,
      of: (run, ps) => run.stallPs(ps),
      textOf: (run, ps, runs) => S.paneTime("stall", run, runs, ps),
      nothing: 1e9,
    },
    tables: {
      description: "Page tables added",
      colour: "map",
      units: () => S.SIZE_UNITS,
      binary: true,
      steps: true,
      of: (run, ps) => run.tablesAdded(ps),
      textOf: (run, ps) => S.bytesText(run.tablesAdded(ps)),
      nothing: 2 ** 20,
    },
  };
  // Above the highest line there is room for its label.
  const LEAST_END_PX = { plain: 12, presenter: 16 };
  // Share of the plot that a label may have: with the playhead in the middle half of it; larger type may go over the line.
  const MOST_END_SHARE = 0.85;
  const END_SHARE = { plain: 0.5, presenter: MOST_END_SHARE };
  const LABEL_ROOM = 1.6;
  const MOST_ROOM = 0.4;
  // Farthest position of a dot beyond the end of the run.
  const DOT_AT = 0.97;

  class Chart {
    // options: measure "stall" or "tables"; future: whether the part after the playhead is drawn; presenter: larger type.
    constructor(canvas, runs, options) {
      this.canvas = canvas;
      this.ctx = canvas.getContext("2d");
      this.runs = runs;
      this.options = options;
      this.measure = MEASURES[options.measure];
      this.future = options.future !== false;
      this.windowAt = S.axisWindow(runs);
      this.lines = runs.map((run) => S.lineOf(run, this.measure.of, this.measure.steps));
      this.past = document.createElement("canvas");
      this.ahead = document.createElement("canvas");
      this.names = new Map();
      this.unit = "";
      this.labels = [];
      this.ends = [];
      this.dots = [];
      this.resize();
    }

    // Published values, [{ps, value}]: the axes include them; the code that sets them draws them. `latest` is the last time of
    // all charts' values, so that the charts have one time axis.
    setDots(dots, latest) {
      this.dots = dots;
      this.windowAt = S.axisWindow(this.runs, latest / DOT_AT);
      this.seen = null;
    }

    // Their positions at the last draw: [{x, y, inside}].
    dotPlaces() {
      const visible = this.width >= 40 && this.height >= 40;
      return this.dots.map(({ ps, value }) => ({
        x: this.xAt(ps), y: this.yAt(value), inside: visible && ps >= this.from && ps <= this.to,
      }));
    }

    get title() {
      return this.measure.description;
    }

    // After a change of size, theme or type.
    resize() {
      const { canvas } = this;
      const presenter = this.options.presenter ?? document.body.classList.contains("presenter");
      const scale = this.options.scale ?? (Number(getComputedStyle(canvas).getPropertyValue("--k")) || 1);
      this.dpr = window.devicePixelRatio || 1;
      this.width = canvas.clientWidth;
      this.height = canvas.clientHeight;
      for (const each of [canvas, this.past, this.ahead]) {
        each.width = Math.max(1, Math.round(this.width * this.dpr));
        each.height = Math.max(1, Math.round(this.height * this.dpr));
      }
      this.colours = S.tokens();
      this.tickPx = presenter ? 16 : Math.round(12 * scale);
      this.endPx = presenter ? 20 : Math.round((this.width < 300 ? 14 : 16) * scale);
      this.stroke = presenter ? 4 : Math.round(3 * scale);
      this.plot = {
        left: presenter ? 42 : Math.round(32 * scale),
        right: this.width - 8,
        top: 4,
        bottom: this.height - this.tickPx - 8,
      };
      const room = (this.plot.bottom - this.plot.top) / this.runs.length - 2;
      this.endPx = Math.max(10, Math.min(this.endPx, Math.floor(room)));
      const type = presenter ? "presenter" : "plain";
      while (this.endPx > LEAST_END_PX[type] && this.widestEnd() > END_SHARE[type] * (this.plot.right - this.plot.left)) {
        this.endPx -= 1;
      }
      this.names.clear();
      this.seen = null;
    }

    // The part after the playhead is a dotted line, or hidden.
    showFuture(shown) {
      this.future = shown;
      this.seen = null;
    }

    xAt(ps) {
      const { left, right } = this.plot;
      return left + ((right - left) * (ps - this.from)) / (this.to - this.from);
    }

    yAt(value) {
      const { top, bottom } = this.plot;
      return bottom - ((bottom - top) * (value - this.least)) / (this.most - this.least);
    }

    // Draws the chart at a time; nothing if no pixel would change.
    draw(ps) {
      if (this.width < 40 || this.height < 40) {
        this.labels = [];
      } else if (S.times) {
        S.drawChartAtTimes(this, ps, S.times);
      } else {
        this.drawAt(ps);
      }
      this.after?.();
    }

    drawAt(ps) {
      const { from, to } = this.windowAt(ps);
      const window_ = `${from} ${to}`;
      const moves = window_ !== this.seen;
      if (moves) {
        this.seen = window_;
        this.layered = false;
        this.setAxes(from, to);
      }
      const cut = Math.round(this.placeNow(ps, from, to) * this.dpr) / this.dpr;
      this.placeLabels(ps, cut);
      const key = [cut, ...this.ends.map(({ y }) => Math.round(4 * y)), ...this.labels.map(({ text, x }) => text + Math.round(4 * x))].join();
      if (moves || key !== this.drawnAs) {
        this.drawnAs = key;
        this.drawNow(cut, moves);
      }
    }

    drawNow(cut, moves) {
      if (moves) {
        this.paintAll(cut); // while the window moves, no layer could be reused
      } else {
        this.layer();
        this.compose(cut);
      }
      this.drawPlayhead(cut);
      this.drawEnds();
    }

    placeNow(ps, from, to) {
      const { left, right } = this.plot;
      return Math.max(left, Math.min(left + ((right - left) * (ps - from)) / (to - from), right));
    }

    paintAll(cut) {
      const { ctx } = this;
      ctx.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
      ctx.clearRect(0, 0, this.width, this.height);
      S.paintChartAxes(this, ctx);
      S.paintChart(this, ctx, true, this.plot.left - 2, cut);
      S.paintChart(this, ctx, false, cut, this.plot.right + 2);
    }

    // Two layers: the chart before the playhead, and after it.
    layer() {
      if (this.layered) {
        return;
      }
      this.layered = true;
      for (const layer of [this.past, this.ahead]) {
        const ctx = layer.getContext("2d");
        ctx.setTransform(this.dpr, 0, 0, this.dpr, 0, 0);
        ctx.clearRect(0, 0, this.width, this.height);
        S.paintChartAxes(this, ctx);
        S.paintChart(this, ctx, layer === this.past, this.plot.left - 2, this.plot.right + 2);
      }
    }

    setAxes(from, to) {
      this.from = from;
      this.to = to;
      const seen = this.dots.filter(({ ps }) => ps <= to).map(({ value }) => value);
      const most = Math.max(...this.lines.map((line) => S.lineAt(line, line.most, to)), ...seen);
      const high = this.plot.bottom - this.plot.top;
      const room = Math.min(MOST_ROOM, (LABEL_ROOM * this.endPx) / high);
      // Page tables can shrink below their initial size; the axis begins at the lowest value.
      this.least = Math.min(0, ...this.lines.map((line) => S.lineAt(line, line.least, to)));
      this.most = this.least + ((most - this.least) / (1 - room) || this.measure.nothing);
      this.valueUnit = S.axisUnit(Math.max(this.most, -this.least), this.measure.units());
      this.timeUnit = S.axisUnit(to, S.TIME_UNITS);
      this.unit = this.valueUnit[0];
    }

    compose(cut) {
      const { ctx, dpr, canvas } = this;
      const x = Math.round(cut * dpr);
      const rest = canvas.width - x;
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.drawImage(this.past, 0, 0, x, canvas.height, 0, 0, x, canvas.height);
      if (rest > 0) {
        ctx.drawImage(this.ahead, x, 0, rest, canvas.height, x, 0, rest, canvas.height);
      }
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    }

    drawPlayhead(cut) {
      const { ctx, plot } = this;
      ctx.globalAlpha = 0.35;
      ctx.fillStyle = this.colours.ink;
      ctx.fillRect(cut - 0.5, plot.top, 1, plot.bottom - plot.top);
      ctx.globalAlpha = 1;
    }

    // The lines' ends at a time, at x = `at`, and their labels. With `times`, each run has its own time and place.
    placeLabels(ps, at, times = null) {
      const timeOf = (run) => times?.[run] ?? ps;
      const nows = this.runs.map((run, i) => this.measure.of(run, Math.min(timeOf(i), run.endPs)));
      this.ends = nows.map((value, run) => {
        const text = this.measure.textOf(this.runs[run], S.readAt(run, timeOf(run)), this.runs);
        return { run, value, text, x: times ? this.xAt(timeOf(run)) : at, y: this.yAt(value) };
      });
      this.placed = S.endLabels(this.ends, this.runs);
      this.placed.forEach((label) => this.measureEnd(label));
      const box = { left: this.plot.left, right: this.width - 2, top: 0, bottom: this.plot.bottom + 1 };
      S.placeEnds(this.placed, at, box, this.endPx);
      this.labels = this.placed.map(({ name, text, x, centre, width }) => ({
        text: `${name} ${text}`,
        x,
        y: centre - this.endPx / 2,
        width,
        height: this.endPx,
      }));
    }

    drawEnds() {
      this.placed.forEach((label) => this.drawText(label));
      const colour = this.colours[this.measure.colour];
      for (const { run, x, y } of this.ends.slice().reverse()) {
        S.drawEndDot(this.ctx, run, x, y, this.stroke * 1.5, colour, this.colours.ground);
      }
    }

    widestEnd() {
      this.ctx.font = S.chartFont(this.endPx, 750);
      return Math.max(...this.runs.map(({ label }) => this.ctx.measureText(`${label} 00.0 MiB`).width));
    }

    measureEnd(label) {
      const { ctx } = this;
      ctx.font = S.chartFont(this.endPx, 750);
      const valueWidth = ctx.measureText(label.text).width;
      // Names are cut by the widest possible value, so that they do not change during playback.
      if (!this.names.has(label.name)) {
        const most = MOST_END_SHARE * (this.plot.right - this.plot.left) - ctx.measureText("00.0 MiB").width;
        ctx.font = S.chartFont(this.endPx, 500);
        const text = S.fitText(ctx, label.name, Math.max(24, most));
        this.names.set(label.name, { text, width: ctx.measureText(`${text} `).width });
      }
      const { text, width } = this.names.get(label.name);
      label.name = text;
      label.nameWidth = width;
      label.width = width + valueWidth;
    }

    drawText({ name, text, x, centre, nameWidth }) {
      const { ctx } = this;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.lineJoin = "round";
      ctx.lineWidth = 5;
      ctx.setLineDash([]);
      ctx.strokeStyle = this.colours.ground;
      ctx.font = S.chartFont(this.endPx, 500);
      ctx.strokeText(name, x, centre);
      ctx.fillStyle = this.colours.ink;
      ctx.fillText(name, x, centre);
      ctx.font = S.chartFont(this.endPx, 750);
      ctx.strokeText(text, x + nameWidth, centre);
      ctx.fillStyle = this.colours[this.measure.colour];
      ctx.fillText(text, x + nameWidth, centre);
    }

    // The values as a sentence, for screen readers.
    describe(ps) {
      const ends = this.runs.map((run, i) => `${run.label} ${this.measure.textOf(run, S.timeOf(i, ps), this.runs)}`);
      return `${this.measure.description} at ${S.timeText(ps)}: ${ends.join(", ")}`;
    }
  }

  S.Chart = Chart;
})();
