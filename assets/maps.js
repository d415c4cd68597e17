// Both maps on the page: what part of the memory they show, and painting them at a tick. The panes share one view.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const MOST_MARKED_ROWS = 24;
  const MOST_RANGES = 64;
  const PER_TILE = 512;
  const KIB_PER_PAGE = 4;
  const UNITS = [["TiB", 2 ** 30], ["GiB", 2 ** 20], ["MiB", 2 ** 10], ["KiB", 1]];
  const count = (value) => value.toLocaleString("en");

  function size(pages) {
    const kib = pages * KIB_PER_PAGE;
    const [unit, span] = UNITS.find(([, least]) => kib >= least);
    return `${count(kib / span)} ${unit}`;
  }

  class MapPane {
    constructor(section, recording, index) {
      this.section = section;
      this.index = index;
      this.title = section.querySelector("h3").textContent;
      this.recording = recording;
      this.pageMap = new window.mmuviz.PageMap(recording);
      this.box = section.querySelector(".map-box");
      this.canvas = section.querySelector("canvas.map");
      this.marks = section.querySelector("canvas.marks");
      this.logged = false;
      this.shape = null;
      this.tick = 0;
    }

    fit(slot, view) {
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [this.box.clientWidth, this.box.clientHeight].map((px) => Math.floor(px * ratio));
      this.shape = window.mmuviz.geometry(slot, view, width, height);
    }

    // Paints the map at a tick.
    draw(tick, timeline, whole) {
      const cursor = timeline.cursor(tick, this.index);
      this.logged = this.loggedAt(timeline.place(tick));
      this.pageMap.seek(cursor);
      const touched = this.pageMap.touched();
      window.mmuviz.paint(this.canvas, this.pageMap, this.shape, this.logged, whole ? "all" : touched);
      window.mmuviz.mark(this.marks, this.shape, this.rangesAt(tick, timeline, cursor));
      this.tick = tick;
    }

    // An op turns the log on or off when it is done: dirty bits from before are nothing that the log found.
    loggedAt({ op, opDone }) {
      const { logging } = this.recording.op_columns;
      return (opDone ? logging[op] : logging[op - 1] || 0) !== 0;
    }

    // What happened since the last painted tick if that was just before, else what this very tick did.
    rangesAt(tick, timeline, cursor) {
      const newest = timeline.rowAt(tick, this.index);
      const before = this.tick < tick ? timeline.cursor(this.tick, this.index) : cursor;
      const rows = newest >= 0 ? [newest] : [];
      for (let row = Math.max(before, cursor - MOST_MARKED_ROWS); row < cursor && this.playing; row += 1) {
        rows.push(row);
      }
      return rows.flatMap((row) => window.mmuviz.rangesOfRow(this.recording, row, MOST_RANGES));
    }
  }

  class Maps {
    constructor(root, pair, timeline, redraw) {
      this.slot = pair.panes[0].recording.slot;
      this.timeline = timeline;
      this.redraw = redraw;
      this.panes = pair.panes.map((pane, index) =>
        new MapPane(root.querySelector(`[data-pane="${index}"]`), pane.recording, index));
      this.depths = window.mmuviz.views(this.slot).length;
      this.path = document.getElementById("view-path");
      this.scale = document.getElementById("map-scale");
      this.gfn = this.slot.base_gfn;
      this.tick = 0;
      this.sizes = new ResizeObserver(() => this.fit());
      this.panes.forEach((pane) => {
        this.sizes.observe(pane.box);
        pane.canvas.addEventListener("click", (event) => this.click(pane, event));
        pane.canvas.addEventListener("keydown", (event) => this.key(event));
      });
      this.path.addEventListener("click", (event) => this.choose(event));
      this.setDepth(0);
    }

    get view() {
      return window.mmuviz.viewAt(this.slot, this.depth, this.gfn);
    }

    // What of the view lies in the slot.
    get shown() {
      const { first, pages } = this.view;
      const from = Math.max(first, this.slot.base_gfn);
      return { first: from, pages: Math.min(first + pages, this.slot.base_gfn + this.slot.pages) - from };
    }

    fit() {
      this.panes.forEach((pane) => pane.fit(this.slot, this.view));
      this.whole = true;
      this.redraw();
    }

    setDepth(depth, gfn = this.gfn) {
      this.depth = Math.min(this.depths - 1, Math.max(0, depth));
      this.gfn = Math.min(this.slot.base_gfn + this.slot.pages - 1, Math.max(this.slot.base_gfn, gfn));
      this.writePath();
      this.fit();
    }

    writePath() {
      const buttons = [];
      for (let depth = 0; depth <= this.depth; depth += 1) {
        const view = window.mmuviz.viewAt(this.slot, depth, this.gfn);
        const button = document.createElement("button");
        const page = count(Math.max(0, view.first - this.slot.base_gfn));
        button.type = "button";
        button.dataset.depth = depth;
        const name = depth === 0 ? `Whole slot, ${size(view.pages)}` : view.name;
        button.textContent = depth === 0 || depth < this.depth ? name : `${name} at page ${page}`;
        button.toggleAttribute("aria-current", depth === this.depth);
        buttons.push(button);
      }
      this.path.replaceChildren(...buttons);
      const { span } = this.view;
      const cell = span === 1 ? "one 4K page" : `${count(span)} pages (${size(span)})`;
      const more = this.depth + 1 < this.depths ? " Click to zoom." : "";
      this.scale.textContent = `Cell: ${cell}; block: ${size(span * PER_TILE)}.${more}`;
      this.panes.forEach(({ canvas }) => canvas.classList.toggle("deepest", this.depth + 1 >= this.depths));
    }

    choose(event) {
      const button = event.target.closest("button");
      if (button) {
        this.setDepth(Number(button.dataset.depth));
        this.path.lastChild.focus();
      }
    }

    click(pane, event) {
      const ratio = window.devicePixelRatio || 1;
      const cell = window.mmuviz.cellAt(pane.shape, event.offsetX * ratio, event.offsetY * ratio);
      if (cell >= 0) {
        this.setDepth(this.depth + 1, pane.shape.first + cell * pane.shape.span);
      }
    }

    key(event) {
      if (event.key === "Enter") {
        event.preventDefault();
        this.zoomIn();
      }
    }

    // Into what happens now: the newest event of either pane, else the page that the guest touches.
    zoomIn() {
      const { op, access } = this.timeline.place(this.tick);
      const rows = this.panes.map((pane) => this.timeline.rowAt(this.tick, pane.index));
      const pane = this.panes.find(({ index }) => rows[index] >= 0);
      const page = this.timeline.pageOf(op, access);
      const here = pane ? pane.recording.runs.gfn[rows[pane.index]] : this.slot.base_gfn + page;
      const inView = this.depth > 0 && (here < this.view.first || here >= this.view.first + this.view.pages);
      this.setDepth(this.depth + 1, inView ? this.gfn : here);
    }

    zoomOut() {
      this.setDepth(this.depth - 1);
    }

    draw(tick, playing) {
      for (const pane of this.panes) {
        pane.playing = playing;
        pane.draw(tick, this.timeline, this.whole);
      }
      this.whole = false;
      this.tick = tick;
    }

    repaint() {
      window.mmuviz.refreshColours();
      document.querySelectorAll(".swatch").forEach(window.mmuviz.paintSwatch);
      this.whole = true;
      this.redraw();
    }
  }

  window.mmuviz.Maps = Maps;
})();
