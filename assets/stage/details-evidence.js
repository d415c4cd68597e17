// The tab "Evidence": published measurements and the model's values, fitted and predicted separately, and KVM recordings.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const CLOSE = 0.5;
  const TABLES = {
    "rfc_1.5TB": "RFC of eager splitting: a memslot of 1.5 TB",
    tdp_eager: "Eager splitting for the TDP MMU", cpu_time_to_split: "CPU time to split, TDP MMU", split_on_fault: "Split on fault",
    shadow_v1: "Eager splitting for the shadow MMU, v1", shadow_v3: "Eager splitting for the shadow MMU, v3",
    nested: "Eager splitting for nested guests", fast_page_fault: "Fast page fault in the TDP MMU",
    disable: "Huge page recovery at disable", arm64: "Eager splitting on arm64", start_cost: "Initially-all-set", pre_split: "Pre-split of 2020",
  };
  const RFC = "rfc_1.5TB";

  const median = (values) => {
    const sorted = values.slice().sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  };
  const percent = (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
  const amount = (value, unit) => (unit === "percent" ? `${plain(value)} %` : `${plain(value)} ${unit === "us" ? "µs" : unit}`);
  const plain = (value) => (Number.isInteger(value) && Math.abs(value) >= 1000 ? S.count(value) : String(Number(value.toPrecision(3))));

  // Of rows with errors: their number, median error, worst error, and the number within 1.5x.
  S.errorsOf = function (rows) {
    const errors = rows.map(({ error }) => error).filter((error) => error !== null);
    return errors.length ? {
      count: errors.length, median: median(errors), worst: Math.max(...errors), close: errors.filter((error) => error <= CLOSE).length,
    } : { count: 0, median: 0, worst: 0, close: 0 };
  };

  function workText({ workload, strategy }) {
    const { vcpus, mem_per_vcpu_gib: each, mem_gib: whole, write_pct: writes, memslot_tib: tib, nested, mmu } = workload;
    const parts = [strategy, mmu, vcpus && `${vcpus} vCPU${vcpus === 1 ? "" : "s"}`, each && `${each} GiB each`, whole && `${whole} GiB`,
      tib && `${tib} TB`, writes !== undefined && `${writes} % writes`, nested && String(nested), workload.cmd];
    return parts.filter(Boolean).join(", ");
  }

  const metricText = (metric) => metric.replaceAll("_", " ").replace(/^iteration(\d+) /, "pass $1: ");

  function resultRow(row, shown) {
    const kind = row.fitted ? "fitted" : "predicted";
    const ratio = row.measured > 0 ? row.modelled / row.measured : null;
    const also = row.also ? S.el("span", { class: "says", text: `${row.also.says}: modelled ${amount(row.also.modelled, row.unit)}` }) : null;
    return S.el("tr", { data: { id: row.id, kind }, class: shown.has(row.id) ? "shown-now" : "" },
      S.el("th", { scope: "row" }, metricText(row.metric), S.el("span", { class: "says", text: workText(row) }), also),
      S.el("td", { class: "number-cell", text: amount(row.measured, row.unit) }),
      S.el("td", { class: "number-cell", text: amount(row.modelled, row.unit) }),
      S.el("td", { class: "number-cell", text: ratio === null ? "" : `${ratio.toFixed(2)}×` }),
      S.el("td", { class: kind }, S.term(kind)));
  }

  const resultHeads = () => ["what was measured", { text: "measured", class: "number-cell" }, { text: "modelled", class: "number-cell" },
    { text: "ratio", class: "number-cell" }, "the model"];

  function sources(rows) {
    const seen = new Map(rows.map(({ source, url }) => [source, url]));
    return S.el("p", { class: "details-note" }, ...[...seen].flatMap(([source, url], at) => [at ? "; " : "", S.sourceLink(source, url)]),
      ` · host ${[...new Set(rows.map(({ host }) => host))].join(", ")}`);
  }

  function group(name, rows, shown) {
    const { count, median: half, close } = S.errorsOf(rows);
    const of = `${S.plural(count, "value")}, median error ${percent(half)}, ${close} within 1.5×`;
    const open = name === RFC || rows.some(({ id }) => shown.has(id));
    return S.el("details", { class: "evidence-table", data: { table: name }, open: open ? "" : null },
      S.el("summary", {}, S.el("b", { text: TABLES[name] || name }), ` ${of}`),
      sources(rows),
      S.wide(TABLES[name] || name, S.table({ heads: resultHeads(), rows: rows.map((row) => resultRow(row, shown)) })));
  }

  function notCovered(rows) {
    const reasons = new Map();
    rows.forEach((row) => reasons.set(row.reason, [...(reasons.get(row.reason) || []), row]));
    const items = [...reasons].map(([reason, each]) => S.el("li", {}, S.el("b", { text: `${each.length} ×` }), ` ${reason}: `,
      S.el("span", { class: "says", text: each.map(({ id }) => id).join(", ") })));
    return S.el("details", { class: "evidence-table", data: { table: "not covered" } },
      S.el("summary", {}, S.el("b", { text: "Not covered" }), ` ${S.plural(rows.length, "value")}, each with its reason`), S.el("ul", {}, ...items));
  }

  function totals({ rows, recordings, wrong_orders: wrong }) {
    const covered = rows.filter(({ modelled }) => modelled !== null);
    const line = (name, term, chosen) => {
      const { count, median: half, worst, close } = S.errorsOf(chosen);
      return S.row([S.term(name, term), S.number(S.count(count)), S.number(percent(half)), S.number(percent(worst)), S.number(`${close} of ${count}`)], { head: true, data: { total: name } });
    };
    const rfc = rows.find(({ table }) => table === RFC);
    return [
      S.el("p", { class: "evidence-claim" }, S.el("b", { text: `${S.count(recordings.exact)} of ${S.count(recordings.of)} recordings exact` }),
        ": every counter, every dirty page and every event of ", S.term("real KVM", "KVM recording"), ", op by op."),
      rfc ? S.el("p", { class: "evidence-claim" }, S.el("b", { text: `30 s of the RFC: modelled ${amount(rfc.modelled, rfc.unit)}` }),
        ` for a memslot of 1.5 TiB; ${rfc.fitted ? "fitted" : "predicted, never fitted"}.`) : null,
      S.table({
        caption: `${covered.length} of ${rows.length} published values are covered; ${S.plural(wrong.length, "pair is", "pairs are")} in the wrong order`,
        heads: ["the model", ...["values", "median error", "worst", "within 1.5×"].map((text) => ({ text, class: "number-cell" }))],
        rows: [line("predicted", "predicted", covered.filter(({ fitted }) => !fitted)), line("fitted", "fitted", covered.filter(({ fitted }) => fitted))],
        class: "totals-table",
      }),
    ];
  }

  function make(evidence, stage) {
    const shown = new Set(stage.runs.flatMap(({ published }) => published || []).map(({ id }) => id));
    const covered = evidence.rows.filter(({ modelled }) => modelled !== null);
    const names = [...new Set(covered.map(({ table }) => table))].sort((a, b) => (b === RFC) - (a === RFC));
    const same = evidence.model === evidence.running;
    return [
      ...totals(evidence),
      shown.size ? S.el("p", { class: "details-note", text: `${shown.size} of them ${shown.size === 1 ? "was" : "were"} measured of what is shown now: marked below, and dots on the page.` }) : null,
      ...names.map((name) => group(name, covered.filter(({ table }) => table === name), shown)),
      notCovered(evidence.rows.filter(({ modelled }) => modelled === null)),
      S.el("p", { class: "details-note" }, `Made by MMUViz ${evidence.version}, model `, S.el("code", { text: evidence.model }),
        same ? ", which is the one that runs here." : ", an earlier state of the one that runs here: `make evidence` makes it anew."),
    ];
  }

  (S.detailTabs = S.detailTabs || {}).evidence = function (place, stage, drawer) {
    drawer.fetchInto(place, "evidence", (evidence) => make(evidence, stage));
  };
})();
