// Pages affected by a defect of KVM in a recording of real KVM: they are ringed on the map and described in a note, and
// playback pauses there once. The note covers the map's lower edge; a map that is too low for it has it below the pane, in
// a place that is kept free for it, so that it covers nothing and nothing moves when it appears.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const COMMIT = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/commit/?id=";
  const SAYS = { lost: "LOST: written, never reported", whole: "NOT SPLIT: in the mask of this CLEAR, and left whole" };
  let known = null;

  // The marks of all recordings: {name: [{kind, cause, commit, op, until, gfns}]}; fetched once.
  function marks() {
    known = known || fetch("/api/lost.json").then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
    return known;
  }

  // The end of an op of a list, ps; null if it was not executed.
  function endOfOp(run, op) {
    const { calls } = run.tables;
    const row = Array.from(calls.op).lastIndexOf(op);
    return row < 0 ? null : calls.end_ps[row];
  }

  // The marks of a run with their times: {kind, cause, commit, gfns, fromPs, toPs}.
  S.lostMarks = function (run, all) {
    const { driver } = run.header.scenario;
    const found = (driver && driver.kind === "listed_ops" && all[driver.recording]) || [];
    return found
      .map((mark) => ({ ...mark, fromPs: endOfOp(run, mark.op), toPs: mark.until === null ? Infinity : endOfOp(run, mark.until) }))
      .filter(({ fromPs }) => fromPs !== null);
  };

  S.commitLink = (commit) =>
    S.el("a", { text: `commit ${commit}`, href: `${COMMIT}${commit}`, target: "_blank", rel: "noopener noreferrer" });

  const MOST_COVERED = 0.4; // of the map's height
  const NAME_HIGH = 8; // CSS px of the map that stay visible above a note

  class LostPages {
    constructor(stage) {
      this.stage = stage;
      this.stops = true;
      this.marks = [];
      this.notes = stage.panes.map((pane) => {
        const note = S.el("div", { class: "lost-note", role: "note" });
        const place = S.el("div", { class: "lost-place" }, S.el("p", { class: "lost-none", text: "No page is lost so far." }));
        note.hidden = place.hidden = true;
        pane.box.append(note);
        pane.section.append(place);
        return note;
      });
      this.places = stage.panes.map(({ section }) => section.querySelector(".lost-place"));
    }

    async shown(runs) {
      this.marks = [];
      this.stage.panes.forEach((pane) => (pane.lost = pane.lostSays = null));
      [...this.notes, ...this.places].forEach((each) => (each.hidden = true));
      if (!runs.some(({ header }) => header.scenario.driver?.recording)) {
        return;
      }
      const all = await marks();
      if (runs === this.stage.runs) {
        this.marks = runs.map((run) => S.lostMarks(run, all));
        runs.forEach((run, at) => (run.lostMarks = this.marks[at]));
        this.stopOnce();
        this.stage.panes.forEach((pane, at) => this.tie(pane, at));
        this.stage.resize();
        this.renewSummary();
      }
    }

    // A summary that was opened before the marks arrived does not know of them.
    renewSummary() {
      const summary = document.getElementById("stage-summary");
      if (!summary.hidden) {
        summary.hidden = true;
        this.stage.summed = null;
        this.stage.draw(this.stage.clock.now, true);
      }
    }

    // If a place that is kept free changes, so does the room of what lies below it.
    resize() {
      const changed = this.notes.map((note, at) => this.fit(note, at)).some(Boolean);
      if (changed && !this.fitting) {
        this.fitting = true;
        this.stage.resize();
        this.fitting = false;
      }
    }

    fit(note, at) {
      const place = this.places[at];
      const before = [place.hidden, place.style.height].join();
      const marks = this.marks[at] || [];
      const { box } = this.stage.panes[at];
      if (marks.length === 0) {
        place.hidden = true;
        return before !== [true, place.style.height].join();
      }
      place.prepend(note);
      place.hidden = note.hidden = false;
      place.style.height = "";
      const heights = [...new Set(marks.map(({ fromPs }) => fromPs))].map((ps) => {
        note.replaceChildren(...this.at(at, ps).flatMap((mark) => this.lines(mark)));
        return note.offsetHeight;
      });
      const high = Math.max(...heights);
      const low = S.isLow(); // no room for a place: the note covers the sentence
      const covers = high <= Math.min(MOST_COVERED * box.clientHeight, box.clientHeight - NAME_HIGH);
      place.hidden = low || covers;
      note.style.bottom = low && !covers ? `${-this.roomBelow(box, high)}px` : "";
      place.style.height = place.hidden ? "" : `${high}px`;
      place.lastChild.hidden = !marks.some(({ kind }) => kind === "lost");
      if (place.hidden) {
        box.append(note);
      }
      delete note.dataset.key;
      this.tellNote(note, at, S.timeOf(at, this.stage.clock.now));
      return before !== [place.hidden, place.style.height].join();
    }

    // How far a note reaches below the map in a low window: all of it, or down to the transport.
    roomBelow(box, high) {
      const { top } = document.getElementById("stage-transport").getBoundingClientRect();
      return Math.min(high + 2, Math.floor(top - box.getBoundingClientRect().bottom) - 4);
    }

    tie(pane, at) {
      if (!this.marks[at] || this.marks[at].length === 0) {
        return;
      }
      pane.lost = (ps) => this.at(at, ps).flatMap(({ gfns }) => gfns);
      pane.lostSays = ({ firstGfn, pages }, ps) => {
        const here = this.at(at, ps).find(({ gfns }) => gfns.some((gfn) => gfn >= firstGfn && gfn < firstGfn + pages));
        return here ? SAYS[here.kind] : "";
      };
    }

    // Marks of a run at a time, the last one of each kind.
    at(at, ps) {
      const now = (this.marks[at] || []).filter(({ fromPs, toPs }) => fromPs <= ps && ps < toPs);
      const kinds = [...new Set(now.map(({ kind }) => kind))];
      return kinds.map((kind) => {
        const of = now.filter((each) => each.kind === kind);
        return { ...of[of.length - 1], gfns: [...new Set(of.flatMap(({ gfns }) => gfns))] };
      });
    }

    // Playback pauses once, at the first lost page.
    stopOnce() {
      const { clock } = this.stage;
      const places = this.marks.flatMap((marks, run) => marks.map(({ fromPs }) => Math.round(clock.axis.placeOf(run, fromPs))));
      clock.once = this.stops && places.length ? [Math.min(...places)] : [];
    }

    started() {
      this.stopOnce();
    }

    tell(ps) {
      this.notes.forEach((note, at) => this.tellNote(note, at, S.timeOf(at, ps)));
    }

    tellNote(note, at, ps) {
      const marks = this.at(at, ps);
      const key = marks.map(({ kind, op }) => `${kind}${op}`).join();
      note.hidden = marks.length === 0;
      if (note.dataset.key !== key) {
        note.dataset.key = key;
        note.replaceChildren(...marks.flatMap((mark) => this.lines(mark)));
      }
    }

    lines({ kind, cause, commit, gfns }) {
      const stop = S.el("label", { class: "lost-stop" }, S.el("input", { type: "checkbox" }), "pause here");
      stop.firstChild.checked = this.stops;
      stop.firstChild.addEventListener("change", (event) => {
        this.stops = event.target.checked;
        this.stopOnce();
      });
      return [
        S.el("p", { class: "lost-head" }, S.el("b", { text: SAYS[kind] }), ` ${S.gfnsText(gfns)}`, stop),
        S.el("p", { text: cause }, commit ? " " : null, commit ? S.commitLink(commit) : null),
      ];
    }
  }

  (S.parts = S.parts || []).push((stage) => new LostPages(stage));
})();
