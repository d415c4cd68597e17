// The scrubber: the ribbon under a pointer or under the arrow keys.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 };

  // `stage` has the clock and the ribbon that are shown at the time.
  S.listenToScrubber = function (slider, stage) {
    const seek = (event) => {
      const box = slider.getBoundingClientRect();
      stage.goTo(stage.ribbon.psAt(event.clientX - box.left));
    };
    // A call's bar leads to its beginning, any other place to its own time.
    slider.addEventListener("pointerdown", (event) => {
      if (!stage.ribbon) {
        return;
      }
      const box = slider.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      const found = stage.ribbon.callAtX(x, y);
      const row = found && stage.ribbon.rows[found.run];
      if (row && y <= row.bar + row.barHigh) {
        stage.goTo(found.call.startPs);
        return;
      }
      slider.setPointerCapture(event.pointerId);
      seek(event);
    });
    slider.addEventListener("pointermove", (event) => {
      if (slider.hasPointerCapture(event.pointerId)) {
        seek(event);
      }
    });
    slider.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step && stage.clock) {
        event.preventDefault();
        event.stopPropagation();
        stage.goTo(stage.clock.now + (step * stage.clock.endPs) / 100);
      }
    });
  };
})();
