// Times of events in several runs: the targets of steps, and the moments at which playback may stop.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const SHARES = 8;
  const SPLITS = new Set(["split_2m", "split_1g"]);
  const NO_PATH = "none";

  const merged = (runs, timesOf, axis) => {
    const places = new Set();
    runs.forEach((run, index) => {
      for (const ps of timesOf(run, runs)) {
        places.add(Math.round(axis.placeOf(index, ps)));
      }
    });
    return Float64Array.from(places).sort();
  };
  const ends = (calls) => calls.flatMap(({ startPs, endPs }) => [startPs, endPs]);

  // Times known individually: events in a Focus, examples elsewhere, begins and ends of calls.
  function* knownOf({ tables, calls }) {
    yield* tables.examples.time_ps;
    yield* tables.events.time_ps;
    yield* ends(calls);
  }

  // The same, and the ends of bins without any of them.
  function* eventsOf(run) {
    const seen = new Uint8Array(run.bins);
    for (const ps of knownOf(run)) {
      seen[run.binAt(ps)] = 1;
      yield ps;
    }
    for (let bin = 0; bin < run.bins; bin += 1) {
      if (!seen[bin]) {
        yield run.framePs(bin + 1);
      }
    }
  }

  // The first example of a kind in the first bin whose sum is not 0, or that bin's end if it has no example.
  // Events before logging was enabled do not count.
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

  // The first end of a bin, of either run, at which the page tables of two runs differ.
  function firstDifference(one, other, axis, index) {
    if (one.cells !== other.cells || one.firstGfn.some((gfn, cell) => gfn !== other.firstGfn[cell])) {
      return [0];
    }
    const cursors = [one.cellCursor(), other.cellCursor()];
    const runs = [0, index];
    const endPs = axis.aligned ? axis.end : Math.min(one.endPs, other.endPs);
    const all = Int32Array.from({ length: one.cells }, (_, cell) => cell);
    const pair = { ...axis, placeOf: (run, ps) => axis.placeOf(runs[run], ps) };
    const frames = (run) => Array.from({ length: run.bins + 1 }, (_, frame) => run.framePs(frame));
    for (const at of merged([one, other], frames, pair).filter((each) => each <= endPs)) {
      const [a, b] = [one, other].map((run, i) => cursors[i].at(run.frame(axis.timeOf(runs[i], at))));
      if (cursors.some(({ changed }) => !(changed || all).every((cell) => sameCell(a, b, cell)))) {
        return [axis.timeOf(0, at)];
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
    // Times of the first run.
    differ: (run, runs, axis) => (run === runs[0] ? runs.slice(1).flatMap((other, i) => firstDifference(run, other, axis, i + 1)) : []),
  };

  function known(table, name, what) {
    if (!Object.hasOwn(table, name)) {
      throw new Error(`${what} "${name}" must be one of ${Object.keys(table).join(", ")}`);
    }
    return table[name];
  }

  // Both take runs, a name and an axis, and return positions on it (ps without an axis), ascending, without repeats.
  S.stepTimes = (runs, kind, axis = S.timeAxis(runs)) => merged(runs, known(STEPS, kind, "step"), axis);
  S.stopTimes = function (runs, name, axis = S.timeAxis(runs)) {
    const timesOf = known(STOPS, name, "stop");
    return merged(runs, (run) => timesOf(run, runs, axis), axis);
  };
  // The number of events known individually.
  S.knownEvents = (runs) => new Set(runs.flatMap((run) => Array.from(knownOf(run)))).size;
})();
