// Measures for charts besides stall and page tables: value over time, unit, and whether a run has it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const PAGE_BYTES = 4096;
  const M2_PAGES = 512;
  const G1_PAGES = 512 * 512;
  const COUNTS = [["", 1], ["k", 1e3], ["M", 1e6], ["G", 1e9], ["T", 1e12]];
  const RATES = COUNTS.map(([name, size]) => [`${name}/s`, size]);
  const PERCENT = [["%", 1]];

  const sumOf = (column) => column.reduce((sum, each) => sum + each, 0);
  const isRing = ({ header }) => header.scenario.vm.dirty_log_mode.startsWith("ring");
  const ringEntries = (run) => run.header.scenario.vm.ring_entries * run.vcpus;

  // The most memory that a core's second-level TLB can map: 2M leaves first, 4K in what is left, 1G in entries of their own.
  S.tlbReach = function ({ header: { host } }, { k4, m2, g1 }) {
    const middle = Math.min(m2, host.stlb_entries);
    const small = Math.min(k4, host.stlb_entries - middle);
    return (small + middle * M2_PAGES + Math.min(g1, host.stlb_1g_entries) * G1_PAGES) * PAGE_BYTES;
  };

  // Faults so far, by the way they were handled; `index` is that of Run.faults().
  const fault = (name, index, title, description) => ({
    name: `faults_${name}`, title, description, colour: "stall", units: () => COUNTS,
    of: (run, ps) => run.sumAt(run.sums.faults[index], ps),
    has: (run) => run.sums.faults[index][run.bins] > 0,
  });
  const leaves = (key, column, colour, size) => ({
    name: column, title: `${size} leaves`, description: `Leaves that map ${size} each, at the end of the last bin.`, colour,
    units: () => COUNTS, steps: true,
    of: (run, ps) => run.leaves(ps)[key],
    has: (run) => run.tables.bins[column].some(Boolean) || run.leaves(0)[key] > 0,
  });

  // In display order. of(run, ps) is the value at an instant; with `steps` a value holds until the next one.
  S.MORE_MEASURES = [
    {
      name: "speed", title: "Guest speed", description: "Accesses of all vCPUs that retire in a second, bin by bin.", colour: "run",
      units: () => RATES, steps: true, of: (run, ps) => run.rate(ps), has: (run) => sumOf(run.tables.bins.accesses) > 0,
    },
    {
      name: "progress", title: "Guest progress", description: "Accesses of all vCPUs that have retired.", colour: "run",
      units: () => COUNTS, of: (run, ps) => run.accesses(ps), has: (run) => sumOf(run.tables.bins.accesses) > 0,
    },
    {
      name: "latency", title: "Latency of each call", colour: "ioctl", units: () => S.TIME_UNITS, calls: true,
      description: "How long each ioctl took, drawn where it returned; waiting for locks is in it.",
      of: (run, ps) => S.lastCall(run, ps)?.tookPs ?? 0, has: (run) => run.calls.length > 0,
    },
    fault("slow_protected", 2, "Faults: slow, write-protected", "Page faults on write-protected pages that took mmu_lock."),
    fault("fast", 1, "Faults: fast", "Page faults that fast_page_fault() fixed without mmu_lock."),
    fault("not_present", 0, "Faults: slow, not mapped", "Page faults on pages that were not mapped; they take mmu_lock."),
    fault("spurious", 3, "Faults: spurious", "Page faults for which nothing was left to do."),
    leaves("g1", "pages_1g", "g1", "1G"),
    leaves("m2", "pages_2m", "g2", "2M"),
    leaves("k4", "pages_4k", "g4", "4K"),
    {
      name: "dirty", title: "Dirty pages", colour: "dirty", ink: "dirtyt", units: () => COUNTS, steps: true,
      description: "Pages in KVM's dirty log: set in the bitmap, or in a ring and not yet reset.",
      of: (run, ps) => run.dirtyPages(ps), has: (run) => run.tables.bins.dirty_pages.some(Boolean),
    },
    {
      name: "ring", title: "Dirty ring fill", colour: "dirty", ink: "dirtyt", units: () => PERCENT, steps: true,
      description: "Pages in the rings of all vCPUs and not yet reset, as a share of their entries.",
      of: (run, ps) => (isRing(run) ? (100 * run.dirtyPages(ps)) / ringEntries(run) : 0), has: isRing, why: "the log is a bitmap",
    },
    {
      name: "reach", title: "TLB reach", term: "TLB reach", colour: "g2", ink: "map", units: () => S.SIZE_UNITS, binary: true,
      steps: true,
      remark: "1G leaves have few TLB entries: splitting them can raise it",
      description: "The most memory that a core's second-level TLB can map. 2M leaves take entries first; 1G leaves have entries of " +
        "their own, fewer of them, so that a split of 1G leaves may also raise it.",
      of: (run, ps) => S.tlbReach(run, run.leaves(ps)),
      has: (run) => run.header.host.stlb_entries > 0 && sumOf(["pages_4k", "pages_2m", "pages_1g"].map((each) =>
        sumOf(run.tables.bins[each]))) > 0,
    },
  ];

  // The calls of a measure of calls: all, or those of its kind.
  S.callsOf = (run, { kind }) => (kind ? run.calls.filter((call) => call.kind === kind) : run.calls);

  // The last call that has returned at a time, with its duration; null before the first.
  S.lastCall = function (run, ps, kind) {
    const calls = S.callsOf(run, { kind });
    const begun = S.countUpTo(calls.length, ps, (i) => calls[i].startPs);
    const call = calls[begun - 1]?.endPs <= ps ? calls[begun - 1] : calls[begun - 2];
    return call ? { ...call, tookPs: call.endPs - call.startPs } : null;
  };

  // The measures that the Recordings have, and one line on those that they do not have.
  S.measuresOf = function (runs) {
    const found = S.MORE_MEASURES.filter(({ has }) => runs.some(has));
    const absent = S.MORE_MEASURES.filter((each) => !found.includes(each)).map(({ title, why }) =>
      (why ? `${title.toLowerCase()} (${why})` : title.replace(/^[A-Z](?=[a-z])/, (first) => first.toLowerCase())));
    return { found, absent: `Not in this run: ${absent.join("; ")}.` };
  };
})();
