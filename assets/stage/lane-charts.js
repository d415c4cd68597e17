// The charts of the expert view, on the axis of the lanes: stall and page tables of all runs, drawn up to now.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  const STROKE = 2.5;
  // A value's text is the one that its pane has.
  const CHARTS = [
    {
      name: "Stall", per: " per vCPU", colour: "stall", of: (run, ps) => run.stallPs(ps), units: () => S.TIME_UNITS,
      textOf: (run, ps, runs) => S.paneTime("stall", run, runs, ps),
    },
    {
      name: "Page tables", per: "", colour: "map", of: (run, ps) => run.tablesAdded(ps), units: () => S.SIZE_UNITS,
      textOf: (run, ps) => S.bytesText(run.tablesAdded(ps)), binary: true, steps: true,
      beside: (run, bytes) => S.guestPages(run) && `(${S.shareText(bytes / (S.guestPages(run) * PAGE_BYTES))})`,
    },
  ];

  // "0.20 %"; a value above 0 is never written as 0 %.
  S.shareText = (share) => (share < 0 ? `−${S.shareText(-share)}` : share === 0 ? "0 %" : share < 5e-5 ? "<0.01 %" : `${(100 * share).toFixed(2)} %`);

  S.laneChartLines = (runs) => CHARTS.map(({ of, steps }) => runs.map((run) => S.lineOf(run, of, steps)));

  S.drawLaneCharts = function (chart, ps, cut) {
    chart.rows.charts.forEach(({ y, height }, at) => {
      const what = CHARTS[at];
      const lines = chart.lines[at];
      const most = Math.max(...lines.map((line) => S.lineAt(line, line.most, chart.to))) * 1.1 || 1;
      const least = Math.min(0, ...lines.map((line) => S.lineAt(line, line.least, chart.to)));
      const unit = S.axisUnit(Math.max(most, -least), what.units());
      const yAt = (value) => y + height - (height * (value - least)) / (most - least);
      drawAxis(chart, { ...what, y, height, least, most, unit, yAt });
      chart.runs.forEach((run, index) => {
        const now = what.of(run, Math.min(ps, run.endPs));
        const place = { ...what, y, height, yAt, index, ps, cut, run, now };
        drawLine(chart, lines[index], place);
        drawFigure(chart, place);
      });
    });
  };

  function drawAxis(chart, { name, per, colour, binary, y, height, least, most, unit, yAt }) {
    const { ctx, rows, colours, px } = chart;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.font = S.chartFont(px, 700);
    ctx.fillStyle = colours[colour];
    ctx.fillText(name, 8, y + px / 2 + 1);
    ctx.font = S.chartFont(px, 500);
    ctx.fillStyle = colours.ink2;
    if (height > 2 * px) {
      ctx.fillText(unit[0] + per, 8, y + 1.5 * px + 4);
    }
    ctx.textAlign = "right";
    for (const tick of ticksOf(least, most, height, unit, binary)) {
      ctx.fillStyle = colours.hair;
      ctx.fillRect(rows.left, Math.round(yAt(tick.at)), rows.right - rows.left, 1);
      ctx.fillStyle = colours.ink2;
      ctx.fillText(tick.text, rows.left - 5, Math.max(y + px / 2, yAt(tick.at)));
    }
    ctx.textAlign = "left";
  }

  // 0 and at least one round value.
  function ticksOf(least, most, height, unit, binary) {
    const tries = height < 60 ? [1.4, 2, 3] : [2.6, 3.4, 5];
    const found = tries.map((parts) => S.ticks(least, most, (most - least) / parts, unit, binary));
    return found.find((ticks) => ticks.length > 1) || found.at(-1);
  }

  function drawLine(chart, line, { yAt, cut, colour, index, ps, now }) {
    const { ctx, rows, colours } = chart;
    const { ts, vs } = line;
    ctx.strokeStyle = colours[colour];
    ctx.lineWidth = chart.px >= 16 ? 1.6 * STROKE : STROKE;
    ctx.lineCap = index % 4 > 1 ? "round" : "butt";
    ctx.setLineDash(S.lineDash(index));
    ctx.beginPath();
    for (let i = 0; i < ts.length && ts[i] < ps; i += 1) {
      if (i + 1 >= ts.length || ts[i + 1] >= chart.from) {
        ctx.lineTo(Math.max(rows.left, chart.xAt(ts[i])), yAt(vs[i]));
      }
    }
    const y = yAt(now);
    ctx.lineTo(cut, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.lineCap = "butt";
    S.drawEndDot(ctx, index, cut, y, 3.5, colours[colour], colours.ground);
  }

  // The current value in the gutter, next to a sample of its line, at a fixed position.
  function drawFigure(chart, { y, height, colour, index, run, ps, of, beside, textOf }) {
    const { ctx, rows, colours, px, width } = chart;
    const count = S.figureRows(chart.runs.length);
    const columns = Math.ceil(chart.runs.length / count);
    const row = y + Math.min(height / count, px + 8) * (Math.floor(index / columns) + 0.5);
    const wide = (width - rows.right) / columns;
    const right = rows.right + (index % columns) * wide;
    ctx.strokeStyle = ctx.fillStyle = colours[colour];
    ctx.lineWidth = STROKE;
    ctx.lineCap = index % 4 > 1 ? "round" : "butt";
    ctx.setLineDash(S.lineDash(index).map((each) => each / 2));
    ctx.beginPath();
    const sample = columns > 1 ? [4, 20, 24] : [12, 30, 36];
    ctx.moveTo(right + sample[0], row);
    ctx.lineTo(right + sample[1], row);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.lineCap = "butt";
    ctx.font = S.chartFont(columns > 1 ? px : px + 2, 700);
    const readPs = S.readAt(index, ps);
    const said = textOf(run, readPs, chart.runs);
    ctx.fillText(said, right + sample[2], row + 1);
    const x = right + sample[2] + 6 + ctx.measureText(said).width;
    ctx.font = S.chartFont(px, 500);
    ctx.fillStyle = colours.ink2;
    const text = beside ? beside(run, of(run, Math.min(readPs, run.endPs))) : "";
    if (text && columns === 1 && x + ctx.measureText(text).width <= width) {
      ctx.fillText(text, x, row + 1);
    }
  }
})();
