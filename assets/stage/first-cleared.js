// With initially-all-set, a set bit has no meaning for a page before it was cleared once.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [DIRTY, COUNT] = [7, 8];
  const WHOLE = 255;
  const known = new WeakMap();

  S.startsAllSet = ({ header: { scenario }, enablePs }) =>
    Boolean(scenario?.vm?.dirty_log_mode?.endsWith("initially_set")) && enablePs !== null;

  // For each cell, the first frame at which not all of its bits are set any more; null if logs begin empty.
  function framesOf(run) {
    if (!S.startsAllSet(run)) {
      return null;
    }
    const found = new Int32Array(run.cells).fill(run.bins + 1);
    const set = new Uint8Array(run.cells);
    const cursor = run.cellCursor();
    const from = run.frame(run.enablePs);
    for (let frame = from; frame <= run.bins; frame += 1) {
      const shares = cursor.at(frame);
      const changed = cursor.changed ?? Array.from({ length: run.cells }, (_, cell) => cell);
      for (const cell of changed) {
        const all = shares[cell * COUNT + DIRTY] === WHOLE;
        if (set[cell] && !all) {
          found[cell] = Math.min(found[cell], frame);
        }
        set[cell] = all ? 1 : 0;
      }
    }
    return found;
  }

  // Whether all bits of a cell have been set from enabling up to a frame.
  S.neverCleared = function (run, cell, frame) {
    if (!known.has(run)) {
      known.set(run, framesOf(run));
    }
    const frames = known.get(run);
    return frames !== null && frame < frames[cell] && run.framePs(frame) >= run.enablePs;
  };
})();
