// The ioctl thread's lanes, in parts of calls, and the row of calls and phases below the charts.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PARTS = {
    split: "splits", pre_split: "splits ahead", split_non_converging: "splits", write_protect: "write-protects",
    clear_dirty: "clears dirty bits", get: "reads the bitmap", clear: "clears", arm: "write-protects", reset: "resets",
    collapse_tables: "recovers", collapse_leaves: "recovers", none: "",
  };
  const LEAST_BAR = 3;
  const BESIDE = 6;
  const BAND = 0.3;
  S.IOCTL_PARTS = PARTS;

  S.drawLaneCalls = function (chart, ps, cut) {
    const { ctx } = chart;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    chart.parts.forEach((parts, at) => {
      parts.filter((part) => part.startPs <= ps && part.endPs >= chart.from && part.startPs <= chart.to)
        .forEach((part) => drawPart(chart, ps, cut, chart.rows.runs[at].ioctl, part));
      drawCallEnd(chart, ps, cut, at);
    });
    if (chart.rows.calls) {
      drawRow(chart, ps, cut);
    }
  };

  function drawPart(chart, ps, cut, { y, height }, part) {
    const { ctx, rows, colours, px } = chart;
    const x = Math.max(rows.left, chart.xAt(part.startPs));
    const end = Math.min(cut, Math.max(x + LEAST_BAR, chart.xAt(part.endPs)));
    ctx.fillStyle = colours.ioctl;
    ctx.fillRect(x, y, Math.max(2, end - x), height);
    ctx.fillStyle = colours.ground;
    if (part.startPs > part.call.startPs) {
      ctx.fillRect(x - 0.75, y, 1.5, height);
    }
    const name = PARTS[part.walk];
    ctx.font = S.chartFont(px, 650);
    const took = S.timeText(Math.min(ps, part.endPs) - part.startPs);
    const fits = name && [`${name} ${took}`, name].find((text) => ctx.measureText(text).width < end - x - 6);
    if (fits) {
      ctx.fillText(fits, x + 4, y + height / 2 + 1);
    }
  }

  // The last call that began, by name and length, to the right of its bar.
  function drawCallEnd(chart, ps, cut, at) {
    const run = chart.runs[at];
    const call = run.calls[run.callsBegun(ps) - 1];
    const { ctx, rows, colours, px } = chart;
    if (!call || call.endPs < chart.from) {
      return;
    }
    const { y, height } = rows.runs[at].ioctl;
    const end = Math.min(cut, chart.xAt(call.endPs));
    const text = `${call.kind} ${S.timeText(Math.min(ps, call.endPs) - call.startPs)}`;
    ctx.font = S.chartFont(px, 650);
    ctx.fillStyle = colours.ioctl;
    const wide = ctx.measureText(text).width;
    // Avoids the playhead.
    const x = end + BESIDE < cut + 4 && end + BESIDE + wide > cut - 4 ? cut + BESIDE : end + BESIDE;
    if (x + wide < rows.right) {
      ctx.fillText(text, x, y + height / 2 + 1);
    }
  }

  // Calls of the run with most time in ioctls, as bands, and names at the begin of calls and phases.
  function drawRow(chart, ps, cut) {
    const { ctx, rows, colours, px } = chart;
    const { y, height } = rows.calls;
    const centre = y + height / 2 + 1;
    ctx.fillStyle = colours.hair;
    ctx.fillRect(rows.left, y, rows.right - rows.left, height);
    ctx.fillStyle = colours.ioctl;
    ctx.globalAlpha = BAND;
    for (const { call: { startPs, endPs } } of begunCalls(chart, ps)) {
      const x = Math.max(rows.left, chart.xAt(startPs));
      ctx.fillRect(x, y, Math.max(2, Math.min(cut, chart.xAt(endPs)) - x), height);
    }
    ctx.globalAlpha = 1;
    ctx.fillStyle = colours.ink;
    ctx.font = S.chartFont(px, 700);
    ctx.fillText("Calls", 8, centre);
    chart.rowLabels ??= labelsOfRow(chart);
    for (const { text, x, tone, weight } of chart.rowLabels.filter((each) => each.x - BESIDE <= cut)) {
      ctx.fillStyle = colours[tone];
      ctx.font = S.chartFont(px, weight);
      ctx.fillText(text, x, centre);
    }
  }

  function busiest({ runs }) {
    const inCalls = runs.map((run) => run.ioctlPs(run.endPs));
    return inCalls.indexOf(Math.max(...inCalls));
  }

  // The first visible part of each call.
  function begunCalls(chart, ps) {
    return chart.parts[busiest(chart)].filter(({ call, startPs }) =>
      startPs === call.startPs && startPs <= ps && call.endPs >= chart.from && startPs <= chart.to);
  }

  // Their positions while the axis does not move.
  function labelsOfRow(chart) {
    const { left, right } = chart.rows;
    const place = { runs: [chart.runs[busiest(chart)]], px: chart.px, width: right, xAt: (at) => chart.xAt(at) + BESIDE };
    return S.ribbonLabels(place, chart.ctx).filter(({ x, wide }) => x >= left && x + wide <= right);
  }

  // The begin of the last call or phase, of any run, that began by a time.
  S.lastBeginning = (runs, ps) =>
    Math.max(0, ...runs.flatMap((run) => [...run.calls, ...run.phases].map(({ startPs }) => startPs))
      .filter((startPs) => startPs <= ps));
})();
