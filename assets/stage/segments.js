// Phases of a migration as segments above the scrubber: setup, each round, downtime, post-copy. A press seeks to the
// begin of one. They are to scale, except those that would be too narrow to hit; hairlines in the ribbons are exact. The
// current one is named in full beside them, since a narrow one has no room for its name and touch screens no tooltips.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LEAST = 24; // CSS px: WCAG 2.2, target size
  const BESIDE = 6;
  const TEXT_PX = 12;
  const NAMES = {
    lead: "before", setup: "setup", round: "round", downtime: "downtime", postcopy: "post-copy", interval: "pause", tail: "after",
  };
  const FULL_NAMES = { ...NAMES, lead: "before migration", tail: "after migration" };
  const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
  const byId = (id) => document.getElementById(id);

  // The phases of a migration, in order: {kind, number, startPs, endPs}; empty for other runs.
  S.segmentsOf = function (run) {
    if (!S.migrates(run)) {
      return [];
    }
    return run.phases
      .filter(({ kind, startPs, endPs }) => kind in NAMES && endPs > startPs)
      .map(({ kind, iteration, startPs, endPs }) => ({ kind, number: iteration, startPs, endPs }));
  };

  const nameOf = ({ kind, number }, names = NAMES) => (kind === "round" ? `round ${number}` : names[kind]);

  // The texts of a segment or group, longest first; the last one is empty: a colour alone says more than a letter.
  S.segmentTexts = function (group) {
    const [first, last] = [group[0], group.at(-1)];
    if (group.length > 1) {
      return [`rounds ${first.number}–${last.number}`, `${first.number}–${last.number}`, ""];
    }
    return first.kind === "round" ? [nameOf(first), String(first.number), ""] : [nameOf(first), ""];
  };

  // The texts that name the current segment, longest first.
  S.currentTexts = function (run, segment) {
    const name = nameOf(segment, FULL_NAMES);
    const [from, to] = [segment.startPs, segment.endPs].map((ps) => S.timeText(ps));
    const when = from === to ? `${name}, ${S.timeText(segment.endPs - segment.startPs)} from ${from}` : `${name}, ${from} to ${to}`;
    const row = S.roundRows?.(run).find(({ startPs }) => startPs === segment.startPs);
    const sent = row ? [`${when}: ${S.bytesText(row.sentBytes)} sent, ${S.bytesText(row.leftBytes)} left`] : [];
    return [...sent, when, name, nameOf(segment)];
  };

  // The text of a segment: its name and time, and for a round the bytes sent and left.
  S.segmentText = function (run, segment) {
    const text = `${nameOf(segment)}, ${S.timeText(segment.startPs)} to ${S.timeText(segment.endPs)}`;
    const row = S.roundRows?.(run).find(({ startPs }) => startPs === segment.startPs);
    return row ? `${text}: ${S.bytesText(row.sentBytes)} sent, ${S.bytesText(row.leftBytes)} were left at its sync` : text;
  };

  // Groups of segments that fit: one each, or adjacent rounds together if there are too many.
  S.segmentGroups = function (segments, wide) {
    const most = Math.max(1, Math.floor(wide / LEAST));
    const groups = segments.map((each) => [each]);
    while (groups.length > most) {
      const pairs = groups.slice(1).map((group, at) => ({ at, long: group.at(-1).endPs - groups[at][0].startPs, both: [groups[at], group] }));
      const rounds = pairs.filter(({ both }) => both.every((group) => group.every(({ kind }) => kind === "round")));
      const { at } = (rounds.length ? rounds : pairs).reduce((a, b) => (b.long < a.long ? b : a));
      groups.splice(at, 2, [...groups[at], ...groups[at + 1]]);
    }
    return groups;
  };

  // Positions of groups: [{x, wide}], to scale but with a least width, at the expense of the wider ones.
  S.segmentPlaces = function (groups, xAt) {
    const natural = groups.map((group) => xAt(group.at(-1).endPs) - xAt(group[0].startPs));
    const sum = natural.reduce((all, each) => all + each, 0);
    const spare = natural.reduce((all, each) => all + Math.max(0, each - LEAST), 0);
    const missing = natural.reduce((all, each) => all + Math.max(0, LEAST - each), 0);
    const give = spare > 0 ? Math.min(1, missing / spare) : 0;
    let x = groups.length ? xAt(groups[0][0].startPs) : 0;
    x -= Math.max(0, LEAST * groups.length - sum);
    return natural.map((each) => {
      const wide = each < LEAST ? LEAST : each - give * (each - LEAST);
      const place = { x, wide };
      x += wide;
      return place;
    });
  };

  class Segments {
    constructor(stage) {
      this.stage = stage;
      this.place = byId("stage-segments");
      this.slider = stage.root.querySelector("[data-mmuviz=scrubber]");
      this.place.addEventListener("keydown", (event) => this.typed(event));
      this.place.addEventListener("click", (event) => this.click(event));
      this.run = 0;
      this.acts = { "next-phase": () => this.step(1), "last-phase": () => this.step(-1) };
    }

    step(direction) {
      this.stage.clock.step("phase", direction);
      this.stage.changed();
    }

    shown(runs) {
      this.run = Math.max(0, runs.findIndex((run) => S.segmentsOf(run).length > 0));
      this.stage.root.classList.toggle("has-segments", runs.some((run) => S.segmentsOf(run).length > 0));
      this.stage.ribbon.hairs = runs.map((run) => S.segmentsOf(run).slice(1).map(({ startPs }) => startPs));
    }

    // The height that charts and loupes need: their height without segments plus that of the segments.
    get lowerShare() {
      const shown = !S.isLow() && this.stage.root.classList.contains("has-segments");
      return shown ? S.usualLowerShare() + (LEAST + 4) / window.innerHeight : 0;
    }

    get segments() {
      return S.segmentsOf(this.stage.runs[this.run]);
    }

    resize() {
      const { segments } = this;
      this.place.hidden = segments.length === 0;
      if (this.place.hidden) {
        return;
      }
      if (!this.place.offsetParent) {
        return; // the transport is not shown
      }
      const { ribbon, runs } = this.stage;
      const { left: from, top: above } = this.place.offsetParent.getBoundingClientRect();
      const { left, top } = this.slider.getBoundingClientRect();
      const low = S.isLow();
      this.place.style.left = `${left - from}px`;
      this.place.style.top = low ? `${top - above}px` : "";
      this.place.style.width = `${ribbon.width}px`;
      this.ctx ??= document.createElement("canvas").getContext("2d");
      this.ctx.font = S.chartFont(TEXT_PX * (Number(window.getComputedStyle(this.place).getPropertyValue("--k")) || 1), 600);
      const groups = S.segmentGroups(segments, ribbon.xAt(segments.at(-1).endPs) - ribbon.left);
      const places = S.segmentPlaces(groups, (ps) => ribbon.xAt(ps));
      const { label } = runs[this.run];
      this.place.setAttribute("aria-label", `Phases of ${label}`);
      this.buttons = groups.map((group, at) => this.button(group, places[at]));
      const others = runs.filter((run) => S.segmentsOf(run).length > 0).length > 1;
      const name = S.el("button", {
        type: "button", class: "segments-run", title: others ? "Phases of the next pane" : label,
        "aria-label": others ? `Phases of ${label}; show those of the next pane` : `Phases of ${label}`,
      }, S.el("span", { text: ribbon.rowNames[this.run] }), others ? S.el("span", { class: "segments-next", text: "⇅" }) : null);
      name.disabled = !others;
      name.style.fontSize = ribbon.namePx < ribbon.px ? `${ribbon.namePx}px` : "";
      this.says = S.el("span", { class: "segments-now" });
      this.side = S.el("div", { class: "segments-side" }, this.says, name);
      // It ends before the segments, and on wide screens begins at the left edge of the page. In low windows, which have no
      // room for segments, it is above the names of the runs, if there is a line for it.
      const edge = parseFloat(window.getComputedStyle(this.place.offsetParent).paddingLeft);
      const begin = low || S.isNarrow() ? 0 : edge + from - left;
      this.side.hidden = low && !ribbon.hasIoctlNames;
      Object.assign(this.side.style, { left: `${begin}px`, width: `${Math.max(LEAST, ribbon.left - BESIDE - begin)}px` });
      this.place.replaceChildren(this.side, ...this.buttons);
      this.all = segments;
      this.current = this.named = null;
      this.mark();
    }

    // Writes the longest text that fits.
    name(segment) {
      const { ctx, says } = this;
      const texts = S.currentTexts(this.stage.runs[this.run], segment);
      says.textContent = texts.find((text) => ctx.measureText(text).width <= says.clientWidth) ?? texts.at(-1);
    }

    button(group, { x, wide }) {
      const run = this.stage.runs[this.run];
      const [first, last] = [group[0], group.at(-1)];
      const texts = S.segmentTexts(group);
      const label = group.length > 1
        ? `${texts[0]}, ${S.timeText(first.startPs)} to ${S.timeText(last.endPs)}; press again for the next of them`
        : S.segmentText(run, first);
      const button = S.el("button", {
        type: "button", class: "segment", title: label, "aria-label": label, tabindex: "-1",
        data: { kind: first.kind, ps: first.startPs, number: first.number },
      });
      Object.assign(button.style, { left: `${x}px`, width: `${wide}px` });
      button.segments = group;
      button.textContent = texts.find((text) => this.ctx.measureText(text).width < wide - 8) ?? "";
      return button;
    }

    click(event) {
      const button = event.target.closest("button");
      if (button?.classList.contains("segments-run")) {
        const { runs } = this.stage;
        do {
          this.run = (this.run + 1) % runs.length;
        } while (S.segmentsOf(runs[this.run]).length === 0);
        this.resize();
        this.place.querySelector(".segments-run").focus();
      } else if (button) {
        const now = this.now();
        const next = button.segments.find(({ startPs }) => startPs > now) ?? button.segments[0];
        const inside = button.segments.length > 1 && button.getAttribute("aria-current") === "true";
        this.stage.goTo((inside ? next : button.segments[0]).startPs, this.run);
      }
    }

    // Arrows go from one segment to the next; Enter goes to its time.
    typed(event) {
      const at = this.buttons?.indexOf(document.activeElement) ?? -1;
      if (!(event.key in STEPS) || at < 0) {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      this.buttons[Math.max(0, Math.min(this.buttons.length - 1, at + STEPS[event.key]))].focus();
    }

    now() {
      const { clock } = this.stage;
      return clock.axis.timeOf(this.run, clock.now);
    }

    mark() {
      if (this.place.hidden || !this.buttons) {
        return;
      }
      const ps = this.now();
      const named = this.all.findLast(({ startPs }) => startPs <= ps) ?? this.all[0];
      if (named !== this.named) {
        this.named = named;
        this.name(named);
      }
      const found = this.buttons.findLast(({ segments }) => segments[0].startPs <= ps) ?? this.buttons[0];
      if (found === this.current) {
        return;
      }
      this.current = found;
      for (const each of this.buttons) {
        each.setAttribute("aria-current", String(each === found));
        each.tabIndex = each === found ? 0 : -1;
      }
    }

    tell() {
      this.mark();
    }
  }

  (S.moreKeys = S.moreKeys || []).push([["}"], "next phase: the next round of a migration", "next-phase"], [["{"], "previous phase", "last-phase"]);
  (S.parts = S.parts || []).push((stage) => new Segments(stage));
})();
