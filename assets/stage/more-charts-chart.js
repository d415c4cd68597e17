// A chart of a measure: a Plotly figure, under a canvas with the moving parts: the veil, the time, the lines' ends.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // The part after the playhead is visible through the veil, or hidden.
  const VEIL = { shown: 0.8, hidden: 1 };
  const BESIDE = 6;
  const UNIT_TEXTS = {
    k: "thousands", M: "millions", G: "billions", "k/s": "thousands a second", "M/s": "millions a second", "G/s": "billions a second",
    "/s": "a second",
  };

  class MoreChart {
    // `options`: act(name, measure) for its button, seek(ps) for a click.
    constructor(measure, runs, { table, seek }) {
      Object.assign(this, { measure, runs });
      this.lines = runs.map((run) => S.moreLine(run, measure));
      this.end = Math.max(...runs.map((run) => run.endPs));
      this.findAlso();
      this.shownRuns = runs.map((run, index) => ({ run, index })).filter(({ run }) => measure.has(run));
      this.drawn = null;
      this.widths = new Map();
      this.make(table, seek);
    }

    // Lines of another measure on the same axes: {line, index of the run}.
    findAlso() {
      const { also } = this.measure;
      this.also = this.runs.flatMap((run, index) => (also?.has(run) ? [{ line: S.lineOf(run, also.of), index, run }] : []));
      this.key = null;
    }

    make(table, seek) {
      const { measure } = this;
      this.alsoPlace = S.el("span", { class: "more-also" });
      this.unitPlace = S.el("span", { class: "more-unit" });
      const left = Math.max(...this.lines.map((line) => line.left ?? 0));
      const note = left ? `, the longest ${this.lines.find((line) => line.left === left).calls.length}` : "";
      const title = measure.term
        ? S.term(measure.title, measure.term)
        : S.el("b", { text: measure.title + note });
      title.style.color = `var(--${measure.ink || (measure.colour.startsWith("g") ? "map" : measure.colour)})`;
      const button = S.el("button", {
        type: "button", class: "chart-tool", text: "Table", "aria-label": `Table of ${measure.title}`,
        on: { click: () => table(measure) },
      });
      this.plotPlace = S.el("div", { class: "more-plot", "aria-hidden": "true" });
      this.canvas = S.el("canvas", { class: "more-over", role: "img" });
      this.ctx = this.canvas.getContext("2d");
      this.box = S.el("div", { class: "more-box" }, this.plotPlace, this.canvas);
      this.caption = S.el("figcaption", { class: "more-caption", title: measure.description }, title, this.unitPlace,
        this.alsoPlace, measure.remark ? S.el("span", { class: "more-note", text: measure.remark }) : null);
      this.place = S.el("figure", {
        class: "more-figure", data: { mmuviz: "chart", name: measure.name },
      }, S.el("div", { class: "more-top" }, this.caption, button), this.box);
      this.canvas.addEventListener("click", (event) => {
        const ps = this.psAt(event.clientX - this.canvas.getBoundingClientRect().left);
        if (ps !== null) {
          seek(ps);
        }
      });
    }

    // ---- size, scales, Plotly

    // Measures its element for a window of time; returns whether the figure must be redrawn.
    fit({ from, to }) {
      const presenter = document.body.classList.contains("presenter");
      const scale = Number(getComputedStyle(document.body).getPropertyValue("--k")) || 1;
      const key = [this.box.clientWidth, this.box.clientHeight, window.devicePixelRatio, presenter, scale, S.theme(), from, to].join();
      if (key === this.key) {
        return false;
      }
      this.key = key;
      Object.assign(this, { presenter, width: this.box.clientWidth, height: this.box.clientHeight, colours: S.tokens() });
      this.tickPx = presenter ? 16 : Math.round(12 * scale);
      this.endPx = presenter ? 18 : Math.round(14 * scale);
      this.stroke = presenter ? 3.5 : 2.5;
      const left = Math.round(this.tickPx * (this.measure.calls ? 4.6 : 3.1));
      this.plot = { left, right: this.width - Math.round(2.1 * this.tickPx), top: 6, bottom: this.height - this.tickPx - 10 };
      this.time = S.timeScale(from, to, this.plot.right - this.plot.left);
      this.values = S.valueScale(this.measure, [...this.lines, ...this.also.map(({ line }) => line)], to, this.plot.bottom - this.plot.top, this.tickPx);
      const [unit] = this.values.unit;
      this.unitPlace.textContent = this.measure.calls ? "" : UNIT_TEXTS[unit] ?? unit;
      this.widths.clear();
      return true;
    }

    async drawFigure(Plotly) {
      if (this.width < 60 || this.height < 40) {
        return;
      }
      await S.drawFigure(Plotly, this.plotPlace, this);
      const { canvas } = this;
      this.dpr = window.devicePixelRatio || 1;
      canvas.width = Math.round(this.width * this.dpr);
      canvas.height = Math.round(this.height * this.dpr);
      // The canvas belongs to the figure that is drawn, also while the next figure is being made.
      this.drawn = { time: this.time, values: this.values, plot: this.plot };
    }

    xAt(ps) {
      const { time: { from, to }, plot: { left, right } } = this.drawn;
      return left + ((right - left) * (ps - from)) / (to - from);
    }

    yAt(value) {
      const { values: { low, most, log }, plot: { top, bottom } } = this.drawn;
      const share = log ? Math.log(Math.max(value, low) / low) / Math.log(most / low) : (value - low) / (most - low);
      return bottom - (bottom - top) * share;
    }

    // The time at a point, null outside the plot.
    psAt(x) {
      if (!this.drawn) {
        return null;
      }
      const { time: { from, to }, plot: { left, right } } = this.drawn;
      const share = (x - left) / (right - left);
      return share < -0.02 || share > 1.02 ? null : from + Math.max(0, Math.min(1, share)) * (to - from);
    }

    // ---- every frame

    draw(ps, rest) {
      if (!this.drawn) {
        return;
      }
      const { ctx, dpr, drawn: { plot, time } } = this;
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      ctx.clearRect(0, 0, this.width, this.height);
      const cut = Math.max(plot.left, Math.min(this.xAt(ps), plot.right));
      this.drawVeil(cut, rest);
      if (ps >= time.from && ps <= time.to) {
        ctx.globalAlpha = 0.35;
        ctx.fillStyle = this.colours.ink;
        ctx.fillRect(Math.round(cut * dpr) / dpr - 0.5, plot.top, 1, plot.bottom - plot.top);
        ctx.globalAlpha = 1;
      }
      this.drawEnds(Math.min(ps, time.to), cut);
    }

    drawVeil(cut, rest) {
      const { ctx, drawn: { plot, values } } = this;
      const wide = plot.right + 6 - cut;
      if (wide <= 6) {
        return;
      }
      ctx.globalAlpha = rest ? VEIL.shown : VEIL.hidden;
      ctx.fillStyle = this.colours.ground;
      ctx.fillRect(cut, plot.top - 5, wide, plot.bottom - plot.top + 6);
      ctx.globalAlpha = 1;
      ctx.fillStyle = this.colours.line;
      for (const { at } of values.ticks) {
        ctx.fillRect(cut, Math.round(this.yAt(at)), plot.right - cut, 1);
      }
    }

    valueOf(run, ps) {
      return this.measure.of(run, Math.min(ps, run.endPs));
    }

    textOf(value, unit, run, ps) {
      if (!this.measure.calls) {
        const parts = S.partsIn(value, unit);
        return parts.value === "0" && !/[A-Z]i?B/.test(unit[0]) ? "0" : S.said(parts).trim();
      }
      const call = S.lastCall(run, ps, this.measure.kind);
      return call ? `${call.kind.replace("_", " ")} ${S.timeText(call.tookPs)}` : "";
    }

    // Labels of calls are at the calls' ends, labels of lines at the current time.
    endsAt(ps) {
      const { measure } = this;
      const known = this.shownRuns.filter(({ run }) => !measure.calls || S.lastCall(run, ps, measure.kind));
      const nows = known.map(({ run }) => this.valueOf(run, ps));
      const unit = S.commonUnit(nows, measure.units(), this.drawn.values.unit);
      return known.map(({ run, index }, at) => ({
        run: index, value: nows[at], text: this.textOf(nows[at], unit, run, ps), y: this.yAt(nows[at]),
      }));
    }

    drawEnds(ps, cut) {
      const ends = this.endsAt(ps);
      if (ends.length === 0) {
        return;
      }
      const { plot } = this.drawn;
      const labels = ends.length === this.runs.length ? S.endLabels(ends, this.runs)
        : ends.map((end) => ({ ...end, name: this.runs[end.run].label })).sort((a, b) => a.y - b.y);
      labels.forEach((label) => this.measureLabel(label));
      S.placeEnds(labels, cut, { left: plot.left, right: this.width - 2, top: 0, bottom: plot.bottom + 1 }, this.endPx);
      labels.forEach((label) => this.drawLabel(label));
      if (!this.measure.calls) {
        const colour = this.colours[this.measure.colour];
        for (const { run, y } of ends.slice().reverse()) {
          S.drawEndDot(this.ctx, run, cut, y, this.stroke * 1.6, colour, this.colours.ground);
        }
      }
      this.labels = labels;
    }

    // Digits have equal widths, so the width of a text can be cached by its pattern.
    wide(text, weight) {
      const key = weight + text.replace(/[0-9]/g, "0");
      if (!this.widths.has(key)) {
        this.ctx.font = S.chartFont(this.endPx, weight);
        this.widths.set(key, this.ctx.measureText(text).width);
      }
      return this.widths.get(key);
    }

    measureLabel(label) {
      const most = 0.5 * (this.width - this.drawn.plot.left) - BESIDE;
      const key = `name ${label.name}`;
      if (!this.widths.has(key)) {
        this.ctx.font = S.chartFont(this.endPx, 500);
        this.widths.set(key, S.fitText(this.ctx, label.name, most));
      }
      label.name = this.widths.get(key);
      label.nameWidth = this.wide(`${label.name} `, 500);
      label.width = label.nameWidth + this.wide(label.text, 750);
    }

    drawLabel({ name, text, x, centre, nameWidth }) {
      const { ctx, measure, colours } = this;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.lineJoin = "round";
      ctx.lineWidth = 5;
      ctx.setLineDash([]);
      ctx.strokeStyle = colours.ground;
      ctx.font = S.chartFont(this.endPx, 500);
      ctx.strokeText(name, x, centre);
      ctx.fillStyle = colours.ink;
      ctx.fillText(name, x, centre);
      ctx.font = S.chartFont(this.endPx, 750);
      ctx.strokeText(text, x + nameWidth, centre);
      ctx.fillStyle = colours[measure.ink || (measure.colour.startsWith("g") ? "map" : measure.colour)];
      ctx.fillText(text, x + nameWidth, centre);
    }

    // ---- a few times a second

    tell(ps) {
      if (!this.drawn) {
        return;
      }
      const { measure } = this;
      const values = this.runs.map((run) => this.valueOf(run, ps));
      const data = JSON.stringify(values);
      if (this.place.dataset.values !== data) {
        this.place.dataset.values = data;
        this.canvas.setAttribute("aria-label", this.describe(ps));
      }
      const beside = this.alsoText(ps);
      if (this.alsoPlace.textContent !== beside) {
        this.alsoPlace.textContent = beside;
        this.alsoPlace.style.color = `var(--${measure.also?.colour})`;
      }
    }

    // Name and values of the lines of the other measure.
    alsoText(ps) {
      const { also } = this.measure;
      if (this.also.length === 0) {
        return "";
      }
      const values = this.also.map(({ run }) => also.of(run, ps));
      const unit = S.commonUnit(values, this.measure.units());
      return `${also.title} ${values.map((value) => S.said(S.partsIn(value, unit)).trim()).join(" | ")}`;
    }

    describe(ps) {
      const { measure } = this;
      const ends = this.endsAt(ps).map(({ run, text }) => `${this.runs[run].label} ${text}`);
      const beside = this.alsoText(ps);
      const note = measure.note ? ` ${measure.note(this.runs)}` : "";
      return `${measure.title} at ${S.timeText(ps)}: ${ends.join(", ") || "nothing yet"}${beside ? `; ${beside}` : ""}${note}`;
    }
  }

  S.MoreChart = MoreChart;
})();
