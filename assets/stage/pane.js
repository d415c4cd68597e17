// One pane: the policy's name, its numbers, its map and a sentence, all of one run.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;

  class Pane {
    // `choose` is told a policy that was chosen, `zoom` a cell that was clicked.
    constructor(section, { choose, psPerSecond }) {
      this.section = section;
      this.canvas = section.querySelector(".map");
      this.box = section.querySelector(".map-box");
      this.sentence = section.querySelector(".sentence");
      this.policy = section.querySelector(".policy-select");
      this.says = section.querySelector(".policy-says");
      this.psPerSecond = psPerSecond;
      this.said = "";
      this.numbers = ["speed", "stall", "ioctl"].map((name) => ({
        name,
        place: section.querySelector(`.number-${name}`),
        value: section.querySelector(`[data-number="${name}"]`),
        unit: section.querySelector(`[data-unit="${name}"]`),
      }));
      this.policy.addEventListener("change", () => choose(this.policy.value));
      this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    }

    show(run, runs) {
      this.run = run;
      this.runs = runs;
      this.section.hidden = false;
      const known = [...this.policy.options].find((option) => option.value === run.policy);
      this.policy.value = run.policy;
      this.says.textContent = known ? known.dataset.text : run.label;
      this.map = null;
    }

    hide() {
      this.section.hidden = true;
      this.run = this.map = null;
    }

    // `height` is the room for the map, CSS px.
    resize(height, presenter) {
      this.box.style.height = `${height}px`;
      if (this.map === null) {
        this.map = new S.MapPane(this.canvas, this.run, { height, presenter, psPerSecond: this.psPerSecond });
      } else {
        Object.assign(this.map.options, { height, presenter });
        this.map.resize();
      }
      this.box.style.height = `${Math.ceil(this.map.height)}px`;
    }

    draw(ps) {
      this.map.draw(Math.min(ps, this.run.endPs));
      const found = S.numbers(this.run, ps, this.runs);
      for (const { name, place, value, unit } of this.numbers) {
        const now = found[name];
        setText(value, now.value);
        setText(unit, now.unit);
        place.classList.toggle("zero", now.zero);
      }
    }

    // What changes too often to be read, and what others read: a few times a second.
    tell(ps) {
      const said = S.sentence(this.run, ps);
      const stall = this.section.querySelector("[data-mmuviz=stall]");
      stall.dataset.value = String(Math.round(this.run.stallPs(ps) / 1000));
      const added = this.section.querySelector("[data-mmuviz=tables]");
      added.dataset.value = String(this.run.tablesAdded(ps));
      added.textContent = `${S.bytesText(this.run.tablesAdded(ps))} of page tables added`;
      if (said.text + said.kernelFunction !== this.said) {
        this.said = said.text + said.kernelFunction;
        this.sentence.replaceChildren(...S.sentenceNodes(said));
        this.sentence.title = said.detail;
      }
      const tables = S.bytesText(this.run.tablesAdded(ps));
      const words = `${said.text} ${this.run.dirtyPages(ps)} dirty pages, ${tables} of page tables added.`;
      this.canvas.setAttribute("aria-label", `Map, ${this.run.label}, at ${S.timeText(ps)}: ${words}`);
    }

    hover(event) {
      const box = this.canvas.getBoundingClientRect();
      const hit = this.map && this.map.hit(event.clientX - box.left, event.clientY - box.top);
      this.canvas.title = hit ? this.cellText(hit) : "";
    }

    cellText({ cell, firstGfn, pages }) {
      const shares = this.run.cellsAt(this.run.frame(this.map.ps ?? 0)).subarray(8 * cell, 8 * cell + 8);
      const names = ["not mapped", "as 4K", "as 2M", "as 1G", "4K write-protected", "2M write-protected", "1G write-protected", "dirty"];
      const parts = names.map((name, at) => (shares[at] ? `${percent(shares[at])} ${name}` : "")).filter(Boolean);
      const first = `0x${(firstGfn * PAGE_BYTES).toString(16)}`;
      return `gfn 0x${firstGfn.toString(16)}, GPA ${first}, ${S.bytesText(pages * PAGE_BYTES)}: ${parts.join(", ")}`;
    }
  }

  const percent = (share) => `${share === 255 ? 100 : Math.max(1, Math.min(99, Math.round((100 * share) / 255)))} %`;

  function setText(node, text) {
    if (node.textContent !== text) {
      node.textContent = text;
    }
  }

  S.Pane = Pane;
})();
