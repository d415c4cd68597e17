// Times at which something happens in one of several runs: where a step goes to, and where playing may stop.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SHARES = 8;
  const SPLITS = new Set(["split_2m", "split_1g"]);
  const NO_PATH = "none";

  const merged = (runs, timesOf) =>
    Float64Array.from(new Set(runs.flatMap((run) => Array.from(timesOf(run, runs))))).sort();
  const ends = (calls) => calls.flatMap(({ startPs, endPs }) => [startPs, endPs]);

  function* eventsOf({ tables }) {
    yield* tables.examples.time_ps;
    yield* tables.events.time_ps;
  }

  // The first example of a kind in the first bin whose sum is not 0, or that bin's end where examples left it out.
  // What happened before logging was enabled does not count.
  function firstOf(run, sums, isWanted) {
    const from = run.enablePs === null ? 0 : run.enablePs;
    const counted = (bin) => sums.some((column) => column[bin + 1] > column[bin]);
    const { examples } = run.tables;
    const { example_kinds: kinds, paths } = run.header.vocabularies;
    for (let bin = run.binAt(from); bin < run.bins; bin += 1) {
      if (counted(bin)) {
        const row = run.exampleRows.find((each) =>
          examples.bin[each] >= bin && examples.time_ps[each] >= from &&
          isWanted(kinds[examples.kind[each]], paths[examples.path[each]]));
        const endPs = run.framePs(bin + 1);
        return [row === undefined ? endPs : Math.min(endPs, examples.time_ps[row])];
      }
    }
    return [];
  }

  function longestStall({ tables: { longest } }) {
    const row = longest.stall_ps.indexOf(Math.max(...longest.stall_ps));
    return row < 0 ? [] : [longest.time_ps[row]];
  }

  const sameCell = (a, b, cell) => {
    for (let at = cell * SHARES; at < (cell + 1) * SHARES; at += 1) {
      if (a[at] !== b[at]) {
        return false;
      }
    }
    return true;
  };

  // When the page tables of two runs differ for the first time, at the end of a bin of either.
  function firstDifference(one, other) {
    if (one.cells !== other.cells || one.firstGfn.some((gfn, cell) => gfn !== other.firstGfn[cell])) {
      return [0];
    }
    const cursors = [one.cellCursor(), other.cellCursor()];
    const endPs = Math.min(one.endPs, other.endPs);
    const all = Int32Array.from({ length: one.cells }, (_, cell) => cell);
    const times = merged([one, other], (run) => Array.from({ length: run.bins + 1 }, (_, frame) => run.framePs(frame)));
    for (const ps of times.filter((each) => each <= endPs)) {
      const [a, b] = [one, other].map((run, i) => cursors[i].at(run.frame(ps)));
      if (cursors.some(({ changed }) => !(changed || all).every((cell) => sameCell(a, b, cell)))) {
        return [ps];
      }
    }
    return [];
  }

  const STEPS = {
    event: eventsOf,
    call: (run) => ends(run.calls),
    phase: (run) => ends(run.phases),
  };
  const STOPS = {
    first_split: (run) => firstOf(run, run.sums.splits, (kind) => SPLITS.has(kind)),
    first_fault: (run) => firstOf(run, run.sums.faults, (kind, path) => path !== NO_PATH),
    longest_stall: longestStall,
    call_end: (run) => run.calls.map(({ endPs }) => endPs),
    differ: (run, runs) => (run === runs[0] ? [] : firstDifference(runs[0], run)),
  };

  function known(table, name, what) {
    if (!Object.hasOwn(table, name)) {
      throw new Error(`${what} "${name}" must be one of ${Object.keys(table).join(", ")}`);
    }
    return table[name];
  }

  // Both take runs and a name and give times in ps, ascending, each once.
  S.stepTimes = (runs, kind) => merged(runs, known(STEPS, kind, "step"));
  S.stopTimes = (runs, name) => merged(runs, known(STOPS, name, "stop"));
})();
