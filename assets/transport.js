// The scrubber, the marks of the ops above it, the clock and the speed.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PER_SECOND = 1000;
  const WHOLE = new Intl.NumberFormat("en");
  const count = (value) => WHOLE.format(value);

  function makeScrub(box, seconds) {
    const scrub = document.createElement("input");
    Object.assign(scrub, { type: "range", id: "scrub", min: 0, max: Math.round(seconds * PER_SECOND), step: 1, value: 0 });
    scrub.setAttribute("aria-label", "Position");
    box.replaceChildren(scrub);
    return scrub;
  }

  // One stretch an op, as long as it plays.
  function makeMarks(box, ops, seconds) {
    let begin = 0;
    const marks = ops.map((op, index) => {
      const mark = document.createElement("span");
      mark.className = "op-mark";
      mark.dataset.kind = op.kind;
      mark.style.left = `${(100 * begin) / seconds}%`;
      mark.style.width = `${(100 * op.seconds) / seconds}%`;
      mark.title = `op ${index + 1}: ${op.label}`;
      begin += op.seconds;
      return mark;
    });
    box.replaceChildren(...marks);
    return marks;
  }

  class Transport {
    constructor(root, pair, timeline, player) {
      const { ops } = pair.header;
      Object.assign(this, { ops, timeline, player });
      this.root = root;
      this.scrub = makeScrub(root.querySelector("#scrub-box"), timeline.seconds);
      this.marks = makeMarks(root.querySelector("#op-marks"), ops, timeline.seconds);
      this.clock = root.querySelector("#clock");
      this.button = root.querySelector("#play");
      this.speed = root.querySelector("#speed");
      this.accesses = this.countAccesses(pair.panes[0].recording);
      this.op = -1;
      this.text = "";
      this.scrub.addEventListener("input", () => player.scrub(Number(this.scrub.value) / PER_SECOND));
      this.scrub.addEventListener("change", () => !player.playing && player.rested());
      this.speed.addEventListener("change", () => player.setSpeed(window.mmuviz.SPEEDS.indexOf(Number(this.speed.value))));
      this.changed();
    }

    countAccesses({ ops, op_columns: { first_touch: first }, touches }) {
      return ops.map((_, op) => {
        let accesses = 0;
        for (let row = first[op]; row < first[op + 1]; row += 1) {
          accesses += touches.accesses[row];
        }
        return Math.max(1, accesses);
      });
    }

    // Play, pause or speed changed.
    changed() {
      const { playing, speed } = this.player;
      this.button.setAttribute("aria-label", playing ? "Pause" : "Play");
      this.button.dataset.playing = playing ? "yes" : "no";
      this.speed.value = String(speed);
      window.mmuviz.nameButton(this.button);
    }

    move(x) {
      const value = String(Math.round(x * PER_SECOND));
      if (this.scrub.value !== value) {
        this.scrub.value = value;
      }
      this.scrub.style.setProperty("--done", `${(100 * x) / this.timeline.seconds}%`);
    }

    words(tick) {
      const { op, access } = this.timeline.place(tick);
      return {
        op: `op ${op + 1} of ${count(this.ops.length)}`,
        access: `access ${count(tick === 0 ? 0 : access + 1)} of ${count(this.accesses[op])}`,
        step: `step ${count(tick)} of ${count(this.timeline.total)}`,
        label: this.ops[op].label,
      };
    }

    show(tick) {
      const { op } = this.timeline.place(tick);
      const said = this.words(tick);
      window.mmuviz.putText(this.clock.querySelector(".clock-op"), `${said.op}: ${said.label}`);
      window.mmuviz.putText(this.clock.querySelector(".clock-step"), `${said.access} · ${said.step}`);
      this.scrub.setAttribute("aria-valuetext", `${said.op}, ${said.access}, ${said.step}`);
      if (op !== this.op) {
        this.marks.forEach((mark, index) => mark.toggleAttribute("data-now", index === op));
        this.op = op;
      }
    }
  }

  window.mmuviz.Transport = Transport;
})();
