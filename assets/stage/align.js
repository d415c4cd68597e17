// Alignment of panes: at the same time, or at the same work; then each pane has its own time and shows it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  (S.moreKeys = S.moreKeys || []).push([["w"], "panes at the same work, or at the same moment", "align"]);
  (S.linkFields = S.linkFields || {}).align = {
    initial: "",
    read(text, wrong) {
      if (text !== "work") {
        throw wrong("must be work, or left out");
      }
      return text;
    },
    write: (value) => value || null,
  };

  class Align {
    constructor(stage) {
      this.stage = stage;
      this.button = document.getElementById("stage-align");
      this.times = stage.panes.map(({ policy }) => {
        const place = Object.assign(document.createElement("span"), { className: "pane-time", hidden: true });
        policy.after(place);
        return place;
      });
      this.acts = { align: () => this.toggle() };
    }

    toggle() {
      const { stage } = this;
      const { state } = stage;
      if (stage.runs.length < 2) {
        S.say("There is one pane: nothing to align.");
        return;
      }
      const { axis: before, now, playing } = stage.clock;
      const toTime = (at) => before.timeOf(0, at);
      const [time, loop] = [toTime(now), state.loop && state.loop.map(toTime)];
      state.align = state.align ? "" : "work";
      stage.newClock();
      const { axis } = stage.clock;
      state.loop = loop && loop.map((ps) => Math.round(axis.placeOf(0, ps)));
      stage.each("started");
      stage.clock.seek(axis.placeOf(0, time));
      stage.changed();
      if (playing) {
        stage.clock.play();
      }
      S.say(state.align ? "Panes stand at the same work: call by call, each at a time of its own." : "Panes stand at the same moment.");
    }

    started() {
      const { aligned } = this.stage.clock.axis;
      document.body.classList.toggle("aligned", aligned);
      this.button.setAttribute("aria-checked", String(aligned));
      this.button.textContent = aligned ? "work" : "moment";
      this.times.forEach((place) => (place.hidden = !aligned));
    }

    read() {
      if (S.times) {
        this.times.forEach((place, index) => {
          const text = S.times[index] === undefined ? "" : `at ${S.timeText(S.times[index])}`;
          S.setText(place, text);
        });
      }
    }

    tell() {
      this.times.forEach((place, index) => (place.dataset.ps = String(S.times?.[index] ?? "")));
    }
  }

  // One line for screen readers.
  S.say = (text) => (document.getElementById("stage-live").textContent = text);

  (S.parts = S.parts || []).push((stage) => new Align(stage));
})();
