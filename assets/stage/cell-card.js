// The card of a cell, at the pointer or the keyboard cursor: its address, its mapping, and its last change.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [DIRTY, COUNT] = [7, 8];
  const STEPS = { ArrowUp: -1, ArrowDown: 1 };
  const GAP = 14;
  const TONES = { stopped: "stall", runs: "run", slower: "run", idle: "run" };

  // "stalled for 74 % of this bin: write fault"
  function vcpuSays({ state, text, stalled }) {
    const share = `stalled for ${S.percentText(stalled)} of this bin`;
    return { runs: "it runs", idle: "it is idle", stopped: `${share}: ${text}`, slower: stalled > 0 ? `slower, ${share}: ${text}` : `slower: ${text}` }[state];
  }

  class CellCard {
    constructor(stage) {
      this.stage = stage;
      this.card = S.el("div", { class: "cell-card", "aria-hidden": "true" });
      this.ring = S.el("div", { class: "cell-ring" });
      this.card.hidden = this.ring.hidden = true;
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

    // Arrows move a cursor by cells: up and down by one in address order, left and right by a column. Enter zooms in.
    typed(event, pane, at) {
      const { layout, run } = pane.map;
      const step = STEPS[event.key] ?? { ArrowLeft: -layout.rows, ArrowRight: layout.rows }[event.key];
      const here = this.at && this.at.at === at ? this.at.hit : null;
      if (event.key === "Escape" && here && !this.stage.zooming.zoom) {
        this.point(null);
      } else if (event.key === "Enter" && here) {
        this.stage.zooming.into(at, here);
      }
      if (step === undefined) {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      const from = here ? here.cell : -step;
      const cell = Math.max(0, Math.min(run.cells - 1, from + step));
      this.point({ at, hit: { cell, firstGfn: run.firstGfn[cell], pages: run.cellPages[cell] } });
      document.getElementById("stage-live").textContent = `${this.text.replaceAll("\n", ". ")}.`;
    }

    point(at) {
      this.at = at;
      this.show();
    }

    linesOf(pane, hit, ps) {
      const { run, map } = pane;
      const lines = pane.zoomed ? S.pageSays(run, map.frames, hit, ps) : S.cellSays(run, hit, ps, map);
      const lost = pane.lostSays ? pane.lostSays(hit, ps) : "";
      if (lost) {
        lines.splice(1, 0, lost);
      }
      const sent = pane.zoomed ? "" : S.sentSays(run, hit, ps);
      if (sent) {
        lines.push(sent);
      }
      if (hit.vcpu >= 0) {
        lines.push(`vCPU ${hit.vcpu} is here: ${vcpuSays(map.actors.states.at(ps)[hit.vcpu])}`);
      }
      return lines;
    }

    // The parts of the sentence that refer to this cell: its vCPU or ioctl thread, or dirty pages.
    toneOf({ map }, { cell, vcpu }, ps) {
      if (vcpu >= 0) {
        return TONES[map.actors.states.at(ps)[vcpu].state];
      }
      if (map.actors.walker && map.actors.walker.cell === cell) {
        return "ioctl";
      }
      return map.frames.at(cell)[cell * COUNT + DIRTY] ? "dirty" : "map";
    }

    show() {
      const { stage } = this;
      this.card.hidden = this.ring.hidden = this.at === null;
      stage.panes.forEach((pane, index) => {
        const here = this.at && this.at.at === index && pane.map;
        pane.sentence.dataset.lit = here ? this.toneOf(pane, this.at.hit, Math.min(stage.clock.now, pane.run.endPs)) : "";
      });
      if (this.at === null) {
        return;
      }
      const { at, hit } = this.at;
      const pane = stage.panes[at];
      const lines = this.linesOf(pane, hit, Math.min(stage.clock.now, pane.run.endPs));
      const text = lines.join("\n");
      if (text !== this.text) {
        this.text = text;
        this.card.replaceChildren(...lines.map((line, index) => S.el(index ? "p" : "b", { text: line })));
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
      const beside = x + size + GAP + wide > window.innerWidth ? x - GAP - wide : x + size + GAP;
      // If neither side has room, it is below or above the cell; it never covers the cell.
      const fits = beside >= 4;
      const left = fits ? beside : Math.max(4, Math.min(x, window.innerWidth - wide - 4));
      const wanted = fits ? y - high / 2 : y + size + GAP + high > window.innerHeight ? y - GAP - high : y + size + GAP;
      const top = Math.max(4, Math.min(wanted, window.innerHeight - high - 4));
      Object.assign(this.card.style, { left: `${left}px`, top: `${top}px` });
    }

    shown() {
      this.point(null);
    }

    resize() {
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
