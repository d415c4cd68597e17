// A measure as a Plotly figure, drawn once for a run, a size and a theme. Plotly is fetched when it is first needed.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // As in the live charts; Plotly does not support round caps.
  const DASHES = ["solid", "9px,5px", "3px,4px", "10px,5px,3px,5px"];
  const SYMBOLS = ["circle", "circle-open", "diamond", "diamond-open"];
  const BAND = 0.16;
  const MOST_CALLS = 800;
  const LABEL_ROOM = 1.45;
  const LOG_ROOM = 6;
  const APART = 70;
  const FAMILY = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif';

  let asked = null;

  // One script from this server; loaded again if the first attempt failed.
  S.plotly = function (address) {
    asked ??= new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = address;
      script.addEventListener("load", () => resolve(window.Plotly));
      script.addEventListener("error", () => {
        asked = null;
        reject(new Error("the charts' library did not come; close and open the charts again"));
      });
      document.head.append(script);
    });
    return asked;
  };

  const withAlpha = (hex, alpha) => {
    const parts = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
    return `rgba(${parts.join(",")},${alpha})`;
  };

  // ---- scales: which values an axis covers, and its ticks

  // {from, to, unit, ticks} of time.
  S.timeScale = function (from, to, wide) {
    const unit = S.axisUnit(to, S.TIME_UNITS);
    const ticks = S.ticks(from, to, ((to - from) * APART) / wide, unit, false).filter(({ at }) => at <= to);
    return { from, to, unit, ticks: ticks.map((tick, at) => ({ ...tick, text: at < ticks.length - 1 ? tick.text : `${tick.text} ${unit[0]}` })) };
  };

  // {low, most, unit, ticks, log} of a measure up to a time.
  S.valueScale = function (measure, lines, to, high, tickPx) {
    if (measure.calls) {
      return logScale(lines, to);
    }
    const highest = Math.max(...lines.map((line) => S.lineAt(line, line.most, to)));
    const most = highest * LABEL_ROOM || measure.units()[0][1];
    const unit = S.axisUnit(highest || most, measure.units());
    const apart = (most * Math.max(tickPx + 12, high / 3.4)) / high;
    const ticks = S.ticks(0, most, apart, unit, measure.binary);
    // Counts have no ticks between integers.
    return { low: 0, most, unit, log: false, ticks: unit[1] === 1 ? ticks.filter(({ at }) => Number.isInteger(at)) : ticks };
  };

  function logScale(lines, to) {
    const took = lines.flatMap(({ calls }) => calls.filter(({ startPs }) => startPs <= to)).map(({ tookPs }) => tookPs);
    const known = took.length ? took : [1e6];
    const low = 10 ** Math.floor(Math.log10(Math.max(1, Math.min(...known) * 0.7)));
    const most = Math.max(...known, 10 * low) * LOG_ROOM;
    const decades = Math.floor(Math.log10(most / low));
    const every = Math.ceil((decades + 1) / 4);
    const ticks = [];
    for (let at = low; at <= most; at *= 10 ** every) {
      ticks.push({ at, text: S.timeText(at).replace(/\.0+ /, " ") });
    }
    return { low, most, unit: S.axisUnit(most, S.TIME_UNITS), log: true, ticks };
  }

  // ---- lines

  // The points of a run's line; for calls also the calls, only the longest ones if there are too many.
  S.moreLine = function (run, measure) {
    if (!measure.calls) {
      return S.lineOf(run, measure.of);
    }
    const calls = S.callsOf(run, measure).map((call) => ({ ...call, tookPs: call.endPs - call.startPs }));
    if (calls.length <= MOST_CALLS) {
      return { calls, left: 0 };
    }
    const longest = new Set(calls.slice().sort((a, b) => b.tookPs - a.tookPs).slice(0, MOST_CALLS));
    return { calls: calls.filter((each) => longest.has(each)), left: calls.length - MOST_CALLS };
  };

  function lineTrace(chart, line, index) {
    const { measure, stroke, colours } = chart;
    return {
      type: "scatter", mode: "lines", x: Array.from(line.ts), y: Array.from(line.vs), hoverinfo: "skip", cliponaxis: true,
      line: {
        color: colours[measure.colour], width: stroke, dash: DASHES[index % 4], shape: measure.steps ? "hv" : "linear",
        simplify: false,
      },
    };
  }

  // After the end of a shorter run, a hairline continues its last value.
  function overTrace(chart, run, line) {
    const last = line.vs[line.vs.length - 1];
    return {
      type: "scatter", mode: "lines", x: [run.endPs, chart.end], y: [last, last], hoverinfo: "skip",
      line: { color: chart.colours[chart.measure.colour], width: 1 },
    };
  }

  // A call is drawn at its return, at the height of its duration, which is unknown before.
  function callTraces(chart, { calls }, index) {
    const { stroke, colours, measure, values } = chart;
    const colour = colours[measure.colour];
    const base = { type: "scatter", hoverinfo: "skip" };
    return [
      {
        ...base, mode: "lines", x: calls.flatMap(({ endPs }) => [endPs, endPs, null]),
        y: calls.flatMap(({ tookPs }) => [values.low, tookPs, null]), line: { color: colour, width: 0.6 * stroke, dash: DASHES[index % 4] },
      },
      {
        ...base, mode: "markers", x: calls.map(({ endPs }) => endPs), y: calls.map(({ tookPs }) => tookPs), cliponaxis: false,
        marker: { color: colour, size: 3 * stroke, symbol: SYMBOLS[index % 4], line: { color: colour, width: 0.7 * stroke } },
      },
    ];
  }

  // Lines beside the measure's own, thinner and in their own colour.
  const alsoTraces = (chart) => chart.also.map(({ line, index }) => ({
    ...lineTrace(chart, line, index),
    line: {
      color: chart.colours[chart.measure.also.colour], width: 0.6 * chart.stroke, dash: DASHES[index % 4],
      shape: chart.measure.steps ? "hv" : "linear", simplify: false,
    },
  }));

  // Points that a measure marks: a ring.
  const markTraces = ({ measure, runs, stroke, colours }) => (measure.marks?.(runs) ?? []).map(({ index, ps, value }) => ({
    type: "scatter", mode: "markers", x: [ps], y: [value], hoverinfo: "skip", cliponaxis: false,
    marker: { color: colours.ink, size: 5 * stroke, symbol: index % 2 ? "diamond-open" : "circle-open", line: { color: colours.ink, width: 0.8 * stroke } },
  }));

  const tracesOf = (chart) => [...ownTraces(chart), ...alsoTraces(chart), ...markTraces(chart)];

  const ownTraces = (chart) => chart.runs.flatMap((run, index) => {
    const line = chart.lines[index];
    if (chart.measure.calls) {
      return callTraces(chart, line, index);
    }
    return chart.measure.has(run)
      ? [lineTrace(chart, line, index), ...(run.endPs < chart.end ? [overTrace(chart, run, line)] : [])]
      : [];
  });

  // The calls of all runs as bands; bands that touch at this width are merged.
  function bandsOf({ runs, time, plot, colours }) {
    const leastPs = (time.to - time.from) / (plot.right - plot.left);
    const calls = runs.flatMap((run) => run.calls).sort((a, b) => a.startPs - b.startPs);
    const bands = [];
    for (const { startPs, endPs } of calls) {
      const last = bands.at(-1);
      const end = Math.max(endPs, startPs + leastPs);
      if (last && startPs <= last.x1 + leastPs) {
        last.x1 = Math.max(last.x1, end);
      } else {
        bands.push({ x0: startPs, x1: end });
      }
    }
    return bands.map((band) => ({
      type: "rect", xref: "x", yref: "paper", y0: 0, y1: 1, layer: "below", line: { width: 0 },
      fillcolor: withAlpha(colours.ioctl, BAND), ...band,
    }));
  }

  function layoutOf(chart) {
    const { width, height, plot, time, values, tickPx, colours, presenter } = chart;
    const axis = {
      fixedrange: true, showgrid: true, zeroline: false, showline: false, ticks: "", tickmode: "array", gridwidth: 1,
      gridcolor: colours.line, tickfont: { size: tickPx, color: colours.ink2, family: FAMILY }, automargin: false,
    };
    const range = values.log ? [Math.log10(values.low), Math.log10(values.most)] : [values.low, values.most];
    return {
      width, height, autosize: false, showlegend: false, hovermode: false, dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: {
        l: plot.left, r: width - plot.right, t: plot.top, b: height - plot.bottom, pad: presenter ? 4 : 2, autoexpand: false,
      },
      xaxis: {
        ...axis, showgrid: false, range: [time.from, time.to], tickvals: time.ticks.map(({ at }) => at),
        ticktext: time.ticks.map(({ text }) => text), tickangle: 0,
      },
      yaxis: {
        ...axis, type: values.log ? "log" : "linear", range, tickvals: values.ticks.map(({ at }) => at),
        ticktext: values.ticks.map(({ text }) => text),
      },
      shapes: bandsOf(chart),
    };
  }

  // Draws into an element; later calls redraw the same figure.
  S.drawFigure = (Plotly, place, chart) =>
    Plotly.react(place, tracesOf(chart), layoutOf(chart), { staticPlot: true, displayModeBar: false, responsive: false });
})();
