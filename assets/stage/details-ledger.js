// The tab "Ledger": every cost of the engine, for the kernels and hosts that are shown, with its source.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const ASSUMPTION = "assumption";
  // The note above the tables names the files of the rows.
  const FILES = / of mmuviz\/data\/published\/measurements\.json|mmuviz\/data\/costs\/counted\.json: /g;
  const unique = (values) => [...new Set(values)];
  const plain = (value) => value.toLocaleString("en-US", { maximumFractionDigits: 2 });

  function sourceCell(source, more = "") {
    const assumed = source.includes(ASSUMPTION);
    const said = source.replace(FILES, "");
    const text = more ? `${said} (${more})` : said;
    return S.el("td", { class: assumed ? "source assumed" : "source", text });
  }

  // Entries of counted code that a kernel uses: [{name, description, kernel, value, low, high, unit, source, changed}].
  S.codeCosts = function (ledger, kernel, overrides = {}) {
    const stands = ledger.kernels[kernel] || {};
    return Object.entries(stands).map(([name, counted]) => {
      const entry = ledger.code[name][counted];
      const changed = name in overrides;
      return { name, counted, ...entry, value: changed ? overrides[name] : entry.value, changed };
    });
  };

  // Constants of a host, in the same form.
  S.hostCosts = function (ledger, profile, overrides = {}) {
    const host = ledger.hosts[profile];
    return Object.entries(ledger.constants).map(([name, about]) => {
      const [value, source] = host.constants[name];
      const changed = name in overrides;
      return { name, ...about, value: changed ? overrides[name] : value, source: changed ? "changed in this Scenario" : source, changed };
    });
  };

  function row({ name, description, value, low, high, unit, source, derived, counted, changed }, kernel) {
    const stands = counted && counted !== kernel ? `, counted on ${counted}` : "";
    return S.el("tr", { data: { cost: name }, class: changed ? "changed" : "" },
      S.el("th", { scope: "row" }, S.el("code", { text: name }), S.el("span", { text: `${description}${stands}`, class: "says" })),
      S.el("td", { text: plain(value), class: "number-cell" }),
      S.el("td", { text: `${plain(low)} to ${plain(high)}`, class: "number-cell range" }),
      S.el("td", { text: unit }),
      sourceCell(changed ? "changed in this Scenario" : source, derived));
  }

  const heads = () => ["cost", { text: "value", class: "number-cell" }, { text: "plausible", class: "number-cell" }, "unit", "source"];

  function table(caption, costs, kernel) {
    const rows = costs.map((cost) => row(cost, kernel));
    return S.wide(caption, S.table({ caption, heads: heads(), rows, class: "ledger-table" }));
  }

  function make(ledger, runs) {
    const overrides = Object.assign({}, ...runs.map((run) => run.header.scenario.host?.overrides || {}));
    const kernels = unique(runs.map((run) => run.header.versions.kernel));
    const hosts = unique(runs.map((run) => run.header.host.profile));
    const note = S.el("p", { class: "details-note" },
      "A fault costs its instructions at ", S.el("code", { text: "path_ps" }), " each and a world switch; a walk of an ioctl costs its at ",
      S.el("code", { text: "walk_ps" }), ", and cache misses. ", "The ", S.term("ledger"), " is what ", S.el("code", { text: "mmuviz costs" }), " prints",
      ". What rests on an ", S.term("assumption"), " says so. Counted rows are those of ", S.el("code", { text: "mmuviz/data/costs/counted.json" }), ", published values those of ",
      S.el("code", { text: "mmuviz/data/published/measurements.json" }), ".");
    return [note,
      ...hosts.map((host) => table(`Host ${host}: ${ledger.hosts[host].description}`, S.hostCosts(ledger, host, overrides))),
      ...kernels.map((kernel) => table(`Code of kernel ${kernel}, in instructions`, S.codeCosts(ledger, kernel, overrides), kernel))];
  }

  (S.detailTabs = S.detailTabs || {}).ledger = function (place, stage, drawer) {
    drawer.fetchInto(place, "ledger", (ledger) => make(ledger, stage.runs));
  };
})();
