// The report: plain ASCII of at most 72 columns, for a mail; and the tables as CSV.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WIDE = 72;
  const PS_PER_NS = 1000;

  const PLAIN = [
    [/µ/g, "u"], [/±/g, "+-"], [/[–—−]/g, "-"], [/…/g, "..."], [/×/g, "x"], [/[‘’]/g, "'"], [/[“”„]/g, '"'], [/→/g, "->"],
  ];

  // Letters lose their accents; what has no letters in ASCII becomes a question mark.
  function ascii(text) {
    const plain = PLAIN.reduce((said, [from, to]) => said.replace(from, to), text);
    return plain.normalize("NFKD").replace(/\p{M}/gu, "").replace(/⁄/g, "/").replace(/[^\x20-\x7e]/gu, "?");
  }

  // A word, or its parts if it is longer than a line.
  const partsOf = (word, width) => word.match(new RegExp(`.{1,${width}}`, "g")) ?? [];

  // Wraps text; lines after the first are indented. Text that begins with a space has its first line indented too.
  function wrapped(text, indent = "  ", width = WIDE) {
    const lines = [];
    let line = text.startsWith(" ") ? "  " : "";
    for (const word of ascii(S.oneLine(text)).split(" ")) {
      for (const part of partsOf(word, width - Math.max(indent.length, 2))) {
        const space = line.trim() ? " " : "";
        if (space && line.length + 1 + part.length > width) {
          lines.push(line);
          line = indent + part;
        } else {
          line += space + part;
        }
      }
    }
    return [...lines, line];
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

  // A shell word that is longer than a line, in pieces that a backslash at the end of each line joins.
  function pieces(word, width) {
    const inQuotes = word.startsWith("'");
    const units = inQuotes ? word.slice(1, -1).match(/'\\''|./gu) : [...word];
    const found = [""];
    for (const unit of units) {
      const last = found.length - 1;
      if (found[last].length + unit.length > width - 2) {
        found.push(unit);
      } else {
        found[last] += unit;
      }
    }
    return inQuotes ? found.map((each) => `'${each}'`) : found;
  }

  function continued(line) {
    const lines = [""];
    for (const part of ascii(line).match(/'(?:[^']|'\\'')*'|\S+/g)) {
      const last = lines[lines.length - 1];
      const [first, ...rest] = part.length + 6 > WIDE ? pieces(part, WIDE - 6) : [part];
      if (last && last.length + 3 + first.length > WIDE) {
        lines[lines.length - 1] = `${last} \\`;
        lines.push(`    ${first}`);
      } else {
        lines[lines.length - 1] = last ? `${last} ${first}` : `  ${first}`;
      }
      for (const each of rest) {
        lines[lines.length - 1] += "\\";
        lines.push(each);
      }
    }
    return lines;
  }

  const timeText = (name) => (run, runs) => S.paneTime(name, run, runs, Math.max(...runs.map(({ endPs }) => endPs)));
  const ROWS = [
    ["stall per vCPU", timeText("stall")],
    ["slower writes per vCPU", timeText("slow")],
    ["in ioctls", timeText("ioctl")],
    ["page tables added", (run) => S.bytesText(run.tablesAdded(run.endPs))],
    ["faults", (run) => S.count(run.faults(run.endPs).reduce((sum, each) => sum + each, 0))],
    ["huge pages split", (run) => S.count(run.splits(run.endPs).reduce((sum, each) => sum + each, 0))],
    ["simulated time", (run) => S.timeText(run.endPs)],
  ];
  const LOST = ["lost pages", (run) => S.count(S.lostPages(run))];

  // Heads take as many lines as they need; runs whose numbers do not fit side by side are in two tables.
  function table(runs, all = runs) {
    const used = all.some((run) => S.lostPages(run) > 0) ? [LOST, ...ROWS] : ROWS;
    const first = Math.max(...used.map(([name]) => name.length));
    const room = Math.floor((WIDE - first) / runs.length) - 2;
    const rows = used.map(([name, of]) => [name, runs.map((run) => ascii(of(run, all)))]);
    if (runs.length > 1 && rows.some(([, texts]) => texts.some((text) => text.length > room))) {
      const half = Math.ceil(runs.length / 2);
      return [...table(runs.slice(0, half), all), "", ...table(runs.slice(half), all)];
    }
    const heads = runs.map(({ label }) => wrapped(label, "", room));
    const high = Math.max(...heads.map((head) => head.length));
    const headRows = Array.from({ length: high }, (_, row) => ["", heads.map((head) => head[row - high + head.length] ?? "")]);
    return [...headRows, ...rows].map(([name, texts]) => name.padEnd(first) + texts.map((text) => `  ${text.padStart(room)}`).join(""));
  }

  S.report = function (stage) {
    const { runs, state } = stage;
    const notes = [...new Set(runs.flatMap((run) => run.header.notes || []))];
    const lines = [
      ...wrapped(document.getElementById("stage-question").textContent, ""),
      ...wrapped(S.factsOf(runs.map((run) => run.header.scenario)).join("; "), ""),
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
