// Layers of a chart that change only with its axes: grid, ticks, calls, and the lines before and after the playhead.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const FUTURE_DASH = [1, 4];
  const BAND = 0.16;
  const NO_RUN = -1;

  // The chart from x = left to right as it is before the playhead (past), or behind it, with the dotted future; of all
  // runs, of one, or of none but for the calls.
  S.paintChart = function (chart, ctx, past, from, to, only = null) {
    const { top, bottom } = chart.plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(from, top - 4, to - from, bottom - top + 8);
    ctx.clip();
    if (past && (only === null || only === NO_RUN)) {
      paintCalls(chart, ctx);
    }
    if (past || chart.future) {
      chart.runs.forEach((run, i) => (only === null || only === i) && paintLine(chart, ctx, i, past, to));
    }
    ctx.restore();
  };

  // If each run has its own time (S.times), its line ends there.
  S.drawChartAtTimes = function (chart, latest, times) {
    const { ctx, plot, dpr } = chart;
    const { from, to } = chart.windowAt(latest);
    chart.seen = null;
    chart.setAxes(from, to);
    ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
    ctx.clearRect(0, 0, chart.width, chart.height);
    S.paintChartAxes(chart, ctx);
    const cuts = times.map((ps) => Math.round(chart.placeNow(ps, from, to) * dpr) / dpr);
    S.paintChart(chart, ctx, true, plot.left - 2, Math.max(...cuts), NO_RUN);
    cuts.forEach((cut, run) => {
      S.paintChart(chart, ctx, false, cut, plot.right + 2, run);
      S.paintChart(chart, ctx, true, plot.left - 2, cut, run);
    });
    new Set(cuts).forEach((cut) => chart.drawPlayhead(cut));
    chart.placeLabels(latest, chart.xAt(latest), times);
    chart.drawEnds();
  };

  S.paintChartAxes = function (chart, ctx) {
    chart.axisLabels = [];
    paintValues(chart, ctx);
    paintTimes(chart, ctx);
  };

  function paintValues(chart, ctx) {
    const { left, right, top, bottom } = chart.plot;
    const apart = ((chart.most - chart.least) * Math.max(chart.tickPx + 10, (bottom - top) / 3.4)) / (bottom - top);
    ctx.font = S.chartFont(chart.tickPx, 500);
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    ctx.strokeStyle = chart.colours.line;
    ctx.fillStyle = chart.colours.ink2;
    ctx.lineWidth = 1;
    ctx.setLineDash([]);
    for (const tick of S.ticks(chart.least, chart.most, apart, chart.valueUnit, chart.measure.binary)) {
      const y = Math.round(chart.yAt(tick.at)) + 0.5;
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(right, y);
      ctx.stroke();
      const centre = Math.max(y, chart.tickPx / 2 + 1);
      ctx.fillText(tick.text, left - 6, centre);
      noteLabel(chart, ctx, tick.text, left - 6 - ctx.measureText(tick.text).width, centre, chart.tickPx);
    }
  }

  function paintTimes(chart, ctx) {
    const { left, right } = chart.plot;
    const widest = ctx.measureText("0000 ms").width;
    const apart = Math.max(62, 1.5 * widest) / (right - left);
    const ticks = S.ticks(chart.from, chart.to, apart * (chart.to - chart.from), chart.timeUnit, false);
    const y = chart.height - chart.tickPx / 2 - 1;
    ctx.textAlign = "left";
    let free = chart.width;
    for (const [i, { at, text }] of ticks.reverse().entries()) {
      const said = i === 0 ? `${text} ${chart.timeUnit[0]}` : text;
      const wide = ctx.measureText(said).width;
      // The number is centred under its tick, with the unit to its right.
      const centred = chart.xAt(at) - ctx.measureText(text).width / 2;
      const x = Math.max(left - 6, Math.min(centred, chart.width - wide));
      if (x + wide <= free) {
        ctx.fillText(said, x, y);
        noteLabel(chart, ctx, said, x, y, chart.tickPx);
        free = x - 8;
      }
    }
  }

  function noteLabel(chart, ctx, text, x, centre, px) {
    chart.axisLabels.push({ text, x, y: centre - px / 2, width: ctx.measureText(text).width, height: px });
  }

  // Whole pixels that any run's ioctl covers; at least one for each.
  function paintCalls(chart, ctx) {
    const { left, right, top, bottom } = chart.plot;
    const covered = new Uint8Array(Math.ceil(right - left) + 1);
    for (const run of chart.runs) {
      for (const call of run.calls) {
        const x0 = Math.floor(chart.xAt(call.startPs) - left);
        const x1 = Math.max(x0 + 1, Math.round(chart.xAt(call.endPs) - left));
        if (x1 > 0 && x0 < covered.length) {
          covered.fill(1, Math.max(0, x0), Math.min(x1, covered.length - 1));
        }
      }
    }
    ctx.globalAlpha = BAND;
    ctx.fillStyle = chart.colours.ioctl;
    for (let x = 0; x < covered.length; x += 1) {
      const begin = x;
      while (covered[x]) {
        x += 1;
      }
      if (x > begin) {
        ctx.fillRect(left + begin, top, x - begin, bottom - top);
      }
    }
    ctx.globalAlpha = 1;
  }

  function paintLine(chart, ctx, index, past, to) {
    const { ts, vs } = chart.lines[index];
    const { left } = chart.plot;
    ctx.beginPath();
    for (let i = 0; i < ts.length && (i === 0 || chart.xAt(ts[i - 1]) <= to + 2); i += 1) {
      // The dash phase is counted from the window's edge, so that parts join.
      if (i === ts.length - 1 || chart.xAt(ts[i + 1]) >= left - 2) {
        ctx.lineTo(chart.xAt(ts[i]), chart.yAt(vs[i]));
      }
    }
    ctx.lineJoin = "round";
    ctx.lineCap = past && index % 4 > 1 ? "round" : "butt";
    ctx.strokeStyle = chart.colours[chart.measure.colour];
    ctx.globalAlpha = past ? 1 : 0.35;
    ctx.lineWidth = past ? chart.stroke : 1.5;
    ctx.setLineDash(past ? S.lineDash(index) : FUTURE_DASH);
    ctx.stroke();
    if (past) {
      paintOver(chart, ctx, index);
    }
    ctx.globalAlpha = 1;
  }

  // After the end of a shorter run, a hairline continues its last value.
  function paintOver(chart, ctx, index) {
    const { endPs } = chart.runs[index];
    if (endPs < chart.to) {
      const { vs } = chart.lines[index];
      const x = chart.xAt(endPs);
      const y = chart.yAt(vs[vs.length - 1]);
      ctx.lineWidth = 1;
      ctx.setLineDash([]);
      ctx.beginPath();
      ctx.moveTo(x, y);
      ctx.lineTo(chart.plot.right, y);
      ctx.moveTo(x, y - chart.stroke - 1);
      ctx.lineTo(x, y + chart.stroke + 1);
      ctx.stroke();
    }
  }
})();
