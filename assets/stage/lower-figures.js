// Charts and walks below the panes on small screens, which have room for one or two of them: a button and a key show others.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // The sets of figures that are shown together, by the width of the window, CSS px. Walks have no presenter type.
  const WIDE = 1000;
  const MIDDLE = 700;
  const CHARTS = [["stall"], ["tables"]];
  const WALKS = ["loupe-0", "loupe-1"];
  const NAMES = { stall: "Stall", tables: "Page tables", "loupe-0": "Page-table walk", "loupe-1": "Next walk" };

  (S.moreKeys = S.moreKeys || []).push([["n"], "next chart or page-table walk, on small screens", "next-figure"]);

  // [[name of a figure, …], …]; empty if all are shown.
  S.figureSets = function (width, presenter) {
    if (width >= WIDE) {
      return [];
    }
    if (presenter) {
      return CHARTS;
    }
    return width < MIDDLE ? [...CHARTS, ...WALKS.map((name) => [name])] : [CHARTS.flat(), WALKS];
  };

  class LowerFigures {
    constructor(stage) {
      this.stage = stage;
      this.at = 0;
      this.figures = [...stage.root.querySelectorAll(".lower .figure")];
      this.buttons = this.figures.map((figure) => {
        const button = S.el("button", { type: "button", class: "chart-tool figure-next", data: { act: "next-figure" } });
        const tools = figure.querySelector(".chart-tools") || figure.appendChild(S.el("div", { class: "chart-tools" }));
        tools.prepend(button);
        return button;
      });
      this.acts = { "next-figure": () => this.next() };
      this.choose();
    }

    get sets() {
      return S.figureSets(window.innerWidth, this.stage.presenter());
    }

    next() {
      const focused = this.buttons.includes(document.activeElement);
      this.at += 1;
      this.choose();
      this.stage.resize();
      if (focused) {
        this.buttons.find(({ offsetParent }) => offsetParent)?.focus();
      }
    }

    // The figures of the set; of them the first has the button, which names the next set.
    choose() {
      const { sets } = this;
      this.at %= Math.max(1, sets.length);
      const shown = sets[this.at];
      const next = sets[(this.at + 1) % sets.length]?.[0];
      this.figures.forEach((figure, index) => {
        const { name } = figure.dataset;
        figure.classList.toggle("put-away", Boolean(shown) && !shown.includes(name));
        this.buttons[index].hidden = !shown || shown[0] !== name;
        this.buttons[index].textContent = next ? `${NAMES[next]} ›` : "";
      });
    }

    // Called at the end of stage.resize(): figures that appear by it are drawn for the first time.
    resize() {
      const before = this.figures.map(({ className }) => className).join();
      this.choose();
      if (this.figures.map(({ className }) => className).join() !== before) {
        [...this.stage.charts, ...this.stage.loupes].forEach((each) => each.resize());
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => new LowerFigures(stage));
})();
