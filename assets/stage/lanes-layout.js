// The layout of the expert view's timeline: axis, lanes of each run, its ioctl thread, charts, calls.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const MOST_LANE = 18;
  const MOST_NARROW = 28;
  const LEAST_LANE = 3;
  const CHART_SHARE = 0.55;
  const LEAST_CHART = 34;
  const GAP = 6;
  const AIR = 7;
  const LOWER = 0.42;
  const BARE = { charts: [], calls: null };

  // Rows in CSS px for a canvas of this size: {left, right, axis, runs: [{top, bottom, lanes: [{y, height}], ioctl}],
  // charts, calls}; without charts and calls if they do not fit.
  S.layLanes = function ({ width, height, runs, px, narrow }) {
    const left = Math.round((narrow ? (runs.length > 2 ? 5.8 : 5.3) : 11) * px);
    const right = width - Math.round(narrow ? 5.2 * px : 14.8 * px);
    const axis = { y: 0, height: px + 6 };
    const lanes = runs.reduce((sum, run) => sum + S.laneGroups(run.vcpus).length, 0);
    const free = Math.max(0, height - axis.height - runs.length * (px + 3 + GAP));
    const forCharts = free * CHART_SHARE >= 2 * LEAST_CHART && !narrow ? free * CHART_SHARE : 0;
    const each = Math.floor((free - forCharts) / lanes);
    const lane = Math.max(LEAST_LANE, Math.min(narrow ? MOST_NARROW : MOST_LANE, each));
    const { placed, bottom } = placeRuns(runs, axis.height, lane, px);
    return { left, right, axis, runs: placed, bottom, ...(narrow ? BARE : placeCharts(bottom + GAP, height, px, runs.length)) };
  };

  function placeRuns(runs, from, lane, px) {
    let y = from;
    const placed = runs.map((run) => {
      const top = y;
      const lanes = S.laneGroups(run.vcpus).map((_, at) => ({ y: top + at * lane, height: Math.max(2, lane - 1) }));
      const ioctl = { y: top + lanes.length * lane + 1, height: px + 1 };
      y = ioctl.y + ioctl.height + GAP;
      return { top, bottom: ioctl.y + ioctl.height, lanes, ioctl };
    });
    return { placed, bottom: y - GAP };
  }

  // Rows of the numbers beside a chart; those of more than two runs are in two columns.
  S.figureRows = (runs) => (runs > 2 ? Math.ceil(runs / 2) : runs);

  // Two charts if the lower one has room for a number of each run, and calls if there is room below.
  function placeCharts(top, height, px, runs) {
    const rest = height - top - 2;
    if (rest < LEAST_CHART) {
      return BARE;
    }
    const row = px + 6;
    const both = (S.figureRows(runs) * px + AIR) / LOWER;
    const above = rest - row - 2;
    const calls = above >= both ? { y: height - row, height: row - 2 } : null;
    const high = calls ? above : rest;
    const highs = high < both ? [high] : [(1 - LOWER) * high, LOWER * high];
    const charts = highs.map((each, at) => ({ y: top + (at ? highs[0] : 0) + 5, height: Math.floor(each) - AIR }));
    return { charts, calls };
  }
})();
