// The maps in numbers and words: a table of equal parts of what is shown, and one sentence a pane.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const PER_REGION = 512;
  const PARTS = 16;
  const WRITABLE = 2;
  const DIRTY = 8;
  const LEVELS = ["none", "k4", "m2", "g1"];
  const COLUMNS = ["1G", "2M", "4K", "not mapped", "write-protected", "dirty"];
  const count = (value) => value.toLocaleString("en");

  const empty = () => ({ none: 0, k4: 0, m2: 0, g1: 0, shielded: 0, dirty: 0 });

  function addPages(sum, pageMap, first, stop) {
    for (let gfn = first; gfn < stop; gfn += 1) {
      const leaf = pageMap.leaf(gfn);
      sum[LEVELS[leaf >> 8]] += 1;
      sum.shielded += leaf > 0 && !(leaf & WRITABLE) ? 1 : 0;
      sum.dirty += (leaf & (WRITABLE | DIRTY)) === (WRITABLE | DIRTY) ? 1 : 0;
    }
  }

  // Counts of the pages [first, stop) inside the slot: whole regions at once, what is left at the edges page by page.
  function countPages(pageMap, first, stop) {
    const { base_gfn: base, pages } = pageMap.recording.slot;
    const from = Math.max(first, base);
    const to = Math.min(stop, base + pages);
    const sum = empty();
    const wholeFrom = Math.ceil(from / PER_REGION) * PER_REGION;
    const wholeTo = Math.floor(to / PER_REGION) * PER_REGION;
    if (wholeFrom >= wholeTo) {
      addPages(sum, pageMap, from, to);
      return sum;
    }
    addPages(sum, pageMap, from, wholeFrom);
    const stack = pageMap.stack(wholeFrom, wholeTo - wholeFrom);
    for (const name of LEVELS) {
      sum[name] += stack[name];
    }
    sum.shielded += stack.protected4k + stack.protected2m + stack.protected1g;
    sum.dirty += stack.dirtyBits;
    addPages(sum, pageMap, wholeTo, to);
    return sum;
  }

  const numbers = (sum, logged) => [sum.g1, sum.m2, sum.k4, sum.none, sum.shielded, logged ? sum.dirty : 0];

  function row(cells, name, scope) {
    const made = document.createElement("tr");
    cells.forEach((text, index) => {
      const cell = document.createElement(index === 0 ? "th" : name);
      cell.textContent = text;
      if (scope || index === 0) {
        cell.scope = scope || "row";
      }
      made.append(cell);
    });
    return made;
  }

  // `panes`: {title, pageMap, logged} each; `view`: {first, pages} in gfns.
  function fillMapTable(table, panes, view) {
    const { base_gfn: base } = panes[0].pageMap.recording.slot;
    const part = Math.max(1, Math.ceil(view.pages / PARTS));
    const head = document.createElement("thead");
    head.append(row(["Pages", ...panes.flatMap(({ title }) => COLUMNS.map((name) => `${title.split(":")[0]}: ${name}`))], "th", "col"));
    const body = document.createElement("tbody");
    for (let first = view.first; first < view.first + view.pages; first += part) {
      const stop = Math.min(first + part, view.first + view.pages);
      const cells = panes.flatMap(({ pageMap, logged }) => numbers(countPages(pageMap, first, stop), logged));
      body.append(row([`${count(first - base)} to ${count(stop - 1 - base)}`, ...cells.map(count)], "td"));
    }
    table.replaceChildren(head, body);
  }

  // E.g. "8,192 pages: 512 as 2M, 7,680 as 4K; 7,000 write-protected, 12 dirty."
  function mapWords({ pageMap, logged }, view) {
    const sum = countPages(pageMap, view.first, view.first + view.pages);
    const [g1, m2, k4, none, shielded, dirty] = numbers(sum, logged).map(count);
    const levels = [[sum.g1, `${g1} as 1G`], [sum.m2, `${m2} as 2M`], [sum.k4, `${k4} as 4K`], [sum.none, `${none} not mapped`]];
    const said = levels.filter(([pages]) => pages > 0).map(([, text]) => text).join(", ");
    return `${count(view.pages)} pages: ${said}; ${shielded} write-protected, ${dirty} dirty.`;
  }

  Object.assign(window.mmuviz, { fillMapTable, mapWords, countPages });
})();
