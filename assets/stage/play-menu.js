// The menu of playback options: seek to a time, loop, automatic slow-down, step and stop.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const UNITS = { ps: 1, ns: 1e3, us: 1e6, "µs": 1e6, ms: 1e9, s: 1e12 };
  const BESIDE = 2; // CSS px between the speed and the button of the menu
  const ARROW = 20; // CSS px of a select besides its text
  const TIME = /^([0-9]+(?:\.[0-9]+)?) ?(ps|ns|us|µs|ms|s)$/;

  (S.moreKeys = S.moreKeys || []).push(
    [["g"], "go to a time", "go-to"],
    [["a"], "loop from here", "loop-from"],
    [["b"], "loop to here", "loop-to"],
    [["x"], "no loop", "loop-off"],
  );
  S.linkFields = S.linkFields || {};
  S.linkFields.loop = {
    initial: null,
    read(text, wrong) {
      const found = /^([0-9]{1,16})-([0-9]{1,16})$/.exec(text);
      if (!found || Number(found[1]) >= Number(found[2])) {
        throw wrong("must be two times in ps, the earlier one first, as in 1000-2000");
      }
      return [Number(found[1]), Number(found[2])];
    },
    write: (loop) => (loop ? loop.map(Math.round).join("-") : null),
  };
  S.linkFields.slow = {
    initial: true,
    read(text, wrong) {
      if (text !== "off") {
        throw wrong("must be off, or left out");
      }
      return false;
    },
    write: (slow) => (slow ? null : "off"),
  };

  // Parses a time, e.g. "45 ms", to ps; null if it is invalid.
  S.psOf = function (text) {
    const found = TIME.exec(text.trim());
    return found ? Math.round(Number(found[1]) * UNITS[found[2]]) : null;
  };

  class PlayMenu {
    constructor(stage) {
      this.stage = stage;
      this.menu = document.getElementById("stage-play-menu");
      this.button = document.getElementById("stage-play-more");
      this.goto = document.getElementById("stage-goto");
      this.said = document.getElementById("stage-play-said");
      this.slow = document.getElementById("stage-slow");
      this.button.setAttribute("aria-expanded", "false");
      this.from = null;
      this.acts = {
        "play-menu": () => this.open(this.menu.hidden),
        "go-to": () => {
          this.open(true);
          this.goto.focus();
        },
        "loop-from": () => this.loopFrom(),
        "loop-to": () => this.loopTo(),
        "loop-off": () => this.loop(null),
        slow: () => this.setSlow(!stage.state.slow),
      };
      this.speed = document.getElementById("stage-speed");
      this.speeds = [...this.speed.options].map(({ text }) => text);
      this.room = Infinity; // CSS px for the text of the speed
      this.ctx = document.createElement("canvas").getContext("2d");
      this.speed.addEventListener("change", () => this.saySpeed());
      this.goto.addEventListener("keydown", (event) => this.typed(event));
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.open(false));
      document.addEventListener("pointerdown", (event) => {
        if (!this.menu.contains(event.target) && !this.button.contains(event.target)) {
          this.open(false);
        }
      });
    }

    open(wanted) {
      this.menu.hidden = !wanted;
      this.button.setAttribute("aria-expanded", String(wanted));
    }

    typed(event) {
      event.stopPropagation();
      if (event.key === "Escape") {
        this.goto.blur();
        this.open(false);
      }
      if (event.key !== "Enter") {
        return;
      }
      event.preventDefault();
      const text = this.goto.textContent;
      const ps = S.psOf(text);
      const { clock, runs } = this.stage;
      const endPs = clock.axis.aligned ? runs[0].endPs : clock.endPs;
      if (ps === null) {
        this.said.textContent = text ? `${text.slice(0, 20)} is no time: write it as 45 ms or 1.2 s.` : "Write a time as 45 ms or 1.2 s.";
      } else if (ps > endPs) {
        this.said.textContent = `${text.slice(0, 20)} is past the end, ${S.timeText(endPs)}.`;
      } else {
        this.said.textContent = "";
        this.stage.goTo(ps);
      }
    }

    text(at) {
      return S.momentText(this.stage.clock.axis, at);
    }

    loopFrom() {
      this.from = this.stage.clock.now;
      this.said.textContent = `The loop begins at ${this.text(this.from)}: go to its end and choose "to".`;
    }

    loopTo() {
      const { now } = this.stage.clock;
      const from = this.from ?? 0;
      if (now <= from) {
        this.said.textContent = `The loop begins at ${this.text(from)}; its end must be later.`;
        return;
      }
      this.loop([from, now]);
    }

    loop(loop) {
      const { clock, state } = this.stage;
      state.loop = loop;
      this.from = loop ? loop[0] : null;
      clock.loop(...(loop || [null]));
      this.said.textContent = loop ? `It plays from ${this.text(loop[0])} to ${this.text(loop[1])} again and again.` : "";
      this.stage.ribbon.loop = clock.looped;
      this.stage.draw(clock.now);
    }

    setSlow(slow) {
      this.stage.state.slow = slow;
      this.slow.setAttribute("aria-checked", String(slow));
      this.slow.textContent = slow ? "on" : "off";
      this.stage.clock.slows = slow;
      this.stage.clock.speed = this.stage.clock.speed;
    }

    // The meaning of "one event" in this run.
    saySpeed() {
      if (this.speed.value === "event") {
        const { runs } = this.stage;
        const known = S.count(S.knownEvents(runs));
        const bin = S.timeText(Math.max(...runs.map(({ binPs }) => binPs)));
        this.said.textContent = `${known} events of these runs are known one by one. Where none is, a second is the next ${bin}.`;
        this.open(true);
      }
    }

    // The current speed, if it is automatic or slowed down.
    tell() {
      const { clock, state } = this.stage;
      const { selectedIndex: at, selectedOptions } = this.speed;
      if (at < 0) {
        return; // a link may have a speed that the menu does not have
      }
      const slowed = clock.psPerSecond < 0.99 * Number(state.speed);
      const how = state.speed === "auto" ? "auto: " : "slowed: ";
      const changes = clock.playing && (state.speed === "auto" || slowed);
      const now = `${S.timeText(clock.psPerSecond)} a second`;
      const shown = changes ? this.fitting(how + now, now) : this.fitting(this.speeds[at]);
      if (selectedOptions[0] && selectedOptions[0].text !== shown) {
        [...this.speed.options].forEach((option, index) => (option.text = index === at ? shown : this.fitting(this.speeds[index])));
      }
    }

    // The first text that fits, each in full or shorter: "one event a second", "one event/s", "event/s".
    fitting(...texts) {
      const all = texts.flatMap((text) => [text, text.replace(" a second", "/s"), text.replace("one ", "").replace(" a second", "/s")]);
      return all.find((text) => S.textWidth(this.ctx, this.ctx.font, text) <= this.room) ?? all.at(-1);
    }

    resize() {
      const { fontSize, fontFamily, fontWeight, maxWidth } = window.getComputedStyle(this.speed);
      this.ctx.font = `${fontWeight} ${fontSize} ${fontFamily}`;
      const box = this.speed.parentElement;
      const most = maxWidth.endsWith("px") ? Number.parseFloat(maxWidth) : box.clientWidth - this.button.offsetWidth - BESIDE;
      this.room = most - ARROW;
      this.tell();
    }

    // A new clock takes over the choices.
    started() {
      const { clock, state } = this.stage;
      this.setSlow(state.slow);
      clock.stopAt = document.getElementById("stage-stop").value || null;
      if (state.loop && state.loop[1] <= clock.endPs) {
        this.loop(state.loop);
      } else {
        state.loop = null;
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => new PlayMenu(stage));
})();
