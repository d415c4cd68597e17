// The scrubber: the ribbon under a pointer or under the arrow keys.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 };

  // `stage` has the current clock and ribbon.
  S.listenToScrubber = function (slider, stage) {
    let row = 0;
    const pointAt = (event) => {
      const box = slider.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    // A press on a call's bar or name seeks to its begin, one on a group opens its calls, one elsewhere seeks to that time.
    slider.addEventListener("pointerdown", (event) => {
      if (!stage.ribbon || event.button > 0) {
        return;
      }
      const [x, y] = pointAt(event);
      const found = stage.ribbon.callsAt(x, y);
      if (found && found.calls.length > 1) {
        stage.callStrip.open(found.run, found.calls);
        event.preventDefault();
        return;
      }
      stage.callStrip.close();
      const call = found ? { run: found.run, startPs: found.calls[0].startPs } : stage.ribbon.namedAt(x, y);
      if (call) {
        stage.goTo(call.startPs, call.run);
        return;
      }
      // If panes are aligned by work, the row under the pointer selects the run whose time is meant.
      row = stage.ribbon.rowAt(y);
      slider.setPointerCapture(event.pointerId);
      stage.goTo(stage.ribbon.psAt(x), row);
    });
    slider.addEventListener("pointermove", (event) => {
      if (slider.hasPointerCapture(event.pointerId)) {
        stage.goTo(stage.ribbon.psAt(pointAt(event)[0]), row);
      }
    });
    slider.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (step && stage.clock) {
        event.preventDefault();
        event.stopPropagation();
        stage.goToPlace(stage.clock.now + (step * stage.clock.endPs) / 100);
      }
    });
  };
})();
