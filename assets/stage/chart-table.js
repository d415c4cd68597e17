// The table behind a chart: its values at round times, all runs side by side, to be read, copied and compared.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MOST_ROWS = 50;
  const STEPS = [1, 2, 2.5, 5, 10];
  const DECIMALS = 3;
  const byId = (id) => document.getElementById(id);

  // Round times from 0 up to the end, and the end of each run: at most 50.
  S.roundTimes = function (runs) {
    const ends = [...new Set(runs.map((run) => run.endPs))];
    const end = Math.max(...ends);
    const least = end / (MOST_ROWS - ends.length - 1);
    const power = 10 ** Math.floor(Math.log10(least));
    const step = Math.max(1, Math.round(power * STEPS.find((each) => each * power >= least * 0.999)));
    const times = new Set(ends);
    for (let ps = 0; ps <= end; ps += step) {
      times.add(ps);
    }
    return [...times].sort((a, b) => a - b);
  };

  // {text, plain}: the value for readers, and for programs.
  function inUnit(value, [, size], decimals = DECIMALS) {
    const plain = size === 1 ? String(Math.round(value)) : (value / size).toFixed(decimals);
    return { text: size === 1 ? S.count(Number(plain)) : plain, plain, value };
  }
  // Round times need no decimals; the end of a run does.
  const timeIn = (ps, unit) => ({ ...inUnit(ps, unit, Number.isInteger(ps / unit[1]) ? 0 : DECIMALS) });
  const cell = (text) => ({ text, plain: text, value: null });

  // Counts are written out; times and sizes in the unit of the largest.
  function tableUnit(measure, most) {
    const units = measure.units();
    return [S.TIME_UNITS, S.SIZE_UNITS, S.BYTE_RATES].includes(units) ? S.commonUnit([most], units) : units[0];
  }

  // {heads, rows: [[{text, plain, value}]]} of a measure at round times.
  function valuesOf(measure, runs) {
    const times = S.roundTimes(runs);
    const timeUnit = S.commonUnit([times.at(-1)], S.TIME_UNITS);
    const most = Math.max(...runs.flatMap((run) => times.map((ps) => measure.of(run, Math.min(ps, run.endPs)))));
    const unit = tableUnit(measure, most);
    const lines = [measure, ...(measure.also && runs.some(measure.also.has) ? [measure.also] : [])];
    const unitText = unit[0] ? `, ${unit[0]}` : "";
    return {
      heads: [`time, ${timeUnit[0]}`, ...lines.flatMap((line) => runs.map((run) => `${line === measure ? "" : `${line.title}, `}${run.label}${unitText}`))],
      rows: times.map((ps) => [
        timeIn(ps, timeUnit),
        ...lines.flatMap((line) => runs.map((run) => (ps <= run.endPs ? inUnit(line.of(run, ps), unit) : { text: "–", plain: "", value: null }))),
      ]),
      note: "A sum inside a bin of time rises evenly; a state is that of the last bin's end. A dash: that run is over." +
        (measure.note ? ` ${measure.note(runs)}` : ""),
    };
  }

  // The same for calls: the longest ones, in order of time.
  function callsOf(measure, runs) {
    const all = runs.flatMap((run) => S.callsOf(run, measure).map((call) => ({ run, ...call, tookPs: call.endPs - call.startPs })));
    const longest = new Set(all.slice().sort((a, b) => b.tookPs - a.tookPs).slice(0, MOST_ROWS));
    const kept = all.filter((call) => longest.has(call)).sort((a, b) => a.startPs - b.startPs);
    const unit = S.commonUnit([Math.max(...all.map(({ endPs }) => endPs))], S.TIME_UNITS);
    const took = S.commonUnit([Math.max(...all.map(({ tookPs }) => tookPs))], S.TIME_UNITS);
    return {
      heads: ["policy", "call", `began, ${unit[0]}`, `took, ${took[0]}`, `waited for locks, ${took[0]}`],
      rows: kept.map(({ run, kind, startPs, tookPs, waitPs }) => [
        cell(run.label), cell(kind.replace("_", " ")), inUnit(startPs, unit), inUnit(tookPs, took), inUnit(waitPs, took),
      ]),
      note: all.length > kept.length ? `The ${MOST_ROWS} calls of ${S.count(all.length)} that took longest; all are in Details.` : "All calls.",
    };
  }

  S.tableOf = (measure, runs) => (measure.table?.(runs) ?? (measure.calls ? callsOf(measure, runs) : valuesOf(measure, runs)));

  let shown = null;

  S.showChartTable = function (measure, runs) {
    // The description of a live chart is its title.
    const { title = measure.description } = measure;
    const description = measure.title ? measure.description : "";
    shown = S.tableOf(measure, runs);
    const rows = shown.rows.map((cells) => S.row(cells.map(({ text, value }) =>
      (value === null && text !== "–" ? text : S.number(text, { data: value === null ? {} : { value } })))));
    const heads = shown.heads.map((text, at) => (measure.calls && at < 2 ? text : S.number(text)));
    byId("stage-table-title").textContent = title;
    byId("stage-table-note").textContent = `${description} ${shown.note}`.trim();
    byId("stage-table-said").textContent = "";
    byId("stage-table-place").replaceChildren(S.wide(`Values of ${title}`, S.table({ heads, rows, class: "chart-values" })));
    byId("stage-table").showModal();
  };

  // Separated by tabs, for spreadsheets.
  const asText = ({ heads, rows }) => [heads, ...rows.map((cells) => cells.map(({ plain }) => plain))]
    .map((cells) => cells.join("\t")).join("\n") + "\n";

  async function copy() {
    try {
      await navigator.clipboard.writeText(asText(shown));
      byId("stage-table-said").textContent = "The table is copied.";
    } catch {
      // Without TLS the page may not write to the clipboard: the text is selected for copying.
      window.getSelection().selectAllChildren(byId("stage-table-place").querySelector("table"));
      byId("stage-table-said").textContent = "Copy the selected table.";
    }
  }

  // Buttons at the live charts, which are in the page before any run.
  function chartTools(stage) {
    for (const name of ["stall", "tables"]) {
      const figure = stage.root.querySelector(`.figure[data-name=${name}]`);
      const chartOf = () => stage.charts?.find(({ canvas }) => figure.contains(canvas));
      const table = S.el("button", {
        type: "button", class: "chart-tool", text: "Table", "aria-label": `Table of ${figure.querySelector("b").textContent}`,
        on: { click: () => chartOf() && S.showChartTable(chartOf().measure, stage.runs) },
      });
      // One for both: on small screens the first chart is the only one.
      const more = name !== "stall" ? null : S.el("button", {
        type: "button", class: "chart-tool", text: "More charts", title: "More charts (key C)", data: { act: "more-charts" },
        "aria-expanded": "false", "aria-controls": "stage-charts",
      });
      figure.append(S.el("div", { class: "chart-tools" }, table, more));
    }
  }

  (S.parts = S.parts || []).push((stage) => {
    chartTools(stage);
    byId("stage-table").addEventListener("keydown", (event) => event.stopPropagation());
    return { acts: { "copy-table": copy, "close-table": () => byId("stage-table").close() } };
  });
})();
