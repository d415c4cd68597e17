// Charts and walks on screens that have no room for all of them: a button and a key show the next ones.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WIDE = 1000; // CSS px of the window: from here on all are below the panes
  const BESIDE = window.matchMedia("(min-width: 1200px) and (min-height: 715px)"); // as in pane-loupes.css
  const [STALL, TABLES] = ["stall", "tables"];
  const WALKS = ["loupe-0", "loupe-1"];

  (S.moreKeys = S.moreKeys || []).push([["n"], "next chart or page-table walk, where not all fit", "next-figure"]);

  // The walks of each row of panes, [{names, row}]; `each` is how many are shown at a time.
  function walksOf(runs, each) {
    const rows = Array.from({ length: Math.ceil(runs / 2) }, (_, row) => ({ row, names: WALKS.slice(0, runs - 2 * row) }));
    return each > 1 ? rows : rows.flatMap(({ row, names }) => names.map((name) => ({ row, names: [name] })));
  }

  // What is shown one after the other, [{names, row}]: figures, and the row of panes whose walks they are. Empty if all
  // fit. Walks have no presenter type. {width, height, presenter, runs, beside}: of the window, CSS px; `beside`: whether
  // walks are beside maps.
  S.figureSets = function ({ width, height, presenter, runs, beside }) {
    const charts = [STALL, TABLES].map((name) => ({ row: 0, names: [name] }));
    const narrow = S.isNarrow(width);
    if (S.isLow(height) || (presenter && narrow && runs > 2)) { // a figure takes the place of the panes
      return [{ row: 0, names: [] }, ...charts, ...(presenter ? [] : walksOf(runs, 1))];
    }
    if (width >= WIDE && (runs !== 3 || beside || presenter)) {
      const all = [WALKS[0], STALL, TABLES, WALKS[1]];
      return runs > 2 && !beside && !presenter ? walksOf(runs, 2).map(({ row }) => ({ row, names: all })) : [];
    }
    if (presenter) {
      return charts;
    }
    return narrow ? [...charts, ...walksOf(runs, 1)] : [{ row: 0, names: [STALL, TABLES] }, ...walksOf(runs, 2)];
  };

  // What the button says of the next ones.
  function nameOf({ names, row }) {
    const [name] = names;
    if (names.length > WALKS.length) {
      return "Next walks";
    }
    const walk = row > 0 || name === WALKS[1] ? "Next walk" : "Page-table walk";
    return { [STALL]: "Stall", [TABLES]: "Page tables" }[name] ?? (name ? walk : "Maps");
  }

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
      const { innerWidth: width, innerHeight: height } = window;
      const runs = Math.max(2, this.stage.runs.length);
      return S.figureSets({ width, height, presenter: this.stage.presenter(), runs, beside: BESIDE.matches });
    }

    // Other runs begin with the walks of the first row.
    shown() {
      this.at = (this.sets[this.at]?.row ?? 0) > 0 ? 0 : this.at;
    }

    next() {
      const focused = this.buttons.includes(document.activeElement);
      this.at += 1;
      this.choose();
      const { row } = this.sets[this.at] ?? { row: 0 };
      [2 * row, 2 * row + 1].filter((index) => index < this.stage.runs.length).forEach((index) => this.stage.enlarge(index));
      this.stage.resize();
      if (focused) {
        this.buttons.find(({ offsetParent }) => offsetParent)?.focus();
      }
    }

    // The figures of the set; of them the first has the button, which names the next set.
    choose() {
      const { sets } = this;
      this.at %= Math.max(1, sets.length);
      const shown = sets[this.at]?.names;
      const next = sets[(this.at + 1) % sets.length];
      document.body.classList.toggle("figures-open", sets[0]?.names.length === 0 && shown.length > 0);
      this.figures.forEach((figure, index) => {
        const { name } = figure.dataset;
        figure.classList.toggle("put-away", Boolean(shown) && !shown.includes(name));
        this.buttons[index].hidden = !shown || sets.length < 2 || shown[0] !== name;
        this.buttons[index].textContent = next ? `${nameOf(next)} ›` : "";
      });
    }

    // Called at the end of stage.resize(): figures that appear by it are drawn for the first time.
    resize() {
      const classes = () => [document.body, ...this.figures].map(({ className }) => className).join();
      const before = classes();
      this.choose();
      if (classes() !== before) {
        [...this.stage.charts, ...this.stage.loupes].forEach((each) => each.resize());
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => new LowerFigures(stage));
})();
