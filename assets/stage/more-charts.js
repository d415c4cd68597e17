// The panel "Charts", over the maps: small multiples of all measures of a run, on one time axis. Key C.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const byId = (id) => document.getElementById(id);
  // The window of the first call gives way to the whole run a little before its end.
  const NEAR_UNTIL = 0.97;
  const OPEN = "more";
  const SCROLLS = new Set([" ", "Home", "End", "ArrowUp", "ArrowDown"]);

  (S.linkFields = S.linkFields || {}).charts = {
    initial: "",
    read(text, wrong) {
      if (text !== OPEN) {
        throw wrong(`must be ${OPEN}, or left out`);
      }
      return text;
    },
    write: (value) => value || null,
  };
  (S.moreKeys = S.moreKeys || []).push([["c"], "more charts", "more-charts"]);

  class MoreCharts {
    constructor(stage) {
      this.stage = stage;
      this.panel = byId("stage-charts");
      this.grid = byId("stage-charts-grid");
      this.said = byId("stage-charts-said");
      this.plotly = null;
      this.charts = [];
      this.queue = [];
      this.wide = null;
      this.opener = null;
      this.acts = {
        "more-charts": () => this.toggle(),
        "charts-near": () => this.choose(false),
        "charts-whole": () => this.choose(true),
      };
      document.addEventListener("keydown", (event) => this.onKey(event));
      // If the list has the focus, it keeps keys that scroll.
      this.grid.addEventListener("keydown", (event) => event.target === this.grid && SCROLLS.has(event.key) && event.stopPropagation());
    }

    // ---- opening

    get open() {
      return this.stage.state.charts === OPEN;
    }

    toggle(wanted = !this.open) {
      this.stage.state.charts = wanted ? OPEN : "";
      if (wanted) {
        this.opener = document.activeElement === document.body ? null : document.activeElement;
      }
      const inside = this.panel.contains(document.activeElement);
      this.show();
      if (wanted) {
        this.panel.focus({ preventScroll: true });
      } else if (inside && this.opener?.isConnected) {
        this.opener.focus({ preventScroll: true });
      }
      this.stage.changed();
    }

    show() {
      this.panel.hidden = !this.open;
      document.body.classList.toggle("charts-open", this.open);
      for (const each of document.querySelectorAll(".figure [data-act=more-charts]")) {
        each.setAttribute("aria-expanded", String(this.open));
      }
      if (this.open) {
        this.make();
      }
    }

    // Escape closes the topmost part first.
    onKey(event) {
      const above = document.querySelector("dialog[open], :popover-open, .share-menu:not([hidden]), .play-menu:not([hidden])");
      if (event.key === "Escape" && this.open && !above) {
        event.preventDefault();
        this.toggle(false);
      }
    }

    shown(runs) {
      this.runs = runs;
      this.charts = [];
      this.queue = [];
      this.made = false;
      this.wide = null;
      const near = S.axisWindow(runs)(0);
      this.end = Math.max(...runs.map((run) => run.endPs));
      this.near = near.to < this.end ? { from: 0, to: near.to } : null;
      this.show();
    }

    // ---- making

    async make() {
      if (this.made) {
        this.arrange();
        return;
      }
      this.made = true;
      const { found, absent } = S.measuresOf(this.runs);
      const options = { table: (measure) => S.showChartTable(measure, this.runs), seek: (ps) => this.stage.goTo(ps) };
      this.charts = found.map((measure) => new S.MoreChart(measure, this.runs, options));
      this.grid.replaceChildren(...this.charts.map(({ place }) => place), ...[S.memoryTable(this.runs)].filter(Boolean),
        S.el("p", { class: "more-absent", text: absent }));
      this.say(this.plotly ? "" : "Fetching Plotly …");
      try {
        this.plotly = await S.plotly(this.panel.dataset.plotly);
        this.say("");
        this.arrange();
      } catch (error) {
        this.made = false;
        this.say(`${error.message}.`);
      }
    }

    say(text) {
      this.said.textContent = text;
      this.said.hidden = text === "";
    }

    // ---- the window of time

    showLegend() {
      if (this.legend !== this.runs || this.theme !== S.theme()) {
        [this.legend, this.theme] = [this.runs, S.theme()];
        byId("stage-charts-legend").replaceChildren(...this.runs.map((run, index) => S.lineSample(run.label, index)));
      }
    }

    choose(wide) {
      this.wide = wide;
      this.arrange();
      this.stage.draw(this.stage.clock.now);
    }

    // The first call, until the time is after it; a chosen window is kept.
    windowAt(ps) {
      const wide = this.wide ?? (this.near === null || ps > NEAR_UNTIL * this.near.to);
      return wide || this.near === null ? { from: 0, to: this.end } : this.near;
    }

    // Figures that no longer fit are redrawn, one per frame.
    arrange() {
      if (!this.open || !this.plotly) {
        return;
      }
      this.showLegend();
      this.window = this.windowAt(this.stage.clock?.now ?? 0);
      byId("stage-charts-window").hidden = this.near === null;
      for (const [act, wide] of [["charts-near", false], ["charts-whole", true]]) {
        this.panel.querySelector(`[data-act=${act}]`).setAttribute("aria-pressed", String(wide === (this.window !== this.near)));
      }
      const stale = this.charts.filter((chart) => chart.fit(this.window));
      this.queue = [...this.queue.filter((each) => !stale.includes(each)), ...stale];
      this.pump();
    }

    async pump() {
      if (this.pumping) {
        return;
      }
      this.pumping = true;
      while (this.queue.length > 0) {
        const chart = this.queue.shift();
        await chart.drawFigure(this.plotly);
        chart.draw(this.stage.clock.now, this.stage.state.rest);
        chart.tell(this.stage.clock.now);
        await new Promise(requestAnimationFrame);
      }
      this.pumping = false;
      this.panel.dataset.drawn = String(this.charts.length);
    }

    // Updates a chart whose reference run arrived later.
    renew(name) {
      this.charts.filter(({ measure }) => measure.name === name).forEach((chart) => chart.findAlso());
      this.arrange();
    }

    // ---- with the stage

    resize() {
      this.arrange();
    }

    draw(ps) {
      if (!this.open) {
        return;
      }
      if (this.window && this.windowAt(ps).to !== this.window.to) {
        this.arrange();
      }
      const top = this.grid.scrollTop;
      const bottom = top + this.grid.clientHeight;
      for (const chart of this.charts) {
        const { offsetTop, offsetHeight } = chart.place;
        if (offsetTop < bottom && offsetTop + offsetHeight > top) {
          chart.draw(ps, this.stage.state.rest);
        }
      }
    }

    tell(ps) {
      if (this.open) {
        this.charts.forEach((chart) => chart.tell(ps));
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => (S.moreCharts = new MoreCharts(stage)));
})();
