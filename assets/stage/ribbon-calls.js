// Calls on the scrubber: bars of calls or groups of calls, their texts, and the calls of a group.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LEAST = 3;
  // Bars that are nearer than this, or too narrow to hit, are merged.
  const APART = 3;
  const EASY = 8;
  // A level with more calls shows parts, each of which opens as a further level.
  const MOST = 64;

  // Calls that are too near each other form a group: [{x, width, calls}], left to right.
  S.callGroups = function (ribbon, run) {
    const found = [];
    for (const call of run.calls) {
      const x = ribbon.xAt(call.startPs);
      const end = Math.max(x + LEAST, ribbon.xAt(call.endPs));
      const last = found[found.length - 1];
      const near = last && x - (last.x + last.width) < APART;
      if (near && (end - x < EASY || last.narrow)) {
        last.calls.push(call);
        last.width = end - last.x;
        last.narrow = true;
      } else {
        found.push({ x, width: end - x, calls: [call], narrow: end - x < EASY });
      }
    }
    return found;
  };

  const spanText = (from, to) => `${S.timeText(from)} to ${S.timeText(to)}`;

  // "CLEAR 3 of 64": the number of a call among its kind.
  function nameOf(run, call) {
    const same = run.calls.filter(({ kind }) => kind === call.kind);
    return same.length > 1 ? `${S.callName(call.kind)} ${same.indexOf(call) + 1} of ${S.count(same.length)}` : S.callName(call.kind);
  }

  function kindsOf(calls) {
    const counts = new Map();
    calls.forEach(({ kind }) => counts.set(kind, (counts.get(kind) ?? 0) + 1));
    return [...counts].map(([kind, count]) => S.callsName(kind, count)).join(", ");
  }

  // The text of a bar.
  S.callsText = function (run, calls) {
    const [first, last] = [calls[0], calls[calls.length - 1]];
    const took = calls.map(({ startPs, endPs }) => endPs - startPs);
    const when = spanText(first.startPs, last.endPs);
    if (calls.length === 1) {
      return `${run.label}: ${nameOf(run, first)}, ${S.timeText(took[0])}, at ${when}`;
    }
    const whole = took.reduce((sum, each) => sum + each, 0);
    return `${run.label}: ${kindsOf(calls)}, ${S.timeText(whole)} in all, longest ${S.timeText(Math.max(...took))}, at ${when}`;
  };

  function callText(run, call) {
    const parts = [`${nameOf(run, call)}: ${S.timeText(call.endPs - call.startPs)} from ${S.timeText(call.startPs)}`];
    if (call.reported > 0) {
      parts.push(`${S.count(call.reported)} pages reported`);
    }
    if (call.splits > 0) {
      parts.push(`${S.count(call.splits)} splits`);
    }
    return parts.join(", ");
  }

  // The calls of a level: individually, or in equal parts if there are many.
  function partsOf(calls) {
    if (calls.length <= MOST) {
      return calls.map((call) => [call]);
    }
    const each = Math.ceil(calls.length / Math.min(MOST, Math.ceil(Math.sqrt(calls.length))));
    return Array.from({ length: Math.ceil(calls.length / each) }, (_, at) => calls.slice(at * each, (at + 1) * each));
  }

  const made = (tag, properties, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };

  class CallStrip {
    constructor(stage) {
      this.stage = stage;
      this.slider = stage.root.querySelector("[data-mmuviz=scrubber]");
      this.tip = made("div", { className: "call-tip", hidden: true });
      this.tip.setAttribute("aria-hidden", "true");
      this.place = made("section", { className: "call-strip", hidden: true });
      this.place.setAttribute("aria-label", "Calls, one by one");
      this.slider.after(this.tip, this.place);
      this.levels = [];
      this.slider.addEventListener("pointermove", (event) => this.hover(event));
      this.slider.addEventListener("pointerleave", () => (this.tip.hidden = true));
      this.slider.addEventListener("keydown", (event) => this.typed(event));
      this.place.addEventListener("keydown", (event) => this.typedInside(event));
      document.addEventListener("pointerdown", (event) => {
        if (!this.place.contains(event.target) && !this.slider.contains(event.target)) {
          this.close();
        }
      });
      stage.callStrip = this;
    }

    shown() {
      this.close();
      this.tip.hidden = true;
    }

    hover(event) {
      const { ribbon, runs } = this.stage;
      const box = this.slider.getBoundingClientRect();
      const hit = ribbon?.callsAt(event.clientX - box.left, event.clientY - box.top);
      this.tip.hidden = !hit || event.buttons > 0 || !this.place.hidden;
      if (this.tip.hidden) {
        return;
      }
      const more = hit.calls.length > 1 ? "; click for each" : "";
      this.tip.textContent = S.callsText(runs[hit.run], hit.calls) + more;
      const half = this.tip.offsetWidth / 2;
      const x = Math.max(8 + half, Math.min(event.clientX, window.innerWidth - half - 8));
      Object.assign(this.tip.style, { left: `${x}px`, bottom: `${window.innerHeight - box.top + 4}px` });
    }

    // Enter opens the calls at or before the current time.
    typed(event) {
      if (event.key !== "Enter") {
        return;
      }
      event.preventDefault();
      const { ribbon, clock, runs } = this.stage;
      const begun = runs.map((run, index) => run.callsBegun(clock.axis.timeOf(index, clock.now)));
      const run = Math.max(0, begun.findIndex((count) => count > 0));
      const call = runs[run].calls[Math.max(0, begun[run] - 1)];
      const group = ribbon.groups[run].find(({ calls }) => calls.includes(call));
      if (group) {
        this.open(run, group.calls);
      }
    }

    open(run, calls) {
      this.levels = [{ run, calls }];
      this.fill();
    }

    close() {
      if (!this.place.hidden) {
        const inside = this.place.contains(document.activeElement);
        this.place.hidden = true;
        if (inside) {
          this.slider.focus({ preventScroll: true });
        }
      }
    }

    // Escape goes up one level, or closes the first one; arrows go from call to call.
    typedInside(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") {
        this.up();
      } else if (step) {
        const all = [...this.place.querySelectorAll(".call-part")];
        all[all.indexOf(document.activeElement) + step]?.focus();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    }

    up() {
      this.levels.pop();
      if (this.levels.length) {
        this.fill();
      } else {
        this.close();
      }
    }

    fill() {
      const { run: index, calls } = this.levels[this.levels.length - 1];
      const run = this.stage.runs[index];
      const parts = partsOf(calls);
      const longest = Math.max(...calls.map(({ startPs, endPs }) => endPs - startPs));
      const close = made("button", { type: "button", className: "tool", textContent: this.levels.length > 1 ? "Back" : "Close" });
      close.addEventListener("click", () => this.up());
      const description = made("p", { className: "call-says" }, S.callsText(run, calls));
      const list = made("div", { className: "call-parts" }, ...parts.map((part) => this.button(index, part, longest, description)));
      this.tip.hidden = true;
      this.place.replaceChildren(made("div", { className: "call-head" }, description, close), list);
      this.place.style.bottom = `${window.innerHeight - this.slider.getBoundingClientRect().top + 4}px`;
      this.place.hidden = false;
      const now = this.stage.clock.axis.timeOf(index, this.stage.clock.now);
      const at = parts.findIndex((part) => now < part[part.length - 1].endPs);
      list.children[Math.max(0, at)].focus({ preventScroll: true });
    }

    button(index, part, longest, description) {
      const run = this.stage.runs[index];
      const took = Math.max(...part.map(({ startPs, endPs }) => endPs - startPs));
      const number = (call) => run.calls.filter(({ kind }) => kind === call.kind).indexOf(call) + 1;
      const [first, last] = [part[0], part[part.length - 1]];
      const bar = made("i", {});
      bar.style.setProperty("--share", String(longest ? took / longest : 0));
      const text = part.length > 1 ? `${number(first)}–${number(last)}` : String(number(first));
      const button = made("button", { type: "button", className: "call-part" }, bar, made("span", { textContent: text }));
      const label = part.length > 1 ? S.callsText(run, part) : callText(run, first);
      button.setAttribute("aria-label", label);
      button.dataset.ps = String(first.startPs);
      button.addEventListener("pointerenter", () => (description.textContent = label));
      button.addEventListener("focus", () => (description.textContent = label));
      button.addEventListener("click", () => {
        if (part.length > 1) {
          this.levels.push({ run: index, calls: part });
          this.fill();
        } else {
          this.stage.goTo(first.startPs, index);
        }
      });
      return button;
    }
  }

  (S.parts = S.parts || []).push((stage) => new CallStrip(stage));
})();
