// The stage: requests runs, shows them in panes, and draws all of them from one clock.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Periods of what is drawn less often than in every frame. Text that changes faster than 12 times a second cannot be read.
  const PLAYHEAD_MS = 33;
  const LOUPE_MS = 66;
  const READ_MS = 100;
  const TELL_EVERY_MS = 200;
  const byId = (id) => document.getElementById(id);

  class Stage {
    constructor(root) {
      this.root = root;
      this.state = S.readLink(window.location.search);
      this.panes = [...root.querySelectorAll("[data-mmuviz=pane]")].map((section, index) => new S.Pane(section, {
        choose: (policy) => this.policies.choose(index, policy),
        panes: () => this.panes,
        psPerSecond: () => this.psPerSecond(),
      }));
      this.runs = [];
      this.clock = null;
      this.jobs = new S.FrameJobs();
      this.asking = new S.Asking(this);
      this.address = new S.Address(this);
      this.controls = new S.Controls(root, (field, value) => this.asking.change(field, value));
      byId("stage-question").textContent = this.storyTitle(); // a long run is asked for under its name
      this.ask(this.state); // the response arrives after all other parts are loaded
      this.parts = (S.parts || []).map((make) => make(this));
      this.listen();
    }

    // Hooks of the page's parts, called with the stage's own methods: shown, resize, changed, progress; draw and tell are
    // jobs of frames. An error in one of them does not keep the others from theirs.
    each(moment, ...given) {
      for (const part of this.parts) {
        try {
          part[moment]?.(...given);
        } catch (error) {
          window.reportError(error);
        }
      }
    }

    // An error of the page itself, which the browser has reported on its console, is said where a refusal is.
    fault(error) {
      if (error instanceof Error) {
        const what = `A part of this page failed (${error.message}): something may be missing, or be that of the result before.`;
        this.controls.refuse(null, `${what} Reload the page.`);
      }
    }

    // ---- requests

    // Resolves when the result is shown, or refused.
    ask(state) {
      return this.asking.ask(state);
    }

    chooseStory(base) {
      return this.ask({ ...S.readLink(""), theme: this.state.theme, base });
    }

    // Only the line with the reason changes; if nothing is shown yet, the default story is, once: `instead`.
    refuse(state, error) {
      if (this.runs.length === 0 && !state.instead) {
        this.state = { ...S.readLink(""), theme: state.theme, complaint: S.instead(error.message), instead: true };
        this.ask(this.state);
        return;
      }
      this.controls.refuse(error.field, error.message, error.asked);
      this.showControls();
      byId("stage-waiting").textContent = error.message;
    }

    // The controls show the state of the panes.
    showControls() {
      if (this.runs.length > 0) {
        this.controls.show(this.runs.map((run) => run.header.scenario));
        this.policies.shown(this.runs);
      }
    }

    // ---- showing

    show(state, { runs, scenario, file }) {
      const { complaint, instead, ...rest } = state;
      Object.assign(this, { state: { ...rest, complaint: "" }, runs });
      this.scenario = scenario || runs[0].header.scenario;
      this.file = file; // the content of a scenario file for the same runs
      byId("stage-waiting").hidden = true;
      byId("stage-summary").hidden = true;
      this.showControls();
      this.controls.refuse(null, complaint || "");
      this.root.querySelector(".panes").style.setProperty("--panes", String(Math.min(runs.length, 2)));
      this.panes.forEach((pane, index) => (runs[index] ? pane.show(runs[index], runs) : pane.hide()));
      byId("stage-question").textContent = runs[0].header.scenario.title || this.storyTitle();
      this.makeFigures();
      this.makeJobs();
      this.newClock();
      this.each("shown", runs, state);
      this.resize();
      this.root.classList.add("ready");
      this.each("started");
      if (state.ps === null) {
        this.clock.seek(this.firstPlace());
        this.clock.start();
      } else {
        this.clock.seek(Math.min(state.ps, this.clock.endPs));
      }
      this.changed();
    }

    // The initial time: the beginning, or with reduced motion the middle of the longest ioctl, where panes differ.
    firstPlace() {
      const calls = this.runs.flatMap((run, at) => run.calls.map((call) => ({ ...call, at })));
      if (calls.length === 0 || !window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
        return 0;
      }
      const { at, startPs, endPs } = calls.reduce((a, b) => (b.endPs - b.startPs > a.endPs - a.startPs ? b : a));
      return this.clock.axis.placeOf(at, Math.floor((startPs + endPs) / 2));
    }

    // Its axis is time, or work if panes are aligned by work.
    newClock() {
      this.clock?.dispose();
      const axis = S.axisOf(this.runs, this.state.align);
      this.clock = new S.Clock(this.runs, { axis, draw: (ps) => this.draw(ps), changed: () => this.changed() });
      this.ribbon.axis = axis;
      this.chooseSpeed(this.state.speed);
    }

    storyTitle() {
      return this.state.file ? this.state.file.name : S.storyTitle(this.state.base);
    }

    makeFigures() {
      const { runs } = this;
      const canvasOf = (name) => this.canvasOf(name);
      this.charts = ["stall", "tables"].map((measure) => new S.Chart(canvasOf(measure), runs, { measure }));
      this.enlarged = runs.slice(0, 2).map((_, column) => column);
      this.loupes = this.enlarged.map((column) => this.loupeOf(column));
      this.ribbon = new S.Ribbon(this.root.querySelector(".ribbon"), runs);
    }

    canvasOf(name) {
      return this.root.querySelector(`[data-name="${name}"] canvas`);
    }

    // The loupe below a column of panes; it names its pane where that is not right above it.
    loupeOf(column) {
      const run = this.runs[this.enlarged[column]];
      return new S.Loupe(this.canvasOf(`loupe-${column}`), run, {
        psPerSecond: () => this.psPerSecond(),
        label: () => (this.runs.length > 2 || S.isNarrow() ? run.label : ""),
      });
    }

    // Of two panes in a column the loupe below shows the one that the pointer or the focus entered last.
    enlarge(index) {
      const column = index % 2;
      if (this.runs.length > 2 && this.enlarged[column] !== index) {
        this.enlarged[column] = index;
        this.loupes[column] = this.loupeOf(column);
        this.draw(this.clock.now, true);
        this.tell(this.clock.now);
      }
    }

    // Simulated time per second of play, 0 while paused.
    psPerSecond() {
      return this.clock?.playing ? this.clock.psPerSecond : 0;
    }

    presenter() {
      return document.body.classList.contains("presenter");
    }

    resize() {
      if (this.runs.length === 0) {
        return;
      }
      S.fitControls(this.root);
      this.controls.fit();
      const height = S.mapHeight(this);
      this.runs.forEach((_, index) => this.panes[index].resize(height, this.presenter()));
      for (const each of [...this.charts, ...this.loupes, this.ribbon]) {
        each.resize();
      }
      this.each("resize");
      this.draw(this.clock.now, true);
    }

    // The drawings besides the maps, with their periods during playback and about what they cost.
    makeJobs() {
      const { runs, charts, loupes, ribbon, parts } = this;
      const job = (everyMs, cost, run) => ({ everyMs, cost, run });
      const tells = [
        { ...job(READ_MS, 2 + 1.5 * runs.length, (ps) => this.read(ps)), first: true },
        job(TELL_EVERY_MS, 0.2, () => this.tellScrubber()),
        ...charts.map((chart) => job(TELL_EVERY_MS, 0.2, (ps) => this.tellChart(chart, ps))),
        ...loupes.map((_, at) => job(TELL_EVERY_MS, 0.2, (ps) => this.tellLoupe(loupes[at], S.timeOf(this.enlarged[at], ps)))),
        job(TELL_EVERY_MS, 0.1, () => this.showSummary(this.clock.now)),
        ...parts.filter((part) => part.tell).map((part) => job(TELL_EVERY_MS, 0.2, (ps) => part.tell(ps))),
      ];
      this.tells = tells.map(({ run }) => run);
      this.jobs.set([
        ...tells, // first: what is drawn after them has their numbers
        ...charts.map((chart) => job(PLAYHEAD_MS, 0.6, (ps) => chart.draw(ps))),
        job(PLAYHEAD_MS, 0.3, (ps) => ribbon.draw(ps)),
        ...loupes.map((_, at) => job(LOUPE_MS, 0.8, (ps) => loupes[at].draw(S.timeOf(this.enlarged[at], ps)))),
        ...parts.filter((part) => part.draw).map((part) => job(PLAYHEAD_MS, 0.2, (ps) => part.draw(ps))),
      ]);
    }

    // Writes all numbers in one frame: those of panes, charts and sentences are of the instant that is shown as the time.
    read(ps) {
      S.readings = this.runs.map((_, index) => S.timeOf(index, ps));
      this.drawTime();
      this.runs.forEach((_, index) => this.panes[index].read(S.readings[index]));
      this.charts.forEach((chart) => chart.draw(ps));
      this.each("read", ps);
    }

    // `at` is a position on the clock's axis: a time, or a position in the work, for which each pane has its own time.
    // During playback maps are drawn in every frame, the rest in some.
    draw(at, whole = !this.clock.playing) {
      const ps = this.timesAt(at);
      this.runs.forEach((_, index) => this.panes[index].drawMap(S.timeOf(index, ps)));
      this.jobs[whole ? "all" : "frame"](ps);
    }

    drawTime() {
      const time = S.momentParts(this.clock.axis, this.clock.now);
      const place = byId("stage-time");
      if (!place.firstChild) {
        place.append("", document.createElement("small"));
      }
      S.setText(place.firstChild, time.value);
      S.setText(place.lastChild, time.unit);
      place.dataset.ps = String(Math.round(this.clock.now));
    }

    // S.times has the time of each pane if they differ; parts with only one time use the latest of them.
    timesAt(at) {
      const { axis } = this.clock;
      S.times = axis.aligned ? this.runs.map((_, index) => axis.timeOf(index, at)) : null;
      return S.times ? Math.max(...S.times) : at;
    }

    // Text and data for other parts: updated a few times per second.
    tell(at) {
      const ps = this.timesAt(at);
      this.tells.forEach((tell) => tell(ps));
    }

    tellScrubber() {
      const { clock } = this;
      const scrubber = this.root.querySelector("[data-mmuviz=scrubber]");
      scrubber.setAttribute("aria-valuenow", String(Math.round(clock.now / 1000)));
      scrubber.setAttribute("aria-valuemax", String(Math.round(clock.endPs / 1000)));
      scrubber.setAttribute("aria-valuetext", S.momentText(clock.axis, clock.now));
    }

    tellChart(chart, ps) {
      S.setText(chart.canvas.closest(".figure").querySelector(".figure-unit"), chart.unit);
      chart.canvas.setAttribute("aria-label", chart.describe(ps));
    }

    tellLoupe(loupe, ps) {
      loupe.canvas.setAttribute("aria-label", loupe.describe(ps));
    }

    showSummary(ps) {
      const place = byId("stage-summary");
      const over = ps >= this.clock.endPs;
      if (over && place.hidden && this.summed !== this.runs) {
        this.summed = this.runs;
        place.replaceChildren(S.summary(this.runs, S.timesTrust(this.runs)));
        place.hidden = false;
      } else if (!over) {
        place.hidden = true;
        this.summed = null;
      }
    }

    changed() {
      const { playing } = this.clock;
      const play = this.root.querySelector("[data-mmuviz=play]");
      play.classList.toggle("playing", playing);
      play.setAttribute("aria-label", playing ? "Pause" : "Play");
      this.tell(this.clock.now);
      this.each("changed");
      document.title = this.address.title();
      this.address.remember();
    }

    chooseSpeed(speed) {
      byId("stage-speed").value = speed;
      this.state.speed = speed;
      this.clock.speed = speed === "auto" || speed === "event" ? speed : Number(speed);
    }

    // ---- actions

    listen() {
      this.root.addEventListener("click", (event) => {
        const act = event.target.closest("[data-act]")?.dataset.act;
        if (act) {
          this.act(act);
        }
      });
      this.panes.forEach(({ section }, index) => {
        for (const event of ["pointerenter", "focusin"]) {
          section.addEventListener(event, () => this.enlarge(index));
        }
      });
      byId("stage-summary").addEventListener("click", (event) => this.changeOneThing(event));
      byId("stage-stop").addEventListener("change", (event) => (this.clock.stopAt = event.target.value || null));
      byId("stage-speed").addEventListener("change", (event) => this.chooseSpeed(event.target.value));
      S.listenToKeys((act) => this.act(act));
      window.addEventListener("popstate", () => this.address.goBack());
      window.addEventListener("error", ({ error }) => this.fault(error));
      window.addEventListener("unhandledrejection", ({ reason }) => this.fault(reason));
      new ResizeObserver(() => this.resize()).observe(document.body);
      new MutationObserver(() => this.resize()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
      S.listenToScrubber(this.root.querySelector("[data-mmuviz=scrubber]"), this);
    }

    changeOneThing(event) {
      const button = event.target.closest("button");
      if (button && button.dataset.set) {
        const { state } = this.asking;
        this.ask({ ...state, set: { ...state.set, ...JSON.parse(button.dataset.set) }, ps: null });
      } else if (button) {
        byId("stage-summary").hidden = true;
      }
    }

    act(act) {
      const { clock } = this;
      const kind = byId("stage-step").value;
      const acts = {
        play: () => clock.toggle(),
        step: () => clock.step(kind, 1),
        back: () => clock.step(kind, -1),
        "next-call": () => clock.step("call", 1),
        "last-call": () => clock.step("call", -1),
        first: () => this.goTo(0),
        last: () => this.goToPlace(clock.endPs),
        theme: () => {
          S.nextTheme();
          this.state.theme = S.chosenTheme();
          this.changed();
          byId("stage-live").textContent = `Theme: ${S.THEMES[S.chosenTheme()]}.`;
        },
        help: () => S.showHelp(byId("stage-help")),
        more: () => byId("stage-more").showModal(),
        "close-more": () => byId("stage-more").close(),
        presenter: () => {
          document.body.classList.toggle("presenter");
          this.resize();
        },
      };
      const found = acts[act] || this.parts.map((part) => part.acts?.[act]).find(Boolean);
      if (clock && found) {
        found();
      }
    }

    // Seeks to a time of a run; if panes are aligned by work, the others follow.
    goTo(ps, run = 0) {
      this.goToPlace(this.clock.axis.placeOf(run, ps));
    }

    goToPlace(at) {
      this.clock.pause();
      this.clock.seek(at);
      this.changed();
    }
  }

  // Called by the last of the page's scripts, when the document is complete.
  S.begin = function () {
    S.stage = new Stage(byId("stage"));
  };
})();
