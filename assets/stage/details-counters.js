// The tab "Counters": every counter of the Recordings at the instant, all runs side by side.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const TIME = "time";
  const COUNT = "count";
  const BYTES = "bytes";
  const CAUSES = {
    exit_and_fault: "exit and fault", lock_wait: "waiting for mmu_lock", split_or_zap: "split or zap in the fault",
    allocation: "allocating a table", tlb_flush: "TLB flush", ring_full: "dirty ring full", pml_full: "PML buffer full",
    userspace_lock: "userspace's big lock",
  };
  const MEMORY = {
    headers: "headers of tables (struct kvm_mmu_page)", vcpu_caches: "caches of the vCPUs", split_caches: "caches for splits",
    rmap: "reverse maps", bitmaps: "dirty bitmaps", rings: "dirty rings",
  };

  // A sum in bins, {name, kind, term}: its value rises linearly inside a bin.
  const sum = (name, column, term, kind = COUNT) => ({ name, term, kind, column, of: "sum" });
  const state = (name, column, term) => ({ name, term, kind: COUNT, column, of: "state" });
  // KVM's own counters are known at the ends of calls.
  const stat = (name, column) => ({ name, kind: COUNT, column, of: "call" });

  function groupsOf(run) {
    const stalls = run.header.causes.map((cause) => sum(CAUSES[cause] || cause, `stall_${cause}_ps`, null, TIME));
    const memory = Object.keys(run.header.memory_bytes).map((name) => ({ name: MEMORY[name] || name, kind: BYTES, of: "end", field: name }));
    return [
      ["Stall of all vCPUs", "stall", [{ name: "in all", kind: TIME, of: "stall" }, ...stalls]],
      ["Slower writes of all vCPUs", "slower writes", [sum("logged by the processor (PML)", "slow_write_ps", null, TIME)]],
      ["Faults", "fault", [
        sum("slow, not mapped", "faults_not_present", "fault, not mapped"),
        sum("slow, write-protected", "faults_slow_protected", "fault, write-protected"),
        sum("fast", "faults_fast", "fast_page_fault"), sum("spurious", "faults_spurious", "spurious fault"),
      ]],
      ["Other exits", "VM exit", [
        sum("PML buffer full", "pml_full_exits", "PML-full exit"), sum("dirty ring full", "ring_full_exits", "dirty ring"),
        sum("to userspace", "userspace_exits"),
      ]],
      ["Huge pages split", "split", [
        sum("by enable", "splits_enable"), sum("by CLEAR", "splits_clear"), sum("in a write fault", "splits_fault"),
        sum("by the pre-split", "splits_pre_split"),
      ]],
      ["Work", null, [
        sum("accesses of the guest", "accesses"), sum("zaps", "zaps", "zap"), sum("remote TLB flushes", "tlb_flushes", "TLB flush"),
        { name: "time in ioctls", kind: TIME, of: "ioctl" },
      ]],
      ["Page tables", "table", [
        state("tables, 4 KiB each", "table_pages"), { name: "added since logging was enabled", kind: BYTES, of: "added" },
        state("4K leaves", "pages_4k", "leaf"), state("2M leaves", "pages_2m"), state("1G leaves", "pages_1g"),
        state("4K leaves, write-protected", "protected_4k", "write-protect"),
        state("2M leaves, write-protected", "protected_2m"), state("1G leaves, write-protected", "protected_1g"),
      ]],
      ["Dirty log", "dirty logging", [
        state("dirty pages", "dirty_pages"), state("not yet reported", "unreported_pages", "not yet reported"),
      ]],
      ["KVM's own counters, as the last call ended", null, [
        stat("pf_taken", "pf_taken"), stat("pf_fixed", "pf_fixed"), stat("pf_fast", "pf_fast"), stat("pf_spurious", "pf_spurious"),
      ]],
      ["Memory beside page tables, at the end", null, memory],
    ];
  }

  // Running sums of a column, and the calls by their ends: computed once per run.
  function sumsOf(run, column) {
    const known = (run.detailSums ??= {});
    if (!known[column]) {
      const sums = new Float64Array(run.bins + 1);
      run.tables.bins[column].forEach((value, bin) => (sums[bin + 1] = sums[bin] + value));
      known[column] = sums;
    }
    return known[column];
  }

  function callStat(run, column, ps) {
    const { calls } = run.tables;
    let [found, endPs] = [0, -1];
    for (let row = 0; row < calls.end_ps.length; row += 1) {
      if (calls.end_ps[row] <= ps && calls.end_ps[row] >= endPs) {
        [found, endPs] = [calls[column][row], calls.end_ps[row]];
      }
    }
    return found;
  }

  // No bin ends at time 0: there, leaves are computed from the cells' shares, tables are unknown, nothing is dirty.
  const SHARES = {
    pages_4k: [1, 1], pages_2m: [2, 512], pages_1g: [3, 512 ** 2], protected_4k: [4, 1], protected_2m: [5, 512], protected_1g: [6, 512 ** 2],
  };

  function atStart(run, column) {
    return SHARES[column] ? run.leavesAtStart(...SHARES[column]) : column === "table_pages" ? null : 0;
  }

  const VALUES = {
    sum: (run, { column }, ps) => Math.floor(run.sumAt(sumsOf(run, column), ps)),
    state: (run, { column }, ps) => (run.frame(ps) ? run.stateAt(column, ps) : atStart(run, column)),
    call: (run, { column }, ps) => callStat(run, column, ps),
    stall: (run, _, ps) => Math.floor(run.sumAt(run.sums.stall, ps)),
    ioctl: (run, _, ps) => run.ioctlPs(ps),
    added: (run, _, ps) => run.tablesAdded(ps),
    end: (run, { field }) => run.header.memory_bytes[field] ?? 0,
  };
  // Whether a counter is ever above 0.
  const EVER = {
    sum: (run, { column }) => sumsOf(run, column)[run.bins] > 0,
    state: (run, { column }) => run.tables.bins[column].some((value) => value > 0),
    call: (run, { column }) => run.tables.calls[column].some((value) => value > 0),
    added: (run) => run.tables.bins.table_pages.some((value) => value > (run.header.table_pages_at_enable ?? Infinity)),
    stall: (run) => run.sums.stall[run.bins] > 0,
    ioctl: (run) => run.calls.length > 0,
    end: (run, { field }) => run.header.memory_bytes[field] > 0,
  };
  const TEXTS = { [TIME]: (value) => S.timeText(value), [COUNT]: (value) => S.count(value), [BYTES]: (value) => S.bytesText(value) };

  // The value of a counter at an instant: ps, a count, or bytes.
  S.counterAt = (run, counter, ps) => VALUES[counter.of](run, counter, Math.min(ps, run.endPs));
  S.counterGroups = groupsOf;

  class CounterTable {
    constructor(place, stage) {
      this.runs = stage.runs;
      this.rows = [];
      this.table = S.table({
        heads: ["counter", ...this.runs.map((run) => ({ text: run.label, class: "number-cell" }))],
        rows: groupsOf(this.runs[0]).flatMap((group) => this.group(group)),
        class: "counters-table",
      });
      this.note = S.el("p", { class: "details-note" });
      const zeros = S.el("input", { type: "checkbox", on: { change: () => this.table.classList.toggle("with-zeros", zeros.checked) } });
      place.replaceChildren(
        S.el("div", { class: "details-filters" }, this.note, S.el("label", {}, zeros, " show what stays 0")),
        S.el("div", { class: "details-scroller" }, this.table));
    }

    group([title, term, counters]) {
      const made = counters.map((counter) => this.counter(title, counter));
      const never = made.every((row) => row.classList.contains("never"));
      const head = S.el("th", { colspan: this.runs.length + 1, scope: "colgroup" }, term ? S.term(title, term) : title);
      return [S.el("tr", { class: `group-row${never ? " never" : ""}` }, head), ...made];
    }

    counter(group, counter) {
      const cells = this.runs.map(() => S.el("td", { class: "number-cell" }));
      const ever = this.runs.some((run) => EVER[counter.of](run, counter));
      const name = S.el("th", { scope: "row" }, counter.term ? S.term(counter.name, counter.term) : counter.name);
      const key = counter.column || counter.field || counter.of;
      this.rows.push({ counter, cells });
      return S.el("tr", { class: ever ? "" : "never", data: { counter: key, group } }, name, ...cells);
    }

    tell(ps) {
      this.note.textContent = `At ${S.timeText(ps)}. Inside a bin sums rise evenly; states are those of the last bin's end.`;
      for (const { counter, cells } of this.rows) {
        this.runs.forEach((run, index) => {
          const value = S.counterAt(run, counter, ps);
          const cell = cells[index];
          if (cell.dataset.value !== String(value)) {
            cell.dataset.value = String(value);
            cell.textContent = value === null ? "–" : TEXTS[counter.kind](value);
            cell.classList.toggle("zero", value === 0);
          }
        });
      }
    }
  }

  (S.detailTabs = S.detailTabs || {}).counters = (place, stage) => new CounterTable(place, stage);
})();
