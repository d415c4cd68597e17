// The legend of a map, in the line under its pane: colours of a migration on whole maps, signs of single pages on zoomed ones.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SENT = { label: "Colours of the migration on the map", signs: [["sent", "sent"], ["resent", "sent again"], ["dirty", "to send"]] };
  const PAGES = { label: "Signs of single pages on the map", signs: [["page-dirty", "dirty"], ["page-shut", "W clear"], ["page-bit", "D set"]] };

  // `run`: undefined for a hidden pane, which has none; `zoom`: the window of the map, null for all of memory.
  S.showMapKey = function (section, run, zoom) {
    section.querySelector(".map-key")?.remove();
    const found = zoom ? S.zoomStep(zoom) === 1 && PAGES : run && S.migrates(run) && SENT;
    if (found) {
      const items = found.signs.map(([name, text]) =>
        S.el("span", {}, S.el("i", { class: `sign-${name}`, "aria-hidden": "true" }), text));
      section.querySelector(".badge").after(S.el("p", { class: "map-key", "aria-label": found.label }, ...items));
    }
  };

  (S.parts = S.parts || []).push((stage) => ({
    shown(runs) {
      stage.panes.forEach(({ section }, at) => S.showMapKey(section, runs[at], null));
    },
  }));
})();
