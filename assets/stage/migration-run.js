// A migration over time, from a Recording: bytes sent and left, dirty rate and bandwidth, and their intersection.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;
  const PS_PER_S = 1e12;
  // Length of QEMU's bandwidth windows: BUFFER_DELAY of migration/migration.c.
  const WINDOW_PS = 100e9;
  const known = new WeakMap();

  S.migrates = ({ header }) => header.migration !== null && header.migration !== undefined;

  function sumsOf(column, bins) {
    const sums = new Float64Array(bins + 1);
    column.forEach((value, bin) => { sums[bin + 1] = sums[bin] + value; });
    return sums;
  }

  // Cumulative sums over bins, and the rounds as rows; computed once per run.
  function factsOf(run) {
    if (!known.has(run)) {
      const { bins, rounds } = run.tables;
      const facts = { sent: sumsOf(bins.bytes_sent, run.bins), dirtied: sumsOf(bins.dirtied_pages, run.bins) };
      known.set(run, facts);
      facts.rows = Array.from(rounds.round, (_, row) => rowOf(run, rounds, row));
    }
    return known.get(run);
  }

  function rowOf(run, rounds, row) {
    const at = (name) => rounds[name][row];
    return {
      migration: at("migration"), round: at("round"), startPs: at("start_ps"), endPs: at("end_ps"), pages: at("pages_sent"),
      sentBytes: at("bytes_sent"), resentBytes: at("resent_pages") * PAGE_BYTES, newBytes: at("new_dirty_pages") * PAGE_BYTES,
      leftBytes: at("remaining_pages") * PAGE_BYTES, dirtyRate: at("dirty_rate_pps") * PAGE_BYTES,
      bandwidth: at("bandwidth_bytes_per_s"), threshold: at("threshold_bytes"), downtimePs: at("expected_downtime_ps"),
      throttle: at("throttle_percent"),
    };
  }

  // Rounds of a run's migration, in order; sizes in bytes, times in ps, rates in bytes a second.
  S.roundRows = (run) => (S.migrates(run) ? factsOf(run).rows : []);

  const at = (run, sums, ps) => {
    const within = Math.max(0, Math.min(ps, run.endPs));
    const bin = run.binAt(within);
    return sums[bin] + (sums[bin + 1] - sums[bin]) * run.shareOf(bin, within);
  };

  // Bytes of the stream sent up to a time.
  S.sentBytes = (run, ps) => (S.migrates(run) ? at(run, factsOf(run).sent, ps) : 0);

  // Bytes left to send, as userspace knows them: those left after the last sync, less those sent since. 0 before the first
  // sync and after the end of the migration.
  S.leftBytes = function (run, ps) {
    if (!S.migrates(run) || ps >= run.header.migration.end_ps) {
      return 0;
    }
    const { rows, sent } = factsOf(run);
    const row = rows.findLast(({ startPs }) => startPs <= ps);
    if (!row) {
      return 0;
    }
    const whole = at(run, sent, row.endPs) - at(run, sent, row.startPs);
    const share = whole > 0 ? Math.min(1, (at(run, sent, ps) - at(run, sent, row.startPs)) / whole) : Number(ps >= row.endPs);
    return row.leftBytes - share * row.pages * PAGE_BYTES;
  };

  // Bytes per second in the window before a time; a window has whole bins, at least one.
  function rateOf(run, sums, ps) {
    const last = run.frame(ps);
    const first = Math.max(0, last - Math.max(1, Math.round(WINDOW_PS / run.binPs)));
    const tookPs = run.framePs(last) - run.framePs(first);
    return tookPs > 0 ? ((sums[last] - sums[first]) / tookPs) * PS_PER_S : 0;
  }
  S.sendRate = (run, ps) => (S.migrates(run) ? rateOf(run, factsOf(run).sent, ps) : 0);
  S.dirtyRate = (run, ps) => rateOf(run, factsOf(run).dirtied, ps) * PAGE_BYTES;

  // The time from which the dirty rate stays below the send rate until the guest stops: {ps, value}; null if it never does.
  S.rateCrossing = function (run) {
    if (!S.migrates(run)) {
      return null;
    }
    const over = run.header.migration.stop_ps; // null if the guest never stopped
    const [first] = S.roundRows(run);
    if (over === null || !first) {
      return null;
    }
    let found = null;
    for (let frame = run.frame(first.startPs) + 1; frame <= run.bins && run.framePs(frame) <= over; frame += 1) {
      const ps = run.framePs(frame);
      if (S.dirtyRate(run, ps) >= S.sendRate(run, ps)) {
        found = null;
      } else {
        found ??= { ps, value: S.sendRate(run, ps) };
      }
    }
    return found;
  };
})();
