// What stands beside the maps in words and numbers: figures, the sentence of each pane, and the summary for whoever
// cannot see the maps.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const UNITS = [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]];
  const FAULTS = ["faults_not_present", "faults_fast", "faults_slow"];
  const WAITS = "Waits: its part of this access is done.";
  const BEGINNING = "Nothing has happened yet.";
  const LIVE_MS = 1000;

  const WHOLE = new Intl.NumberFormat("en");
  const THREE_DIGITS = new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const count = (value) => WHOLE.format(value);
  // Never more than three digits before the unit, so that it fits wherever it stands.
  function memory(bytes) {
    const [unit, size] = UNITS.find(([, span]) => bytes / span >= 999.5 / 1024) || UNITS[UNITS.length - 1];
    return `${THREE_DIGITS.format(bytes / size)} ${unit}`;
  }
  const sum = (figures, names) => names.reduce((total, name) => total + figures[name], 0);

  // A text that stays where it is costs less than a new one.
  function put(element, text) {
    const first = element.firstChild;
    if (first && first === element.lastChild && first.nodeType === Node.TEXT_NODE) {
      if (first.data !== text) {
        first.data = text;
      }
    } else if (element.textContent !== text) {
      element.textContent = text;
    }
  }

  // Faults in ops during which the slot is logged: what dirty logging makes the vCPUs wait for.
  class FaultsWhileLogging {
    constructor(recording, counts, timeline) {
      this.logging = recording.op_columns.logging;
      this.counts = counts;
      this.before = [0];
      this.ends = [0];
      let end = 0;
      for (let op = 0; op < recording.ops.length; op += 1) {
        const start = end;
        end = timeline.nextOp(start);
        const added = this.logging[op] ? this.total(end) - this.total(start) : 0;
        this.before.push(this.before[op] + added);
        this.ends.push(end);
      }
    }

    total(tick) {
      return sum(this.counts.at(tick), FAULTS);
    }

    at(op, figures) {
      const now = this.logging[op] ? sum(figures, FAULTS) - this.total(this.ends[op]) : 0;
      return this.before[op] + now;
    }
  }

  function fill(template, values) {
    return template.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  }

  class PaneReadout {
    constructor(section, pane, index, counts, timeline) {
      Object.assign(this, { section, pane, index, counts, timeline });
      this.runs = pane.recording.runs;
      this.base = pane.recording.slot.base_gfn;
      this.logged = new FaultsWhileLogging(pane.recording, counts, timeline);
      this.figures = [...section.querySelectorAll("dd[data-figure]")];
      this.sentence = section.querySelector(".say-text");
      this.kernel = section.querySelector(".say code");
      this.say = section.querySelector(".say");
    }

    figuresAt(tick) {
      const figures = this.counts.at(tick);
      return { ...figures, faults_logged: this.logged.at(this.timeline.place(tick).op, figures) };
    }

    show(tick) {
      const figures = this.figuresAt(tick);
      for (const dd of this.figures) {
        const value = figures[dd.dataset.figure];
        if (dd.dataset.value !== String(value)) {
          const bytes = dd.dataset.figure === "table_bytes";
          dd.dataset.value = value;
          put(dd, bytes ? memory(value) : count(value));
          if (bytes) {
            dd.title = `${count(value)} bytes`;
          }
        }
      }
      const { text, code, why } = this.words(tick);
      put(this.sentence, text);
      put(this.kernel, code);
      this.kernel.title = code;
      this.say.dataset.why = why;
      return text;
    }

    // The sentence of the event that tick `tick` did.
    words(tick) {
      if (tick === 0) {
        return { text: BEGINNING, code: "", why: "quiet" };
      }
      const why = this.timeline.why(tick, this.index);
      if (why === "waits") {
        return { text: WAITS, code: "", why };
      }
      const { op, access } = this.timeline.place(tick);
      const vcpu = String(this.timeline.vcpuOf(op, access));
      if (why === "quiet") {
        const page = count(this.timeline.pageOf(op, access) || 0);
        return { text: fill(this.pane.quiet[op], { page, vcpu }), code: "", why };
      }
      return { ...this.eventWords(this.timeline.rowAt(tick, this.index), vcpu), why };
    }

    eventWords(row, vcpu) {
      const entries = this.runs.entries[row];
      const page = this.runs.gfn[row] - this.base;
      const say = this.pane.says[this.pane.say[row]];
      const text = fill(entries === 1 ? say.one : say.many, {
        n: count(entries),
        page: count(page),
        last: count(page + this.runs.stride[row] * (entries - 1)),
        gfn: `0x${this.runs.gfn[row].toString(16)}`,
        vcpu,
      });
      return { text, code: say.function };
    }
  }

  // Tells a screen reader where the story rests: never while it plays, at most once a second.
  class Live {
    constructor(element) {
      this.element = element;
      this.told = -LIVE_MS;
      this.timer = 0;
    }

    silence() {
      clearTimeout(this.timer);
    }

    tell(text) {
      clearTimeout(this.timer);
      const wait = Math.max(0, this.told + LIVE_MS - performance.now());
      this.timer = setTimeout(() => {
        this.told = performance.now();
        put(this.element, text);
      }, wait);
    }
  }

  Object.assign(window.mmuviz, { PaneReadout, Live, putText: put, countText: count });
})();
