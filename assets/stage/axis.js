// Axes of the clock: simulated time, the same in all panes; or work, i.e. the same call and the same part of it in all.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // The time axis: its `end`, and the conversions between a position and a run's time.
  S.timeAxis = (runs) => ({
    aligned: false,
    end: Math.max(...runs.map((run) => run.endPs)),
    timeOf: (_, at) => at,
    placeOf: (_, ps) => ps,
  });

  // The time of a pane while panes are aligned by work (S.times), else that of the clock.
  S.timeOf = (index, ps) => S.times?.[index] ?? ps;
  // The instant of a pane's numbers: during playback they change less often than the drawings.
  S.readAt = (index, ps) => S.readings?.[index] ?? ps;

  // Calls and phases in order, with names that match between runs, e.g. the third GET.
  function spansOf(run) {
    const seen = {};
    const all = [...run.calls, ...run.phases].sort((a, b) => a.startPs - b.startPs || b.endPs - a.endPs);
    let endPs = 0;
    return all.map(({ kind, startPs, endPs: own }) => {
      const ordinal = (seen[kind] = (seen[kind] ?? 0) + 1);
      // Ring resets happen inside an interval in which the guest runs: the interval is above its resets.
      const top = startPs >= endPs;
      endPs = Math.max(endPs, own);
      return { key: `${kind} ${ordinal}`, kind, ordinal, startPs, endPs: own, top };
    });
  }

  // Begins and ends that all runs have in the same order, [{times, span, begins}], ascending in each run. Outer spans
  // are matched first; inner ones are inserted where the order is the same in every run.
  function pointsOf(runs) {
    const [first, ...others] = runs.map(spansOf);
    const known = others.map((spans) => new Map(spans.map((span) => [span.key, span])));
    const found = first.map((span) => [span, ...known.map((spans) => spans.get(span.key))]).filter((each) => each.every(Boolean));
    const points = [];
    const fits = (times, at) => times.every((ps, run) =>
      (at === 0 || points[at - 1].times[run] <= ps) && (at === points.length || ps <= points[at].times[run]));
    const put = (each) => {
      const begins = each.map(({ startPs }) => startPs);
      const ends = each.map(({ endPs }) => endPs);
      const at = S.countUpTo(points.length, begins[0], (i) => points[i].times[0]);
      if (fits(begins, at) && fits(ends, at)) {
        points.splice(at, 0, { times: begins, span: each[0], begins: true }, { times: ends, span: each[0], begins: false });
      }
    };
    found.filter((each) => each.every(({ top }) => top)).forEach(put);
    found.filter((each) => !each.every(({ top }) => top)).forEach(put);
    return points;
  }

  const between = (at, from, to, low, high) => (to > from ? low + ((at - from) / (to - from)) * (high - low) : low);

  // The work axis. A part between two points is as long as in the slowest run, so that no run is faster than real time.
  class WorkAxis {
    constructor(runs) {
      this.aligned = true;
      const points = pointsOf(runs);
      const before = { times: runs.map(() => 0), span: null };
      const behind = { times: runs.map((run) => run.endPs), span: null };
      const all = [before, ...points, behind];
      this.parts = [];
      this.end = 0;
      const open = [];
      all.slice(1).forEach((point, i) => {
        const { times, span, begins } = all[i];
        const length = Math.max(...point.times.map((ps, run) => ps - times[run]));
        if (span && begins) {
          open.push({ ...span, whole: 0 });
        } else if (span) {
          open.pop();
        }
        if (length > 0) {
          this.add(length, times, point.times, open[open.length - 1] ?? { kind: null, whole: 0 });
        }
      });
      this.counts = {};
      points.filter(({ begins }) => begins).forEach(({ span }) => (this.counts[span.kind] = (this.counts[span.kind] ?? 0) + 1));
    }

    // A part, and the share of its call or phase that precedes it.
    add(length, starts, ends, span) {
      this.parts.push({ from: this.end, to: this.end + length, starts, ends, span, before: span.whole });
      span.whole += length;
      this.end += length;
    }

    partAt(at) {
      const { parts } = this;
      return parts[Math.min(parts.length - 1, S.countUpTo(parts.length, at, (i) => parts[i].to))];
    }

    timeOf(run, at) {
      const { from, to, starts, ends } = this.partAt(at);
      return Math.round(between(Math.min(at, to), from, to, starts[run], ends[run]));
    }

    // The first position at which a run has reached a time.
    placeOf(run, ps) {
      const { parts } = this;
      let [low, high] = [0, parts.length - 1];
      while (low < high) {
        const middle = (low + high) >> 1;
        [low, high] = parts[middle].ends[run] >= ps ? [low, middle] : [middle + 1, high];
      }
      const { from, to, starts, ends } = parts[low];
      return between(Math.max(0, Math.min(ps, ends[run])), starts[run], ends[run], from, to);
    }

    // The innermost call or phase of all panes at a position, the share of it that is done, and the number of its kind.
    // `kind` is null between them.
    whereAt(at) {
      const { from, to, span, before } = this.partAt(at);
      const { kind, ordinal, whole } = span;
      return { kind, ordinal, of: this.counts[kind], share: (before + Math.min(at, to) - from) / whole };
    }
  }

  // A position as number and unit: "45.0" "ms", or "45" "% of CLEAR 3 of 64".
  S.momentParts = function (axis, at) {
    if (!axis.aligned) {
      return S.timeParts(at);
    }
    const { kind, ordinal, of, share } = axis.whereAt(at);
    const which = of > 1 ? ` ${ordinal} of ${of}` : "";
    return { value: String(Math.floor(100 * share)), unit: `% of ${kind ? S.spanName(kind) + which : "the way between calls"}` };
  };
  S.momentText = (axis, at) => (axis.aligned ? Object.values(S.momentParts(axis, at)).join(" ").replace(" %", " %") : S.timeText(at));

  S.workAxis = (runs) => new WorkAxis(runs);
  S.axisOf = (runs, align) => (align === "work" && runs.length > 1 ? S.workAxis(runs) : S.timeAxis(runs));
})();
