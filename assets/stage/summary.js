// The end card: lost pages, the costs of each run as bars on one scale, and suggested changes.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // What is not a time has bars on a scale of its own, and shorter ones.
  const OTHER_SCALE = 0.4;

  function element(tag, className, text = "") {
    const node = document.createElement(tag);
    node.className = className;
    node.textContent = text;
    return node;
  }

  function barOf(row, index, most) {
    const value = row.values[index];
    const node = element("div", `summary-bar c-${row.tone}`);
    const bar = element("i", "");
    bar.style.setProperty("--share", String(most > 0 ? value / most : 0));
    bar.hidden = !(value > 0);
    const { value: text, unit: name, zero } = row.partsOf(value, index);
    const number = element("span", "summary-number", text);
    number.append(element("small", "", name));
    node.classList.toggle("zero", zero);
    node.dataset.value = String(row.time ? Math.floor(value / 1000 + 0.5) : value);
    node.append(bar, number);
    return node;
  }

  function cellOf(runs, row, index, most) {
    const cell = element("div", "summary-cell");
    cell.dataset.run = String(index);
    cell.dataset.measure = row.name.toLowerCase().replace(" ", "-");
    if (runs.length > 2) {
      cell.append(element("span", "summary-run", runs[index].label));
    }
    cell.append(barOf(row, index, most));
    return cell;
  }

  const textOf = (parts) => (parts.length ? `of it ${parts.join(", ")}`.replace("of it all", "all of it") : "");

  // Two runs are left and right of the measures' names; three and four are below each other next to the names.
  function rowNodes(runs, row, most) {
    const name = element("div", "summary-name");
    name.append(element("b", "", row.name), element("span", "", row.description));
    const cells = runs.map((_, index) => cellOf(runs, row, index, most));
    const parts = row.parts.map((each) => element("div", "summary-parts", row.time ? textOf(each) : each.join(", ")));
    cells.forEach((cell, index) => cell.append(parts[index]));
    if (runs.length === 2) {
      return [cells[0], name, cells[1]];
    }
    const group = element("div", "summary-group");
    group.append(...cells);
    return [name, group];
  }

  function changesOf(run) {
    const node = element("div", "summary-next");
    node.hidden = S.changes(run).length === 0;
    node.append(element("span", "", "Change one thing:"));
    for (const { label, set } of S.changes(run)) {
      const button = element("button", "", label);
      button.type = "button";
      button.dataset.set = JSON.stringify(set);
      node.append(button);
    }
    return node;
  }

  // Why a migration loses pages, as lost_text() of the exports has it.
  const MIGRATION_LOST = {
    cause: "Where 64 pages of a bitmap end on the first page of a huge page, CLEAR leaves it writable " +
      "(kvm_arch_mmu_enable_log_dirty_pt_masked()). Memslots whose base is a multiple of 256 KiB have no such mask.",
  };

  // Why pages were lost, once for each cause, with the commit.
  function causesOf(runs) {
    const marks = runs.flatMap((run) => (run.header.migration?.lost_pages > 0 ? [MIGRATION_LOST] : S.lostMarksOf(run)));
    const causes = new Map(marks.map((mark) => [mark.cause, mark]));
    return [...causes.values()].map((mark) => {
      const node = element("p", "summary-lost", mark.cause);
      node.append(...(mark.commit ? [" ", S.commitLink(mark.commit)] : []));
      return node;
    });
  }

  // The card as an element; `times` is the text on the basis of its times. Buttons have their change in data-set, or data-close.
  S.summary = function (runs, times = []) {
    const card = element("section", `summary summary-of-${runs.length}`);
    const title = element("h2", "summary-title");
    title.append(...S.partNodes(S.answer(runs)));
    const close = element("button", "summary-close", "×");
    close.type = "button";
    close.dataset.close = "";
    close.setAttribute("aria-label", "Close the summary");
    const grid = element("div", "summary-grid");
    if (runs.length === 2) {
      grid.append(...[runs[0].label, "", runs[1].label].map((text, i) => element("div", `summary-head at-${i}`, text)));
    }
    const rows = S.summaryRows(runs);
    const spans = rows.filter((row) => row.time).flatMap((row) => row.values);
    const mostOf = (row) => (row.time ? Math.max(...spans) : Math.max(...row.values) / OTHER_SCALE);
    grid.append(...rows.flatMap((row) => rowNodes(runs, row, mostOf(row))));
    // The uncertainty of the times, since the digits alone suggest more accuracy.
    const trust = element("p", "summary-trust", times.join("; "));
    card.append(title, close, ...causesOf(runs), grid, trust, changesOf(runs[0]));
    return card;
  };
})();
