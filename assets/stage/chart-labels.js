// Layout of the numbers at the lines' ends: beside the playhead, without overlap, inside the plot.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const BESIDE = 10;

  // One label for all runs if their texts are equal, else one for each: [{name, text, y, run}], highest first.
  S.endLabels = function (ends, runs) {
    if (ends.length > 1 && ends.every((end) => end.text === ends[0].text)) {
      return [{ ...ends[0], name: ends.length === 2 ? "Both" : "All" }];
    }
    const labels = ends.map((end) => ({ ...end, name: runs[end.run].label }));
    return labels.sort((a, b) => a.y - b.y || a.run - b.run);
  };

  // Pushes centres apart: down where they are too near, then back up from the bottom.
  function spread(wanted, gap, top, bottom) {
    const found = wanted.slice();
    for (let i = 0; i < found.length; i += 1) {
      found[i] = Math.max(found[i], i ? found[i - 1] + gap : top);
    }
    for (let i = found.length - 1; i >= 0; i -= 1) {
      found[i] = Math.min(found[i], i < found.length - 1 ? found[i + 1] - gap : bottom);
    }
    return found;
  }

  // Returns {x, y} (left edge, centre) of each label: right of the playhead if all fit, else above-left of their dots.
  S.placeEnds = function (labels, at, { left, right, top, bottom }, px) {
    const widest = Math.max(...labels.map((label) => label.width));
    const fitsRight = at + BESIDE + widest <= right;
    const onRight = fitsRight || right - at > at - left;
    const lift = onRight ? 0 : 0.95 * px;
    const gap = Math.min(px + 4, (bottom - top) / labels.length);
    const wanted = labels.map((label) => label.y - lift);
    const centres = spread(wanted, gap, top + gap / 2, bottom - gap / 2);
    labels.forEach((label, i) => {
      const x = onRight ? at + BESIDE : at - BESIDE + 2 - label.width;
      label.x = Math.max(left, Math.min(x, right - label.width));
      label.centre = centres[i];
    });
    return labels;
  };
})();
