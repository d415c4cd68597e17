// The report: plain ASCII of at most 72 columns, for a mail; and the tables as CSV.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WIDE = 72;
  const PS_PER_NS = 1000;

  const ascii = (text) => text.replace(/µ/g, "u").replace(/±/g, "+-").replace(/[–—]/g, "-").replace(/…/g, "...").replace(/[^\x20-\x7e\n]/g, "?");

  // Wraps text to 72 columns; lines after the first are indented.
  function wrapped(text, indent = "  ") {
    const lines = [""];
    for (const piece of ascii(text).trim().split(" ")) {
      const last = lines[lines.length - 1] || (text.startsWith(" ") ? " " : "");
      if (last.trim() && last.length + 1 + piece.length > WIDE) {
        lines.push(indent + piece);
      } else {
        lines[lines.length - 1] = last ? `${last} ${piece}` : piece;
      }
    }
    return lines;
  }

  // An address in angle brackets, split if it is too long; mail programs join the parts.
  function folded(url) {
    const parts = [];
    for (let rest = `<${url}>`; rest; rest = rest.slice(WIDE - 2)) {
      parts.push(`  ${rest.slice(0, WIDE - 2)}`);
    }
    return parts;
  }

  const quoted = (value) => (/^[\w.,/=:[\]-]+$/.test(value) && !/[[\]]/.test(value) ? value : `'${value.replace(/'/g, "'\\''")}'`);

  // The command that prints the same numbers.
  S.compareLine = function (stage) {
    const { state, runs } = stage;
    const command = runs.length > 1 ? "compare" : "run";
    if (state.file) {
      return ["mmuviz", command, quoted(S.fileName(stage, "scenario.json"))].join(" ");
    }
    const parts = ["mmuviz", command, state.base];
    for (const [field, value] of Object.entries(state.set)) {
      parts.push("--set", quoted(`${field}=${typeof value === "string" ? value : JSON.stringify(value)}`));
    }
    const policies = state.policies || (runs.length > 1 ? runs.map(({ policy }) => policy) : null);
    if (policies && runs.length > 1) {
      parts.push("--policies", policies.join(","));
    } else if (state.policies) {
      parts.push("--set", `policy=${state.policies[0]}`);
    }
    return parts.join(" ");
  };

  function continued(line) {
    const lines = [""];
    for (const part of line.match(/'(?:[^']|'\\'')*'|\S+/g)) {
      const last = lines[lines.length - 1];
      if (last && last.length + 3 + part.length > WIDE) {
        lines[lines.length - 1] = `${last} \\`;
        lines.push(`    ${part}`);
      } else {
        lines[lines.length - 1] = last ? `${last} ${part}` : `  ${part}`;
      }
    }
    return lines;
  }

  const ROWS = [
    ["stall per vCPU", (run) => S.timeText(run.stallPs(run.endPs))],
    ["slower writes per vCPU", (run) => S.timeText(run.slowPs(run.endPs))],
    ["in ioctls", (run) => S.timeText(run.ioctlPs(run.endPs))],
    ["page tables added", (run) => S.bytesText(run.tablesAdded(run.endPs)).replace("−", "-")],
    ["faults", (run) => S.count(run.faults(run.endPs).reduce((sum, each) => sum + each, 0))],
    ["huge pages split", (run) => S.count(run.splits(run.endPs).reduce((sum, each) => sum + each, 0))],
    ["simulated time", (run) => S.timeText(run.endPs)],
  ];

  function table(runs) {
    const first = Math.max(...ROWS.map(([name]) => name.length));
    const room = Math.floor((WIDE - first) / runs.length) - 2;
    const cells = (name, texts) => name.padEnd(first) + texts.map((text) => `  ${text.slice(0, room).padStart(room)}`).join("");
    return [cells("", runs.map(({ label }) => label)), ...ROWS.map(([name, of]) => cells(name, runs.map(of)))];
  }

  // Bytes of all memslots; 0 for a list of ops, which creates its own memslots.
  S.guestBytes = ({ memory = [] }) => memory.reduce((sum, { size }) => sum + size, 0);

  // Short texts on the simulated setup.
  S.factsOf = function (scenario) {
    const { vm, memory = [], workload = {} } = scenario;
    const pages = memory.length ? memory[0].backing.replace("hugetlb_", "").toUpperCase() : "";
    const log = `log ${vm.dirty_log_mode.replaceAll("_", " ")}${vm.pml ? ", PML" : ""}`;
    return [
      pages && `${S.sizeText(S.guestBytes(scenario))} in ${pages} pages`,
      `${vm.vcpus} vCPU${vm.vcpus === 1 ? "" : "s"}`,
      `Linux ${vm.kernel}`,
      log,
      workload.pattern && `${workload.pattern.replaceAll("_", " ")} writes`,
    ].filter(Boolean);
  };

  S.report = function (stage) {
    const { runs, state } = stage;
    const notes = [...new Set(runs.flatMap((run) => run.header.notes || []))];
    const lines = [
      ...wrapped(document.getElementById("stage-question").textContent, ""),
      ...wrapped(S.factsOf(runs[0].header.scenario).join("; "), ""),
      ...(state.note ? ["", ...wrapped(state.note, "")] : []),
      "",
      ...table(runs),
      "",
      ...(S.migrationLines?.(runs) ?? []).flatMap((line) => wrapped(line, "    ")),
      ...(runs.some((run) => run.answer?.sentence) ? [""] : []),
      "Assumptions",
      ...wrapped("  Counts come from a model of KVM's MMU that answers recordings of real KVM exactly."),
      ...notes.flatMap((note) => wrapped(`  ${note}`)),
      "",
      "To see it",
      ...folded(S.linkNow(stage).url),
      "To compute it again",
      ...continued(S.compareLine(stage)),
    ];
    return `${lines.map((line) => ascii(line).trimEnd()).join("\n")}\n`;
  };

  // ---- tables

  const cell = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replace(/"/g, '""')}"` : String(value));
  const csv = (rows) => rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";

  // A column name with its unit; times are ns, as everywhere outside of a Recording.
  const nameOf = (column) => column.replace(/_ps$/, "_ns");
  const valueOf = (column, value) => (column.endsWith("_ps") ? Math.round(value / PS_PER_NS) : value);

  function columnsOf(runs, name) {
    return Object.keys(runs[0].tables[name]).filter((column) => runs.every(({ tables }) => tables[name][column]));
  }

  S.callsCsv = function (runs) {
    const columns = columnsOf(runs, "calls");
    const rows = runs.flatMap((run) => {
      const { calls } = run.tables;
      const kinds = run.header.vocabularies.call_kinds;
      return Array.from(calls.kind, (_, row) => [
        run.full,
        ...columns.map((column) => (column === "kind" ? kinds[calls.kind[row]] : valueOf(column, calls[column][row]))),
      ]);
    });
    return csv([["run", ...columns.map(nameOf)], ...rows]);
  };

  S.binsCsv = function (runs) {
    const columns = columnsOf(runs, "bins");
    const rows = runs.flatMap((run) => {
      const { bins } = run.tables;
      const walks = run.header.vocabularies.walks;
      return Array.from({ length: run.bins }, (_, bin) => [
        run.full,
        Math.round(run.framePs(bin) / PS_PER_NS),
        ...columns.map((column) => (column === "walk" ? walks[bins.walk[bin]] : valueOf(column, bins[column][bin]))),
      ]);
    });
    return csv([["run", "start_ns", ...columns.map(nameOf)], ...rows]);
  };
})();
