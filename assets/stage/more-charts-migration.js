// Further charts of a migration: bytes left and sent, dirty rate and bandwidth, each CLEAR, throttling.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const RATES = S.BYTE_RATES = [["B/s", 1], ["KiB/s", 2 ** 10], ["MiB/s", 2 ** 20], ["GiB/s", 2 ** 30]];
  const migrates = (run) => S.migrates(run);
  const clears = (run) => run.calls.filter(({ kind }) => kind === "clear");

  const crossingText = (run) => {
    const found = S.rateCrossing(run);
    return found ? `${run.label} from ${S.timeText(found.ps)} on` : `${run.label} never`;
  };

  // The table of the charts of bytes left and sent: round by round, as userspace counts.
  function roundsTable(runs) {
    const some = runs.filter(migrates);
    const size = (bytes) => ({ text: S.bytesText(bytes), plain: String(bytes), value: bytes });
    const rate = (bytes) => ({ text: `${S.bytesText(bytes)}/s`, plain: String(bytes), value: bytes });
    const time = (ps) => ({ text: S.timeText(ps), plain: String(Math.round(ps / 1000)), value: ps });
    const plain = (value) => ({ text: S.count(value), plain: String(value), value });
    const cell = (text) => ({ text, plain: text, value: null });
    return {
      heads: ["policy", "round", "began", "sent", "of it again", "found dirty", "left at its sync", "dirty rate", "bandwidth",
        "may be left", "expected downtime"],
      rows: some.flatMap((run) => S.roundRows(run).map((row) => [
        cell(run.label), plain(row.round), time(row.startPs), size(row.sentBytes), size(row.resentBytes), size(row.newBytes),
        size(row.leftBytes), rate(row.dirtyRate), rate(row.bandwidth), size(row.threshold), time(row.downtimePs),
      ])),
      note: "Dirty rate, bandwidth, what may be left and the expected downtime are QEMU's own, at the round's end. Copied are bytes and ns.",
    };
  }

  // Measures only of runs that migrate; `also` are lines of another measure, `marks` points on the line.
  const MEASURES = [
    {
      name: "remaining", title: "Left to be sent", colour: "dirty", ink: "dirtyt", units: () => S.SIZE_UNITS, binary: true,
      description: "What userspace knows of and has not sent: what its last sync left, less what was sent since.",
      of: (run, ps) => S.leftBytes(run, ps), has: migrates, table: roundsTable,
    },
    {
      name: "sent", title: "Sent", colour: "sent", ink: "sent", units: () => S.SIZE_UNITS, binary: true,
      description: "Bytes of the migration's stream so far, pages that were sent again among them.",
      of: (run, ps) => S.sentBytes(run, ps), has: migrates, table: roundsTable,
    },
    {
      name: "rates", title: "Dirty rate", colour: "dirty", ink: "dirtyt", units: () => RATES, binary: true, steps: true,
      description: "How fast pages become dirty, against the bandwidth at which they are sent, each over the 100 ms before: QEMU's own " +
        "window. A ring marks where the dirty rate falls below the bandwidth for good.",
      of: (run, ps) => S.dirtyRate(run, ps), has: migrates,
      also: { name: "bandwidth", title: "bandwidth", colour: "sent", of: (run, ps) => S.sendRate(run, ps), has: migrates },
      marks: (runs) => runs.map((run, index) => ({ index, ...S.rateCrossing(run) })).filter(({ ps }) => ps !== undefined),
      note: (runs) => `Below the bandwidth for good: ${runs.filter(migrates).map(crossingText).join("; ")}.`,
    },
    {
      name: "clears", title: "Latency of each CLEAR", colour: "ioctl", units: () => S.TIME_UNITS, calls: true, kind: "clear",
      description: "How long each KVM_CLEAR_DIRTY_LOG took, drawn where it returned; waiting for locks is in it.",
      of: (run, ps) => S.lastCall(run, ps, "clear")?.tookPs ?? 0, has: (run) => migrates(run) && clears(run).length > 0,
    },
    {
      name: "throttle", title: "Throttled", colour: "stall", units: () => [["%", 1]], steps: true,
      description: "Of the vCPUs' time in a bin, what auto-converge or a dirty limit has them sleep.",
      of: (run, ps) => {
        const bin = run.binAt(Math.max(0, run.framePs(run.frame(ps)) - 1));
        const tookPs = run.framePs(bin + 1) - run.framePs(bin);
        return tookPs ? (100 * run.tables.bins.throttled_ps[bin]) / (tookPs * run.vcpus) : 0;
      },
      has: (run) => migrates(run) && run.tables.bins.throttled_ps.some(Boolean),
    },
  ];

  S.MORE_MEASURES.unshift(...MEASURES);
  const progress = S.MORE_MEASURES.find(({ name }) => name === "progress");
  Object.assign(progress, {
    also: {
      name: "without", title: "without migration", colour: "ink2", of: (run, ps) => run.without?.accesses(Math.min(ps, run.without.endPs)) ?? 0,
      has: (run) => Boolean(run.without),
    },
  });
})();
