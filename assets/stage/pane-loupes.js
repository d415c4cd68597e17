// The page-table walk beside each map, where there is no room for one of each pane below: in the expert view, and of three
// and four panes. Style sheets decide where it is shown.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  class PaneLoupes {
    constructor(stage) {
      this.stage = stage;
      this.places = stage.panes.map(({ box }) => {
        const place = S.el("div", { class: "pane-loupe" }, S.el("canvas", { class: "figure-canvas", role: "img" }));
        box.after(place);
        return place;
      });
      this.below = [...stage.root.querySelectorAll(".figure.loupe")];
      this.loupes = [];
      this.next = 0;
    }

    shown() {
      this.loupes = [];
    }

    resize() {
      const isShown = (place, at) => this.stage.runs[at] !== undefined && window.getComputedStyle(place).display !== "none";
      this.places.forEach((place, at) => {
        const shown = isShown(place, at);
        mark(place, shown);
        if (shown) {
          Object.assign(place.style, placeOf(place, this.stage.panes[at]));
          const options = { psPerSecond: () => this.stage.psPerSecond() };
          this.loupes[at] ??= new S.Loupe(place.firstChild, this.stage.runs[at], options);
          this.loupes[at].resize();
        } else {
          delete this.loupes[at];
        }
      });
      this.below.forEach((figure) => mark(figure, this.loupes.every((loupe) => !loupe)));
    }

    // During playback one of them each time.
    draw(ps) {
      const { playing } = this.stage.clock;
      this.next = (this.next + 1) % Math.max(1, this.loupes.length);
      this.loupes.forEach((loupe, at) => {
        if (!playing || at === this.next) {
          loupe.draw(S.timeOf(at, ps));
        }
      });
    }

    tell(ps) {
      this.loupes.forEach((loupe, at) => {
        loupe.canvas.setAttribute("aria-label", loupe.describe(S.timeOf(at, ps)));
      });
    }
  }

  function mark(place, shown) {
    if (shown) {
      place.dataset.mmuviz = "loupe";
    } else {
      delete place.dataset.mmuviz;
    }
  }

  // Beside the map, beside all under the pane's title, or where style sheets put it.
  function placeOf(place, { box, section }) {
    const beside = window.getComputedStyle(place).getPropertyValue("--beside").trim();
    if (beside === "nothing") {
      return { top: "", height: "" };
    }
    const height = beside === "pane" ? section.clientHeight - box.offsetTop : box.offsetHeight;
    return { top: `${box.offsetTop}px`, height: `${height}px` };
  }

  (S.parts = S.parts || []).push((stage) => new PaneLoupes(stage));
})();
