// Zooms the maps of all panes into a part of memory, down to single pages: requests the same runs with a Focus, whose
// events give the state of each page at any instant. The current maps stay until these runs arrive; the clock continues.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const REGION = 512;
  const MOST = 16384; // pages of a Focus: 64 MiB
  const MOST_SAID = 3; // stretches of memory in a message
  const SHOWN = /^0x([0-9a-f]{1,10}):([0-9]{1,5})$/;
  const floorTo = (gfn, step) => Math.floor(gfn / step) * step;
  const meets = (each, { first, pages }) => each.first < first + pages && each.first + each.pages > first;
  const same = (a, b) => (a && a.first) === (b && b.first) && (a && a.pages) === (b && b.pages);

  // The part of memory that is shown: null for all of it, or {first, pages}.
  (S.linkFields = S.linkFields || {}).zoom = {
    initial: null,
    read(text, wrong) {
      const found = SHOWN.exec(text);
      const pages = found ? Number(found[2]) : 0;
      if (pages < 1 || pages > MOST) {
        throw wrong(`must be FIRST:PAGES of at most ${MOST} pages, e.g. 0x100200:512`);
      }
      return { first: parseInt(found[1], 16), pages };
    },
    write: (zoom) => (zoom ? `0x${zoom.first.toString(16)}:${zoom.pages}` : null),
  };

  // Runs with a Focus, of which only the events are used.
  class FocusRequest extends S.Request {
    async fetchRun(each) {
      const response = await fetch(each.url);
      if (!response.ok) {
        throw new Error("The events of this memory are gone; zoom again.");
      }
      const { header, tables } = S.decode(await response.arrayBuffer());
      return { header, events: tables.events };
    }
  }

  class Zoom {
    constructor(stage) {
      this.stage = stage;
      this.zoom = null;
      this.folds = null;
      this.own = new WeakMap(); // folds of runs whose own events cover all their memory
      this.request = null;
      this.bars = stage.panes.map((pane, at) => this.makeBar(pane, at));
      stage.panes.forEach((pane, at) => pane.canvas.addEventListener("click", (event) => this.clicked(event, pane, at)));
      // Before the stage's own listener, which would request runs again: another zoom needs no other run.
      window.addEventListener("popstate", (event) => this.travelled(event));
      document.addEventListener("keydown", (event) => this.typed(event));
    }

    makeBar(pane, at) {
      const bar = S.el("nav", { class: "zoom-bar", "aria-label": `Part of memory, pane ${at + 1}` });
      bar.hidden = true;
      bar.addEventListener("click", (event) => {
        const act = event.target.closest("[data-zoom]")?.dataset.zoom;
        if (act) {
          this.pressed(act);
        }
      });
      pane.box.prepend(bar);
      return bar;
    }

    // ---- windows

    clicked(event, pane, at) {
      const box = pane.canvas.getBoundingClientRect();
      const hit = pane.map && pane.map.hit(event.clientX - box.left, event.clientY - box.top);
      if (hit) {
        this.into(at, hit);
      }
    }

    // Zooms into a cell of a pane's map, or to a clicked vCPU.
    into(at, hit) {
      const { run } = this.stage.panes[at];
      if (this.zoom && S.zoomStep(this.zoom) === 1) {
        return; // single pages
      }
      const gfn = hit.vcpu >= 0 ? run.vcpuGfn(this.stage.clock.now, hit.vcpu) : -1;
      const { firstGfn } = hit;
      const span = this.zoom ? REGION : this.stage.panes[at].cellSpan;
      if (span <= REGION) {
        this.go({ first: floorTo(gfn >= 0 ? gfn : firstGfn, REGION), pages: REGION });
      } else if (span <= MOST) {
        this.go({ first: floorTo(firstGfn, span), pages: span });
      } else {
        this.go({ first: floorTo(gfn >= 0 ? gfn : this.busiest(run, firstGfn, span), MOST), pages: MOST });
      }
    }

    // For a cell that is larger than a Focus: the memory of the last example in it, else its beginning.
    busiest(run, firstGfn, span) {
      const { gfn, time_ps: times } = run.tables.examples;
      const now = this.stage.clock.now;
      const inside = run.exampleRows.filter((row) => gfn[row] >= firstGfn && gfn[row] < firstGfn + span);
      const before = inside.filter((row) => times[row] <= now);
      const row = before.length ? before[before.length - 1] : inside[0];
      return row === undefined ? firstGfn : gfn[row];
    }

    // The windows from the outermost to this one.
    stepsOf(zoom) {
      const span = this.stage.panes[0].cellSpan;
      const window_ = Math.min(span, MOST);
      const outer = zoom.pages <= REGION && window_ > REGION ? [{ first: floorTo(zoom.first, window_), pages: window_ }] : [];
      return [...outer, zoom];
    }

    pressed(act) {
      const steps = this.stepsOf(this.zoom);
      if (act === "all") {
        this.go(null);
      } else if (act === "out") {
        this.go(steps.length > 1 ? steps[steps.length - 2] : null);
      } else if (act.startsWith("step-")) {
        this.go(steps[Number(act.slice(5))]);
      } else {
        this.go(this.beside(act === "before" ? -1 : 1));
      }
    }

    // The adjacent window with guest memory, before or after; gaps are skipped.
    beside(step) {
      const { first, pages } = this.zoom;
      const stretches = S.stretchesOf(this.stage.runs[0]);
      const wanted = first + step * pages;
      if (stretches.some((each) => meets(each, { first: wanted, pages }))) {
        return { first: wanted, pages };
      }
      const ends = stretches.map((each) => (step > 0 ? each.first : each.first + each.pages - 1));
      const near = ends.filter((gfn) => (step > 0 ? gfn >= wanted : gfn < first)).sort((a, b) => step * (a - b))[0];
      return near === undefined ? this.zoom : { first: floorTo(near, pages), pages };
    }

    typed(event) {
      const free = !event.defaultPrevented && !document.querySelector("dialog[open]") && !event.target.closest?.("input, select, textarea");
      if (event.key !== "Escape" || !free) {
        return;
      }
      if (this.request) {
        this.forget();
      } else if (this.zoom) {
        this.pressed("out");
      }
    }

    // ---- requests

    // Shows a part of memory; `how` is "push" to add a history entry, "replace" to replace the current one.
    async go(zoom, how = "push") {
      this.forget();
      if (same(zoom, this.zoom)) {
        return;
      }
      const outside = zoom && this.outside(zoom);
      if (outside) {
        this.refuse(outside, how);
        return;
      }
      if (zoom === null || this.foldsOf(zoom)) {
        this.show(zoom, zoom && this.foldsOf(zoom), how);
        return;
      }
      const { runs } = this.stage;
      try {
        const folds = await this.fetchFolds(zoom);
        if (folds && runs === this.stage.runs) {
          this.show(zoom, folds, how);
        }
      } catch (error) {
        this.refuse(`${S.windowText(zoom)}: ${error.message}`, how);
      }
    }

    // Why a window cannot be shown that holds no guest memory, with one that can; "" if it holds some.
    outside(zoom) {
      const { write } = S.linkFields.zoom;
      const stretches = S.stretchesOf(this.stage.runs[0]);
      if (stretches.some((each) => meets(each, zoom))) {
        return "";
      }
      const there = stretches.slice(0, MOST_SAID).map((each) => S.windowText(each)).join(", ");
      const [{ first, pages }] = stretches;
      const can = { first, pages: Math.min(zoom.pages, pages) };
      return `zoom=${write(zoom)} holds no guest memory, which is ${there}; give a part of it, e.g. zoom=${write(can)}.`;
    }

    // Available folds that cover a window.
    foldsOf(zoom) {
      const { runs } = this.stage;
      if (this.folds && this.folds.every((fold) => fold.holds(zoom.first, zoom.pages))) {
        return this.folds;
      }
      const own = runs.map((run) => this.ownFold(run));
      return own.every((fold) => fold && fold.fromPs === 0 && this.coversAll(fold, zoom)) ? own : null;
    }

    ownFold(run) {
      if (!this.own.has(run) && run.header.focus) {
        this.own.set(run, new S.PageFold({ header: run.header, events: run.tables.events }));
      }
      return this.own.get(run) || null;
    }

    // A window may extend beyond a Focus of the whole guest; there is no memory there.
    coversAll(fold, { first, pages }) {
      const inside = S.stretchesOf(this.stage.runs[0]).filter((each) => meets(each, { first, pages }));
      return inside.every((each) => fold.holds(Math.max(first, each.first), Math.min(first + pages, each.first + each.pages) - Math.max(first, each.first)));
    }

    // 64 MiB at once, so that adjacent memory is available too; only the window if that has too many events.
    async fetchFolds(zoom) {
      const wide = { first: floorTo(zoom.first, MOST), pages: MOST };
      const found = await this.fetch(wide.first + MOST >= zoom.first + zoom.pages ? wide : zoom);
      if (found && found.some(({ header }) => header.events_left_out > 0) && zoom.pages < MOST) {
        const less = await this.fetch(zoom);
        return less && less.map((each) => new S.PageFold(each));
      }
      return found && found.map((each) => new S.PageFold(each));
    }

    async fetch({ first, pages }) {
      const { state } = this.stage;
      if (S.recordingsOf(state)) {
        throw new S.Refused({ message: "a Recording from a file knows single pages only in its own Focus; open its Scenario" });
      }
      const wanted = S.wantedOf(state, { first_gfn: first, pages });
      const request = new FocusRequest(wanted, (job) => this.showWaiting(job));
      this.request = request;
      this.showWaiting({});
      const { runs } = await request.send();
      if (request !== this.request || request.cancelled) {
        return null;
      }
      this.request = null;
      this.showWaiting(null);
      return runs;
    }

    // The request was cancelled or superseded.
    forget() {
      this.request?.cancel();
      this.request = null;
      this.showWaiting(null);
    }

    showWaiting(job) {
      this.waiting = this.waiting || this.makeWaiting();
      this.waiting.hidden = job === null;
      if (job) {
        const { share = 0, eta_s: left, place = 0, estimate } = job;
        const done = share > 0 ? `${Math.round(100 * share)} %, about ${Math.ceil(left ?? 0)} s left` : estimate?.description || "";
        const parts = ["Zooming in: the run again, with each event of this memory", place > 0 ? `waiting, ${place} before it` : done];
        this.waiting.firstChild.textContent = `${parts.filter(Boolean).join(": ")}.`;
      }
    }

    makeWaiting() {
      const waiting = S.el("div", { class: "zoom-waiting", role: "status" }, S.el("span"), S.el("button", {
        text: "Cancel", class: "zoom-button", on: { click: () => this.forget() },
      }));
      this.stage.root.querySelector(".panes").append(waiting);
      return waiting;
    }

    // Maps stay as they are, and the address says so.
    refuse(message, how) {
      this.request = null;
      this.showWaiting(null);
      if (how === "shown") {
        this.stage.state.zoom = null;
      }
      this.stage.address.remember();
      this.stage.controls.refuse(null, message);
    }

    // ---- display

    show(zoom, folds, how) {
      const { stage } = this;
      this.zoom = zoom;
      this.folds = folds && folds.every((fold) => [...this.stage.runs].every((run) => this.own.get(run) !== fold)) ? folds : this.folds;
      stage.state.zoom = zoom;
      stage.runs.forEach((run, at) => {
        stage.panes[at].zoom(zoom && S.zoomOptions(run, folds[at], zoom));
        this.bars[at].hidden = zoom === null;
        S.showMapKey(stage.panes[at].section, run, zoom);
        if (zoom) {
          this.bars[at].replaceChildren(...S.zoomBar(run, this.stepsOf(zoom), this.noteOf(folds[at])));
        }
      });
      stage.resize();
      this.keep(how);
      document.getElementById("stage-live").textContent = zoom ? `Maps show ${S.windowText(zoom)}.` : "Maps show all of memory.";
    }

    noteOf({ knownPs }) {
      return knownPs < this.stage.clock.endPs ? `exact up to ${S.timeText(knownPs)}, later events are not kept` : "";
    }

    // Each window is a history entry. The stage adds an entry if the key differs from the one that it kept.
    keep(how) {
      const { address } = this.stage;
      if (how === "push") {
        address.kept = "";
      }
      address.remember();
    }

    travelled(event) {
      const { stage } = this;
      const wanted = S.readLink(window.location.search);
      if (stage.address.keyOf(wanted) === stage.address.keyOf(stage.state) && !wanted.complaint) {
        event.stopImmediatePropagation();
        this.go(wanted.zoom, "replace");
      }
    }

    // Other runs: shows the same memory, if it was zoomed and exists in them.
    shown(_, state) {
      this.forget();
      this.zoom = this.folds = null;
      this.bars.forEach((bar) => (bar.hidden = true));
      const wanted = state.zoom;
      if (wanted) {
        this.go(wanted, "shown");
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => (stage.zooming = new Zoom(stage)));
  (S.moreKeys = S.moreKeys || []).push(
    [["Arrows on a map"], "move a cursor over its cells", ""], [["Enter on a map"], "zoom into the cell", ""],
    [["Esc"], "zoom out", ""],
  );
})();
