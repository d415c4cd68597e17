// The menu "My guest": predefined guests, each a change of a catalogue entry.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  (S.parts = S.parts || []).push((stage) => {
    const panel = document.getElementById("stage-guests");
    const popup = new S.Popup(document.getElementById("stage-guest"), panel);
    panel.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-preset]");
      if (chosen) {
        popup.open(false);
        stage.ask({ ...S.readLink(""), ...JSON.parse(chosen.dataset.preset) });
      }
    });
    return {};
  });
})();
