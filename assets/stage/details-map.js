// The tab "Map": the maps as a table: shares of the pages of each memslot, and of each vCPU's range in it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;
  const SHARES = 8;
  const FULL = 255;
  const MOST_PARTS = 64;
  const NAMES = ["not mapped", "4K", "2M", "1G", "4K protected", "2M protected", "1G protected", "dirty"];
  const hex = (gfn) => `0x${(gfn * PAGE_BYTES).toString(16)}`;

  // Ranges of cells, [{name, first, last, pages, gfn}]: memslots, and vCPUs' ranges if they end at cell boundaries.
  S.mapParts = function (run) {
    const found = slots(run);
    return [...found, ...(found.length === 1 ? vcpuParts(run) : [])];
  };

  function part(run, name, first, last, inside = false) {
    let pages = 0;
    for (let cell = first; cell <= last; cell += 1) {
      pages += run.cellPages[cell];
    }
    return { name, first, last, pages, gfn: run.firstGfn[first], inside };
  }

  function slots(run) {
    const memslots = S.slotsOf(run);
    const span = run.header.cell_pages;
    const found = [];
    let first = 0;
    for (let cell = 1; cell <= run.cells; cell += 1) {
      const ends = cell === run.cells || slotAt(memslots, run.firstGfn[cell]) !== slotAt(memslots, run.firstGfn[cell - 1]) ||
        run.firstGfn[cell] !== run.firstGfn[cell - 1] + span;
      if (ends) {
        found.push(part(run, `memslot ${found.length}`, first, cell - 1));
        first = cell;
      }
    }
    return found;
  }

  // The memslot of a cell: the last one that begins at or before it, since a shared cell belongs to the first.
  const slotAt = (memslots, gfn) => memslots.findLastIndex(({ first }) => first <= gfn);

  function vcpuParts(run) {
    const { ram, vcpus } = run;
    if (vcpus < 2 || vcpus > MOST_PARTS || ram.shared || ram.slots.length !== 1) {
      return [];
    }
    const cellOf = (gfn) => run.firstGfn.indexOf(gfn);
    const found = [];
    for (let vcpu = 0; vcpu < vcpus; vcpu += 1) {
      const { first, pages } = ram.partOf(vcpu);
      const begin = cellOf(ram.slots[0].gfn + first);
      const end = vcpu === vcpus - 1 ? run.cells : cellOf(ram.slots[0].gfn + first + pages);
      if (begin < 0 || end <= begin) {
        return [];
      }
      found.push(part(run, `part of vCPU ${vcpu}`, begin, end - 1, true));
    }
    return found;
  }

  // Shares of a range's pages at a frame, 0 to 1, in the order of NAMES. A cell's share is known to 1/255.
  S.partShares = function (run, { first, last, pages }, frame) {
    const shares = run.cellsAt(frame);
    const found = new Float64Array(SHARES);
    for (let cell = first; cell <= last; cell += 1) {
      for (let at = 0; at < SHARES; at += 1) {
        found[at] += shares[cell * SHARES + at] * run.cellPages[cell];
      }
    }
    return found.map((sum) => sum / (FULL * pages));
  };

  class MapTable {
    constructor(place, stage) {
      this.stage = stage;
      this.tables = stage.runs.map((run) => this.table(run));
      this.note = S.el("p", { class: "details-note" });
      place.replaceChildren(this.note, ...this.tables.map(({ run, table }) => S.wide(`Map of ${run.label}`, table)));
    }

    table(run) {
      const rows = S.mapParts(run).map((each) => ({ part: each, cells: NAMES.map(() => S.el("td", { class: "number-cell" })) }));
      const made = rows.map(({ part: { name, gfn, pages, inside }, cells }, index) => S.el("tr", { class: inside ? "part-row" : "", data: { part: index } },
        S.el("th", { scope: "row", text: name }), S.el("td", { text: hex(gfn), class: "code-cell" }),
        S.el("td", { text: S.bytesText(pages * PAGE_BYTES), class: "number-cell" }), ...cells));
      const number = (text) => ({ text, class: "number-cell" });
      const heads = ["range", S.term("GPA"), number("size"), ...NAMES.slice(0, 4).map(number),
        ...NAMES.slice(4, 7).map(number), number(NAMES[7])];
      return { run, rows, table: S.table({ caption: run.label, heads, rows: made, class: "map-table", data: { run: this.stage.runs.indexOf(run) } }) };
    }

    tell(ps) {
      this.note.textContent = `At ${S.timeText(ps)}: shares of all pages of a range. A cell's shares are known to 1/255 of it; ` +
        "0 % is nothing at all, 100 % all.";
      for (const { run, rows } of this.tables) {
        const frame = run.frame(Math.min(ps, run.endPs));
        for (const { part: each, cells } of rows) {
          S.partShares(run, each, frame).forEach((share, at) => {
            const text = S.percentText(share);
            if (cells[at].textContent !== text) {
              cells[at].textContent = text;
              cells[at].classList.toggle("zero", share === 0);
            }
            cells[at].dataset.share = share.toFixed(5);
          });
        }
      }
    }
  }

  (S.detailTabs = S.detailTabs || {}).map = (place, stage) => new MapTable(place, stage);
})();
