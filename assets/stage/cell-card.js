// The card of a map's cell, under the pointer or at the keyboard's cursor: where it is, how it is mapped, when it changed.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;
  const FULL = 255;
  // Shares of a cell in the Recording's order.
  const NAMES = [
    "not mapped", "as 4K", "as 2M", "as 1G", "4K write-protected", "2M write-protected", "1G write-protected", "dirty",
  ];
  const STEPS = { ArrowUp: -1, ArrowDown: 1 };
  const GAP = 14;

  const hex = (number) => `0x${number.toString(16)}`;
  const percent = (share) => (share === FULL ? "all" : `${Math.max(1, Math.min(99, Math.round((100 * share) / FULL)))} %`);

  // What a cell is at an instant: {where, state, since}, each a line of text.
  S.cellSays = function (run, { cell, firstGfn, pages }, ps) {
    const frame = run.frame(ps);
    const shares = run.cellsAt(frame).subarray(8 * cell, 8 * cell + 8);
    const last = firstGfn + pages - 1;
    const changed = run.lastChange(cell, frame);
    const parts = NAMES.map((name, at) => (shares[at] ? `${percent(shares[at])} ${name}` : "")).filter(Boolean);
    return {
      where: `gfn ${hex(firstGfn)} to ${hex(last)}, GPA ${hex(firstGfn * PAGE_BYTES)}, ${S.bytesText(pages * PAGE_BYTES)}`,
      state: parts.join(", "),
      since: changed > 0 ? `last changed by ${S.timeText(run.framePs(changed))}` : "as it was at the start",
    };
  };

  class CellCard {
    constructor(stage) {
      this.stage = stage;
      this.card = Object.assign(document.createElement("div"), { className: "cell-card", hidden: true });
      this.ring = Object.assign(document.createElement("div"), { className: "cell-ring", hidden: true });
      this.card.setAttribute("role", "status");
      stage.root.append(this.card, this.ring);
      stage.panes.forEach((pane, at) => this.listen(pane, at));
      this.at = null;
    }

    listen(pane, at) {
      const { canvas } = pane;
      canvas.addEventListener("pointermove", (event) => {
        const box = canvas.getBoundingClientRect();
        const hit = pane.map && pane.map.hit(event.clientX - box.left, event.clientY - box.top);
        this.point(hit ? { at, hit } : null);
      });
      canvas.addEventListener("pointerleave", () => this.point(null));
      canvas.addEventListener("blur", () => this.point(null));
      canvas.addEventListener("keydown", (event) => this.typed(event, pane, at));
    }

    // Arrows move a cursor by cells: up and down by one in address order, left and right by a column.
    typed(event, pane, at) {
      const { layout, run } = pane.map;
      const step = STEPS[event.key] ?? { ArrowLeft: -layout.rows, ArrowRight: layout.rows }[event.key];
      if (event.key === "Escape") {
        this.point(null);
      }
      if (step === undefined) {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      const from = this.at && this.at.at === at ? this.at.hit.cell : -step;
      const cell = Math.max(0, Math.min(run.cells - 1, from + step));
      this.point({ at, hit: { cell, firstGfn: run.firstGfn[cell], pages: run.cellPages[cell] } });
    }

    point(at) {
      this.at = at;
      this.show();
    }

    show() {
      this.card.hidden = this.ring.hidden = this.at === null;
      if (this.at === null) {
        return;
      }
      const { at, hit } = this.at;
      const pane = this.stage.panes[at];
      const { where, state, since } = S.cellSays(pane.run, hit, Math.min(this.stage.clock.now, pane.run.endPs));
      const text = `${where}\n${state}\n${since}`;
      if (text !== this.text) {
        this.text = text;
        this.card.replaceChildren(...[where, state, since].map((line, index) =>
          Object.assign(document.createElement(index ? "p" : "b"), { textContent: line })));
      }
      this.place(pane, hit.cell);
    }

    place({ map, canvas }, cell) {
      const box = canvas.getBoundingClientRect();
      const { layout } = map;
      const [x, y] = [box.left + layout.x[cell] / layout.dpr, box.top + layout.y[cell] / layout.dpr];
      const size = layout.pitch / layout.dpr;
      Object.assign(this.ring.style, { left: `${x - 2}px`, top: `${y - 2}px`, width: `${size + 3}px`, height: `${size + 3}px` });
      const { offsetWidth: wide, offsetHeight: high } = this.card;
      const left = x + size + GAP + wide > window.innerWidth ? x - GAP - wide : x + size + GAP;
      const top = Math.max(4, Math.min(y - high / 2, window.innerHeight - high - 4));
      Object.assign(this.card.style, { left: `${Math.max(4, left)}px`, top: `${top}px` });
    }

    shown() {
      this.point(null);
    }

    tell() {
      if (this.at !== null) {
        this.show();
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => new CellCard(stage));
})();
