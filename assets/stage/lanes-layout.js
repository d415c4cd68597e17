// Where the rows of the expert view's timeline stand: an axis, lanes of each run, its ioctl thread, charts, calls.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const MOST_LANE = 18;
  const MOST_NARROW = 28;
  const LEAST_LANE = 3;
  const CHART_SHARE = 0.4;
  const LEAST_CHART = 34;

  // Rows in CSS px for a canvas of this size: {left, right, axis, runs: [{lanes: [{y, height}], ioctl}], charts}.
  S.layLanes = function ({ width, height, runs, px, narrow }) {
    const left = narrow ? 64 : Math.round(9.4 * px);
    const right = narrow ? width - 8 : width - Math.round(13.5 * px);
    const axis = { y: 0, height: px + 6 };
    const ioctlHigh = px + 3;
    const gap = 6;
    const lanes = runs.reduce((sum, run) => sum + S.laneGroups(run.vcpus).length, 0);
    const fixed = axis.height + runs.length * (ioctlHigh + gap);
    const free = Math.max(0, height - fixed);
    const forCharts = free * CHART_SHARE >= 2 * LEAST_CHART && !narrow ? free * CHART_SHARE : 0;
    const lane = Math.max(LEAST_LANE, Math.min(narrow ? MOST_NARROW : MOST_LANE, Math.floor((free - forCharts) / lanes)));
    let y = axis.height;
    const placed = runs.map((run) => {
      const own = S.laneGroups(run.vcpus).map((_, at) => ({ y: y + at * lane, height: Math.max(2, lane - 1) }));
      const ioctl = { y: y + own.length * lane + 1, height: ioctlHigh - 2 };
      const top = y;
      y = ioctl.y + ioctl.height + gap;
      return { top, bottom: ioctl.y + ioctl.height, lanes: own, ioctl };
    });
    const rest = height - y - 2;
    const charts = rest < LEAST_CHART || narrow ? [] : rest < 2 * LEAST_CHART ? [rest] : [0.58 * rest, 0.42 * rest];
    return {
      left, right, axis, runs: placed, bottom: y - gap,
      charts: charts.map((high, at) => ({ y: y + (at ? charts[0] : 0) + 5, height: Math.floor(high) - 7 })),
    };
  };
})();
