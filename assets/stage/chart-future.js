// The switch for the part after the playhead: faint in all charts, or hidden. And seeking by a click on a live chart.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  (S.moreKeys = S.moreKeys || []).push([["f"], "show the rest of the charts, or not", "rest"]);
  (S.linkFields = S.linkFields || {}).rest = {
    initial: true,
    read(text, wrong) {
      if (text !== "off") {
        throw wrong("must be off, or left out");
      }
      return false;
    },
    write: (rest) => (rest ? null : "off"),
  };

  (S.parts = S.parts || []).push((stage) => {
    function show() {
      const { rest } = stage.state;
      for (const each of stage.root.querySelectorAll("[data-act=rest]")) {
        each.setAttribute("aria-checked", String(rest));
      }
      document.getElementById("stage-rest").textContent = rest ? "on" : "off";
      for (const chart of stage.charts) {
        chart.showFuture(rest);
      }
    }

    stage.root.addEventListener("click", (event) => {
      const chart = event.target instanceof HTMLCanvasElement && stage.charts?.find(({ canvas }) => canvas === event.target);
      if (!chart || chart.labels.length === 0) {
        return;
      }
      const { left, right } = chart.plot;
      const share = (event.clientX - chart.canvas.getBoundingClientRect().left - left) / (right - left);
      if (share >= 0 && share <= 1) {
        stage.goTo(Math.min(chart.from + share * (chart.to - chart.from), stage.clock.endPs));
      }
    });

    return {
      shown: show,
      acts: {
        rest: () => {
          stage.state.rest = !stage.state.rest;
          show();
          stage.draw(stage.clock.now);
          stage.changed();
        },
      },
    };
  });
})();
