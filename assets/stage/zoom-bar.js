// The line above a zoomed map: the shown part of memory, buttons to the adjacent parts, and the way back.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const hex = (gfn) => `0x${gfn.toString(16)}`;
  S.ZOOM_BAR = 28; // CSS px

  const button = (text, act, label) => S.el("button", { text, class: "zoom-button", "data-zoom": act, "aria-label": label, title: label });

  // The text of a window: "gfn 0x80200..0x803ff".
  S.windowText = ({ first, pages }) => `gfn ${hex(first)}..${hex(first + pages - 1)}`;

  // `steps`: the windows from the outermost to the one shown.
  S.zoomBar = function (run, steps, note) {
    const bytes = S.guestBytes(run.header.scenario) || run.cellPages.reduce((sum, pages) => sum + pages, 0) * 4096;
    const here = steps[steps.length - 1];
    const path = [button(S.sizeText(bytes), "all", "Show all of memory")];
    path.push(S.el("span", { text: `GiB ${Math.floor(here.first / S.pagesPer.gib)}`, class: "zoom-place" }));
    steps.slice(0, -1).forEach((each, index) => path.push(button(S.windowText(each), `step-${index}`, `Show ${S.windowText(each)}`)));
    path.push(S.el("b", { text: S.windowText(here), "aria-current": "location" }));
    const crumbs = path.flatMap((each, index) => (index ? [S.el("span", { text: "›", "aria-hidden": "true" }), each] : [each]));
    return [
      button("‹", "before", "The memory before"),
      button("›", "after", "The memory behind"),
      S.el("span", { class: "zoom-path" }, ...crumbs),
      ...(note ? [S.el("span", { class: "zoom-note", text: note })] : []),
      button("×", "out", "Back (Esc)"),
    ];
  };
})();
