// The tab "Calls": every call and every phase of every run. Only visible rows are in the document.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;
  const MARGIN = 8;
  const NOT_SAID = "–";
  const NAMES = {
    enable: "enable logging", disable: "disable logging", get: "GET", clear: "CLEAR", reset: "ring reset",
    pre_split: "pre-split", populate: "memory is mapped", dirty: "a pass of writing", lead: "the guest runs",
    tail: "the guest runs on", interval: "the guest runs on", op: "guest accesses",
    round: "a round of migration", downtime: "the guest stands still",
  };
  const IOCTL_KINDS = new Set(["enable", "get", "clear", "reset", "disable", "pre_split"]);
  const plural = (...given) => S.plural(...given);

  // Pages that a call covers: its memslot, or a chunk of it if userspace clears in chunks; null if the Recording does
  // not have them.
  function pagesOf(run, kind, slot, nth) {
    const { memory = [], driver = {} } = run.header.scenario;
    const memslot = slot >= 0 ? memory[slot] : null;
    if (!memslot || !["enable", "disable", "get", "clear", "pre_split"].includes(kind)) {
      return null;
    }
    const chunk = kind === "clear" && driver.clear_chunk ? driver.clear_chunk : memslot.size;
    return Math.max(0, Math.min(chunk, memslot.size - nth * chunk)) / PAGE_BYTES;
  }

  function foundText({ kind, reported, splits, zaps, tablesAdded, tlbFlushes, faults, accesses }) {
    const parts = [];
    if (reported >= 0) {
      parts.push(plural(reported, "dirty page"));
    }
    if (splits) {
      parts.push(plural(splits, "split"));
    }
    if (zaps) {
      parts.push(plural(zaps, "zap"));
    }
    if (tablesAdded) {
      parts.push(`${tablesAdded < 0 ? "−" : "+"}${plural(Math.abs(tablesAdded), "table")}`);
    }
    if (tlbFlushes) {
      parts.push(plural(tlbFlushes, "TLB flush", "TLB flushes"));
    }
    if (faults) {
      parts.push(`${plural(faults, "fault")}${IOCTL_KINDS.has(kind) ? " meanwhile" : ""}`);
    }
    if (!IOCTL_KINDS.has(kind) && accesses) {
      parts.push(plural(accesses, "access", "accesses"));
    }
    return parts.join(", ") || "nothing";
  }

  function rowsOf(run, index) {
    const { calls } = run.tables;
    const seen = new Map();
    const kinds = run.header.vocabularies.call_kinds;
    // An op with an ioctl lasts as long as the ioctl.
    const ioctlOps = new Set(Array.from(calls.op).filter((_, row) => IOCTL_KINDS.has(kinds[calls.kind[row]])));
    return Array.from(calls.kind, (code, row) => {
      const kind = kinds[code];
      const [slot, iteration] = [calls.slot[row], calls.iteration[row]];
      const key = `${kind} ${iteration} ${slot}`;
      const nth = seen.get(key) || 0;
      seen.set(key, nth + 1);
      const found = {
        run: index, row, kind, slot, iteration, op: calls.op[row], vcpu: calls.vcpu[row], isIoctl: IOCTL_KINDS.has(kind),
        pages: pagesOf(run, kind, slot, nth), startPs: calls.start_ps[row], endPs: calls.end_ps[row],
        holdPs: calls.hold_ps[row], waitPs: calls.wait_ps[row], reported: calls.reported_pages[row],
        splits: calls.splits[row], zaps: calls.zaps[row], tablesAdded: calls.tables_added[row],
        tlbFlushes: calls.tlb_flushes[row], faults: calls.faults[row], accesses: calls.accesses[row],
      };
      found.isWhole = kind === "op" && ioctlOps.has(found.op);
      return { ...found, found: foundText(found), published: S.publishedAt ? S.publishedAt(run, kind, iteration, nth) : [] };
    });
  }

  // Every call and phase of all runs, in order of their begin.
  S.callRows = (runs) =>
    runs.flatMap(rowsOf).sort((a, b) => a.startPs - b.startPs || a.run - b.run || a.row - b.row);

  const nameOf = ({ kind, op, vcpu, isWhole }) =>
    (op >= 0 ? `op ${op}: ` : "") + (isWhole ? "all of it" : NAMES[kind] || kind) + (vcpu >= 0 ? `, vCPU ${vcpu}` : "");

  class CallTable {
    constructor(place, stage) {
      this.stage = stage;
      this.all = S.callRows(stage.runs);
      this.rows = this.all;
      this.hasWaits = this.all.some(({ waitPs }) => waitPs > 0);
      this.hasPublished = this.all.some(({ published }) => published.length > 0);
      this.body = S.el("tbody");
      this.scroller = S.el("div", { class: "details-scroller", on: { scroll: () => this.render() } }, this.table());
      place.replaceChildren(this.filters(), this.scroller);
      this.rowHigh = 0;
      this.render();
    }

    filters() {
      const { runs } = this.stage;
      const run = S.el("select", { class: "details-select", "aria-label": "Run", on: { change: () => this.filter() } },
        S.el("option", { text: "all runs", value: "" }),
        ...runs.map((each, index) => S.el("option", { text: each.label, value: index })));
      const phases = S.el("input", { type: "checkbox", on: { change: () => this.filter() } });
      phases.checked = true;
      this.filter = () => {
        this.rows = this.all.filter((row) => (run.value === "" || row.run === Number(run.value)) && (phases.checked || row.isIoctl));
        this.scroller.scrollTop = 0;
        this.render();
      };
      const count = this.all.filter(({ isIoctl }) => isIoctl).length;
      return S.el("div", { class: "details-filters" },
        S.el("span", { text: `${plural(count, "call")} of ${plural(runs.length, "run")}. A click goes to its begin.`, class: "details-note" }),
        run, S.el("label", {}, phases, " phases of the guest too"));
    }

    table() {
      const number = { class: "number-cell" };
      const heads = [
        { text: "start", ...number }, "run", "call", { text: "slot", ...number }, { text: "pages", ...number },
        { text: "took", ...number }, S.term("lock hold"), ...(this.hasWaits ? [{ text: "waited", ...number }] : []), "what it found",
      ];
      if (this.hasPublished) {
        heads.splice(6, 0, "published");
      }
      const table = S.table({ heads, rows: [], class: "calls-table", "aria-rowcount": this.all.length + 1 });
      table.tBodies[0].replaceWith(this.body);
      return table;
    }

    element(row, at) {
      const { label } = this.stage.runs[row.run];
      const go = S.el("button", {
        text: S.timeText(row.startPs), type: "button", class: "details-go",
        "aria-label": `Go to ${nameOf(row)} of ${label}, ${S.timeText(row.startPs)}`,
      });
      const cells = [
        go, label, nameOf(row), S.number(row.slot < 0 ? NOT_SAID : S.count(row.slot)),
        S.number(row.pages === null ? NOT_SAID : S.count(row.pages)), S.number(S.timeText(row.endPs - row.startPs)),
        S.number(row.isIoctl ? S.timeText(row.holdPs) : NOT_SAID),
        ...(this.hasWaits ? [S.number(row.isIoctl ? S.timeText(row.waitPs) : NOT_SAID)] : []),
        { text: row.found, title: row.found },
      ];
      if (this.hasPublished) {
        const [dot] = row.published;
        cells.splice(6, 0, dot ? S.sourceLink(dot.text, dot.url) : "");
      }
      const data = { run: row.run, row: row.row, startPs: row.startPs, tookPs: row.endPs - row.startPs, holdPs: row.holdPs };
      const now = this.isNow(row);
      const made = S.row(cells, { data, class: `call-row${row.isIoctl ? "" : " phase"}${now ? " now" : ""}`, "aria-rowindex": at + 2 });
      made.addEventListener("click", (event) => event.target.closest("a") || this.stage.goTo(row.startPs));
      return made;
    }

    isNow({ startPs, endPs }) {
      return startPs <= this.ps && (this.ps < endPs || this.ps === startPs);
    }

    spacer(count) {
      const high = count * this.rowHigh;
      const made = S.el("tr", { "aria-hidden": "true", class: "spacer" }, S.el("td", { colspan: 8 + this.hasPublished + this.hasWaits }));
      made.firstChild.style.height = `${high}px`;
      return made;
    }

    render() {
      const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("tr").dataset : null;
      this.rowHigh = this.body.querySelector(".call-row")?.offsetHeight || this.rowHigh || 30;
      const seen = Math.ceil((this.scroller.clientHeight || 600) / this.rowHigh);
      const first = Math.max(0, Math.min(Math.floor(this.scroller.scrollTop / this.rowHigh) - MARGIN, this.rows.length - seen));
      const last = Math.min(this.rows.length, first + seen + 2 * MARGIN);
      const rows = this.rows.slice(first, last).map((row, at) => this.element(row, first + at));
      this.body.replaceChildren(this.spacer(first), ...rows, this.spacer(this.rows.length - last));
      if (focused) {
        this.body.querySelector(`tr[data-run="${focused.run}"][data-row="${focused.row}"] button`)?.focus({ preventScroll: true });
      }
    }

    tell(ps) {
      this.ps = ps;
      for (const each of this.body.querySelectorAll(".call-row")) {
        const { startPs, tookPs } = each.dataset;
        each.classList.toggle("now", this.isNow({ startPs: Number(startPs), endPs: Number(startPs) + Number(tookPs) }));
      }
    }

    resize() {
      this.render();
    }
  }

  (S.detailTabs = S.detailTabs || {}).calls = (place, stage) => new CallTable(place, stage);
})();
