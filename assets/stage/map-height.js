// The height of the maps: what the other rows of the page leave, shared by the rows of panes.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LEAST_MAP = [64, 40]; // CSS px, for two panes, and for more panes or low windows
  const LEAST_LOWER = 120;
  const AIR = 4;
  const ZOOMED = 44; // the line above a zoomed map, and cells that can be told apart
  const UNDER_LAST = 92; // twice a migration's legend and phases, which are under the last of three panes

  // Of the row of charts and walks; parts may need more of it.
  function lowerHeight({ root, parts }) {
    const own = Math.max(0, ...parts.map(({ lowerShare = 0 }) => lowerShare));
    const { display, gridRowStart } = window.getComputedStyle(root.querySelector(".lower"));
    if (S.isLow() || display === "none") {
      return own * window.innerHeight;
    }
    if (gridRowStart === "panes") { // in the place of a fourth pane
      return own > 0 ? UNDER_LAST : 0;
    }
    return Math.max(Math.max(S.usualLowerShare(), own) * window.innerHeight, LEAST_LOWER);
  }

  // What a pane has besides its map. Notes of lost pages are in some panes only.
  function frameHeight({ root, panes }, rows, columns) {
    const heightOf = (name) => root.querySelector(`.pane:not([hidden]) .${name}`)?.getBoundingClientRect().height ?? 0;
    const notes = [...root.querySelectorAll(".lost-place")].map(({ offsetHeight }) => offsetHeight);
    const lost = columns > 1 ? Math.max(0, ...notes) : notes.reduce((sum, height) => sum + height, 0) / rows;
    const under = parseFloat(window.getComputedStyle(panes[0].section).paddingBottom);
    return ["pane-head", "sentence", "badge"].reduce((sum, name) => sum + heightOf(name), lost + under + AIR);
  }

  // CSS px.
  S.mapHeight = function (stage) {
    const { root, runs, zooming } = stage;
    const heightOf = (selector) => root.querySelector(selector)?.getBoundingClientRect().height ?? 0;
    const columns = window.getComputedStyle(root.querySelector(".panes")).gridTemplateColumns.split(" ").length;
    const rows = Math.ceil(runs.length / columns);
    const others = heightOf(".bar") + heightOf(".controls:not(.floats)") + heightOf(".transport");
    const room = (window.innerHeight - others - lowerHeight(stage)) / rows - frameHeight(stage, rows, columns);
    const zoomed = zooming?.zoom && !S.isNarrow() ? ZOOMED : 0;
    return Math.max(LEAST_MAP[Number(runs.length > 2 || S.isLow())] + zoomed, Math.floor(room));
  };
})();
