// Lessons: each of three stops asks a question, plays up to the answer, and explains it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const TEXT = /^([a-z0-9-]{1,40})(?:\.([1-9]))?$/;
  const sum = (numbers) => numbers.reduce((all, each) => all + each, 0);
  const callsBy = (run, ps) => run.calls.filter(({ endPs }) => endPs <= ps).map(({ startPs, endPs }) => endPs - startPs);
  const SAME = "same";

  function splitShare(run, ps) {
    const by = run.stallBy(ps);
    const all = sum(Array.from(by));
    return all > 0 ? (100 * by[run.header.causes.indexOf("split_or_zap")]) / all : 0;
  }

  // Quantities of questions: the value of a run up to a time, and its text.
  const MEASURES = {
    stall: [(run, ps) => run.stallPs(ps), (ps) => S.timeText(ps)],
    ioctl: [(run, ps) => run.ioctlPs(ps), (ps) => S.timeText(ps)],
    longest_call: [(run, ps) => Math.max(0, ...callsBy(run, ps)), (ps) => S.timeText(ps)],
    tables: [(run, ps) => run.tablesAdded(ps), (bytes) => S.bytesText(bytes)],
    faults: [(run, ps) => sum(run.faults(ps)), (count) => S.count(count)],
    splits: [(run, ps) => sum(Array.from(run.splits(ps))), (count) => S.count(count)],
    split_share: [splitShare, (percent) => `${Math.round(percent)} %`],
  };

  const itemOf = (name) => document.querySelector(`#stage-stories [data-lesson="${name}"]`);

  S.linkFields = S.linkFields || {};
  S.linkFields.lesson = {
    initial: "",
    read(text, wrong) {
      const [, name, stop = "1"] = TEXT.exec(text) || [];
      const item = name && itemOf(name);
      if (!item || Number(stop) > JSON.parse(item.dataset.stops).length) {
        throw wrong("is no stop of a lesson");
      }
      return `${name}.${stop}`;
    },
    write: (value) => value || null,
    // A lesson selects its story, and begins at its first question.
    settle(state) {
      if (state.lesson) {
        const [name, stop] = state.lesson.split(".");
        const { of, stops } = itemOf(name).dataset;
        state.base = of;
        state.ps ??= JSON.parse(stops)[Number(stop) - 1].at;
      }
    },
  };

  // The answers of a stop, [{key, text}]; the panes' names if panes are the answers.
  S.lessonAnswers = function (stop, runs) {
    return stop.which === null
      ? stop.answers.map((text, key) => ({ key, text }))
      : [...runs.map(({ label }, key) => ({ key, text: label })), { key: SAME, text: runs.length === 2 ? "both the same" : "all the same" }];
  };

  // The key of the right answer, from the Recordings.
  S.lessonRight = function ({ measure, which, same, pane, bounds, shows }, runs) {
    const values = runs.map((run) => MEASURES[measure][0](run, Math.min(shows, run.endPs)));
    if (which === null) {
      const at = bounds.findIndex((bound) => values[pane] < bound);
      return at < 0 ? bounds.length : at;
    }
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return most - least <= (same / 100) * most ? SAME : values.indexOf(which === "most" ? most : least);
  };

  class Lessons {
    constructor(stage) {
      this.stage = stage;
      this.card = document.getElementById("stage-lesson");
      this.lesson = null;
      document.getElementById("stage-stories").addEventListener("click", (event) => {
        const item = event.target.closest("[data-lesson]");
        if (item) {
          document.getElementById("stage-story").click(); // closes the menu
          this.open(item.dataset.lesson);
        }
      });
      this.card.addEventListener("click", (event) => this.pressed(event.target.closest("button")));
      this.acts = { "lesson-next": () => this.goTo(this.at + 1), "lesson-last": () => this.goTo(this.at - 1) };
      const when = () => this.lesson !== null && document.body.classList.contains("presenter");
      S.moreKeys.push([["PageDown"], "next stop of a lesson, in presenter type", "lesson-next", when]);
      S.moreKeys.push([["PageUp"], "previous stop of a lesson, in presenter type", "lesson-last", when]);
    }

    open(name) {
      const state = { ...S.readLink(""), theme: this.stage.state.theme, lesson: `${name}.1` };
      S.linkFields.lesson.settle(state);
      this.stage.ask(state);
    }

    // The questions do not apply to another guest or policy: the lesson ends.
    shown(runs, state) {
      const [name, stop] = state.lesson.split(".");
      const whole = name && Object.keys(state.set).length === 0 && !state.policies;
      this.lesson = whole ? { name, stops: JSON.parse(itemOf(name).dataset.stops) } : null;
      this.stage.state.lesson = whole ? state.lesson : "";
      this.runs = runs;
      this.begin(whole ? Number(stop) - 1 : 0);
    }

    get stop() {
      return this.lesson.stops[this.at];
    }

    begin(at) {
      Object.assign(this, { at, chosen: null, phase: "ask" });
      this.render();
    }

    goTo(at) {
      if (at < 0 || at >= this.lesson.stops.length) {
        return;
      }
      const { stage, lesson } = this;
      stage.state.lesson = `${lesson.name}.${at + 1}`;
      this.begin(at);
      stage.clock.once = [];
      stage.goToPlace(stage.clock.axis.placeOf(0, this.stop.at));
    }

    pressed(button) {
      const { stage } = this;
      const does = button?.dataset;
      if (!does) {
        return;
      }
      if (does.stop !== undefined) {
        this.goTo(Number(does.stop));
      } else if (does.answer !== undefined) {
        this.watch(does.answer === SAME ? SAME : Number(does.answer));
      } else if (does.show !== undefined) {
        stage.goToPlace(this.shows);
      } else {
        stage.state.lesson = "";
        this.lesson = null;
        this.render();
        stage.changed();
      }
    }

    get shows() {
      const { clock } = this.stage;
      return Math.min(clock.endPs, Math.round(clock.axis.placeOf(0, this.stop.shows)));
    }

    watch(answer) {
      const { clock } = this.stage;
      Object.assign(this, { chosen: answer, phase: "watch" });
      if (clock.now >= this.shows || clock.now < clock.axis.placeOf(0, this.stop.at)) {
        clock.seek(clock.axis.placeOf(0, this.stop.at));
      }
      this.render();
      if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.stage.goToPlace(this.shows);
      } else {
        clock.once = [this.shows];
        clock.play();
      }
    }

    // After a pause or a seek.
    changed() {
      const { clock } = this.stage;
      if (this.lesson && this.phase === "watch" && !clock.playing && clock.now >= this.shows) {
        this.phase = "explain";
        this.render();
      }
    }

    render() {
      const { card, lesson } = this;
      card.hidden = lesson === null;
      if (lesson) {
        card.dataset.phase = this.phase;
        card.replaceChildren(this.head(), ...{ ask: () => this.asks(), watch: () => this.watches(), explain: () => this.explains() }[this.phase]());
      }
    }

    head() {
      const { stops } = this.lesson;
      const to = (at, text, label) => S.el("button", { text, type: "button", class: "tool", "aria-label": label, data: { stop: at } });
      const [last, next] = [to(this.at - 1, "‹", "Last stop"), to(this.at + 1, "›", "Next stop")];
      last.disabled = this.at === 0;
      next.disabled = this.at === stops.length - 1;
      const close = S.el("button", { text: "×", type: "button", class: "tool", "aria-label": "Leave the lesson", data: { leave: "" } });
      return S.el("div", { class: "lesson-head" }, S.el("span", { text: `Stop ${this.at + 1} of ${stops.length}` }), last, next, close);
    }

    asks() {
      const answers = S.lessonAnswers(this.stop, this.runs).map(({ key, text }) =>
        S.el("button", { text, type: "button", class: "lesson-answer", data: { answer: key } }));
      return [S.el("p", { text: this.stop.question, class: "lesson-question" }), S.el("div", { class: "lesson-answers" }, ...answers)];
    }

    textOf(key) {
      return S.lessonAnswers(this.stop, this.runs).find((each) => each.key === key).text;
    }

    watches() {
      const show = S.el("button", { text: "Show the answer", type: "button", class: "lesson-answer", data: { show: "" } });
      return [
        S.el("p", { text: this.stop.question, class: "lesson-question" }),
        S.el("div", { class: "lesson-answers" }, S.el("span", { text: `You said: ${this.textOf(this.chosen)}. Watch.` }), show),
      ];
    }

    explains() {
      const { stop, runs } = this;
      const right = S.lessonRight(stop, runs);
      const [of, text] = MEASURES[stop.measure];
      const values = runs.map((run) => `${run.label} ${text(of(run, Math.min(stop.shows, run.endPs)))}`);
      const seen = stop.which === null ? [values[stop.pane]] : values;
      const verdict = right === this.chosen ? `Yes: ${this.textOf(right)}.` : `You said ${this.textOf(this.chosen)}; it is: ${this.textOf(right)}.`;
      const next = this.at + 1 < this.lesson.stops.length
        ? S.el("button", { text: "Next stop", type: "button", class: "lesson-answer", data: { stop: this.at + 1 } })
        : S.el("button", { text: "Leave the lesson", type: "button", class: "lesson-answer", data: { leave: "" } });
      return [
        S.el("p", { class: "lesson-question" }, S.el("b", { text: verdict }), ` ${seen.join(", ")}.`),
        S.el("p", { text: stop.explanation }),
        S.el("div", { class: "lesson-answers" }, next),
      ];
    }
  }

  (S.parts = S.parts || []).push((stage) => new Lessons(stage));
})();
