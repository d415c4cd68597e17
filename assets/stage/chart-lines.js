// Styles of the runs' lines (dashes and dots by run), and the points of a measure over time.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // Solid, dashed, dotted, dash-dot: policies differ by dash, not by colour.
  const DASHES = [[], [9, 5], [0.1, 6], [10, 5, 0.1, 5]];

  S.lineDash = (index) => DASHES[index % DASHES.length];

  // The filled dot of run 0, the ring of run 1, and diamonds for the others.
  S.drawEndDot = function (ctx, index, x, y, r, colour, ground) {
    ctx.beginPath();
    if (index % 4 < 2) {
      ctx.arc(x, y, r, 0, 2 * Math.PI);
    } else {
      const d = 1.25 * r;
      ctx.moveTo(x, y - d);
      ctx.lineTo(x + d, y);
      ctx.lineTo(x, y + d);
      ctx.lineTo(x - d, y);
      ctx.closePath();
    }
    ctx.fillStyle = index % 2 ? ground : colour;
    ctx.fill();
    ctx.lineWidth = 0.55 * r;
    ctx.strokeStyle = colour;
    ctx.setLineDash([]);
    ctx.stroke();
  };

  // A measure over time as {ts, vs}: its value at each bin's end, with a corner where logging is enabled; `most` and `least`
  // are the most and the least that it has been by each of them. Straight lines join them, since sums rise inside a bin;
  // with `steps` a value holds until the next one, since a state is only known at the ends of bins.
  S.lineOf = function (run, of, steps = false) {
    const times = new Set([0]);
    for (let bin = 1; bin <= run.bins; bin += 1) {
      times.add(Math.min(bin * run.binPs, run.endPs));
    }
    if (run.enablePs !== null) {
      times.add(run.enablePs);
    }
    const at = Float64Array.from(times).sort();
    const values = at.map((t) => of(run, t));
    const twice = (column, shift) => Float64Array.from({ length: 2 * column.length - 1 }, (_, i) => column[(i + shift) >> 1]);
    const [ts, vs] = steps ? [twice(at, 1), twice(values, 0)] : [at, values];
    const [most, least] = [vs.slice(), vs.slice()];
    for (let i = 1; i < most.length; i += 1) {
      most[i] = Math.max(most[i], most[i - 1]);
      least[i] = Math.min(least[i], least[i - 1]);
    }
    return { ts, vs, most, least };
  };

  // `values` (vs, most or least) of a line at an instant.
  S.lineAt = function ({ ts }, values, ps) {
    let low = 0;
    let high = ts.length - 1;
    if (ps >= ts[high]) {
      return values[high];
    }
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      [low, high] = ts[middle] <= ps ? [middle, high] : [low, middle];
    }
    return values[low] + ((values[high] - values[low]) * (ps - ts[low])) / (ts[high] - ts[low]);
  };
})();
