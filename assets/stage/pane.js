// A pane: policy name, numbers, map and sentence of one run.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const LEAST_KEPT = 0.75; // share of the room that a whole map must have, for a zoomed one to keep its size

  class Pane {
    // `choose` is called with a chosen policy, `zoom` with a clicked cell.
    constructor(section, { choose, psPerSecond, panes }) {
      this.section = section;
      this.canvas = section.querySelector(".map");
      this.box = section.querySelector(".map-box");
      this.sentence = section.querySelector(".sentence");
      this.policy = section.querySelector(".policy-select");
      this.description = section.querySelector(".policy-says");
      this.psPerSecond = psPerSecond;
      this.panes = panes;
      this.said = "";
      this.fits = new Map();
      this.fit = null;
      this.wide = "";
      this.numbers = ["speed", "stall", "ioctl"].map((name) => ({
        name,
        place: section.querySelector(`.number-${name}`),
        value: section.querySelector(`[data-number="${name}"]`),
        unit: section.querySelector(`[data-unit="${name}"]`),
      }));
      this.policy.addEventListener("change", () => choose(this.policy.value));
    }

    show(run, runs) {
      this.run = run;
      this.runs = runs;
      this.section.hidden = false;
      const known = [...this.policy.options].find((option) => option.value === run.policy);
      this.description.textContent = run.byPolicy && known ? known.dataset.text : run.full.replaceAll("_", " ");
      this.cellSpan = run.header.cell_pages;
      this.map = this.zoomed = null;
    }

    // Shows a part of memory page by page (S.zoomOptions), or the whole memory if `zoomed` is null.
    zoom(zoomed) {
      this.zoomed = zoomed;
      this.map = null;
    }

    hide() {
      this.section.hidden = true;
      this.run = this.map = null;
    }

    // `height` is the room for the map, CSS px.
    resize(height, presenter) {
      this.box.style.height = `${height}px`;
      const above = this.zoomed ? S.ZOOM_BAR : 0;
      // A zoomed map has the size of the whole map, so that nothing below it moves, unless that is much too low for it.
      const { of, is } = this.place ?? {};
      const kept = this.zoomed && of === height && is >= LEAST_KEPT * height ? this.place : null;
      const room = { height: (kept?.is ?? height) - above, presenter };
      if (this.map === null) {
        const { shown, options } = this.zoomed || { shown: this.run };
        this.map = new S.MapPane(this.canvas, shown, { ...room, ...options, psPerSecond: this.psPerSecond, lost: (ps) => this.lost?.(ps) ?? [] });
      } else {
        Object.assign(this.map.options, room);
        this.map.resize();
      }
      this.cellSpan = this.zoomed ? this.cellSpan : this.map.layout.span; // pages of the window, if it can be zoomed further
      this.canvas.style.top = `${above}px`;
      this.fits.clear();
      this.fitSentence();
      S.markTooLong(this.description, "unfit");
      this.place = kept ?? { of: height, is: Math.ceil(this.map.height) + above };
      this.box.style.height = `${this.place.is}px`;
    }

    drawMap(ps) {
      this.map.draw(Math.min(ps, this.run.endPs));
    }

    // Numbers and sentence of an instant.
    read(ps) {
      this.drawNumbers(ps);
      this.tell(ps);
    }

    drawNumbers(ps) {
      const found = S.numbers(this.run, ps, this.runs);
      for (const { name, place, value, unit } of this.numbers) {
        const now = found[name];
        S.setText(value, now.value);
        S.setText(unit, now.unit);
        place.classList.toggle("zero", now.zero);
      }
    }

    // A long sentence is set smaller, a longer one in more and tighter lines, so that the function is always visible. It is
    // measured once for all numbers with as many digits, since all digits are equally wide. All panes have the same size.
    fitSentence() {
      const { classList } = this.sentence;
      classList.remove("long", "longer");
      const shape = this.said.replace(/[0-9]/g, "0");
      if (!this.fits.has(shape)) {
        S.markTooLong(this.sentence, "long");
        this.fits.set(shape, { long: classList.contains("long"), longer: isCut(this.sentence) });
      }
      this.fit = this.fits.get(shape);
      const panes = this.panes().filter((pane) => pane.run && pane.fit);
      for (const { sentence } of panes) {
        sentence.classList.toggle("long", panes.some(({ fit }) => fit.long));
        sentence.classList.toggle("longer", panes.some(({ fit }) => fit.longer));
      }
    }

    // The sentence, and data for other parts.
    tell(ps) {
      const said = S.sentence(this.run, ps);
      const stall = this.section.querySelector("[data-mmuviz=stall]");
      stall.dataset.value = String(Math.round(this.run.stallPs(ps) / 1000));
      const added = this.section.querySelector("[data-mmuviz=tables]");
      added.dataset.value = String(this.run.tablesAdded(ps));
      S.setText(added, `${S.bytesText(this.run.tablesAdded(ps))} of page tables added`);
      if (said.text + said.kernelFunction !== this.said) {
        this.said = said.text + said.kernelFunction;
        this.sentence.replaceChildren(...S.sentenceNodes(said));
        this.sentence.title = said.detail;
        this.fitSentence();
      }
      // Wider numbers leave the description less room: half of it would say something else.
      const wide = this.numbers.map(({ value, unit }) => value.textContent.length + unit.textContent.length).join();
      if (wide !== this.wide) {
        this.wide = wide;
        S.markTooLong(this.description, "unfit");
      }
      const tables = S.bytesText(this.run.tablesAdded(ps));
      const label = `${said.text} ${this.run.dirtyPages(ps)} dirty pages, ${tables} of page tables added.`;
      this.canvas.setAttribute("aria-label", `Map, ${this.run.label}, at ${S.timeText(ps)}: ${label}`);
    }
  }

  const isCut = (node) => node.scrollHeight > node.clientHeight + 4; // a line has some leading

  // Sets a class on text that does not fit into its element.
  S.markTooLong = function (node, tooLong) {
    node.classList.remove(tooLong);
    node.classList.toggle(tooLong, isCut(node));
  };

  // Writes a node's text only if it changes: writing the same text again lays the page out again.
  S.setText = function (node, text) {
    if (node.textContent !== text) {
      node.textContent = text;
    }
  };

  S.Pane = Pane;
})();
