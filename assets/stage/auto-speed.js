// Automatic playback speed: slow where logging begins and the first pages are split.
// The speed depends only on the time, so position and seconds of playback can be converted both ways.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // Seconds for a part of the run, and the least number of bins per second: a long part plays faster, a short one not
  // slower than its data changes.
  const LEAD = { seconds: 0.9, bins: 20 };
  const FIRST_CALL_BEGINS = { seconds: 2.4, bins: 5 };
  const FIRST_CALL_GOES_ON = { seconds: 2, bins: 20 };
  const REST = { seconds: 4.5, bins: 20 };
  const WITHOUT_CALLS = { seconds: 8, bins: 20 };
  const BEGINNING = 0.25;
  // One bin per second, from this many bins before the first call to this many after the first splits.
  const BINS_BEFORE = 0.8;
  const BINS_BEHIND = 0.5;
  const MOST_BINS_BEHIND = 2;

  // A piecewise linear map between times in ps and seconds of playing.
  class SpeedPlan {
    constructor() {
      this.ends = [];
      this.rates = [];
      this.seconds = [0];
    }

    // Adds a part up to a time, played at a rate in ps per second.
    add(endPs, rate) {
      const begin = this.ends.length ? this.ends[this.ends.length - 1] : 0;
      if (endPs > begin) {
        this.ends.push(endPs);
        this.rates.push(rate);
        this.seconds.push(this.seconds[this.seconds.length - 1] + (endPs - begin) / rate);
      }
      return this;
    }

    // The part of the plan that contains a value; `ends[i]` is the end of part i.
    partOf(value, endOf) {
      return Math.max(0, Math.min(this.ends.length - 1, S.countUpTo(this.ends.length, value, endOf)));
    }

    rateAt(ps) {
      return this.rates[this.partOf(ps, (part) => this.ends[part])] || 1;
    }

    secondsAt(ps) {
      const part = this.partOf(ps, (each) => this.ends[each]);
      return this.ends.length ? this.seconds[part] + (ps - (this.ends[part - 1] || 0)) / this.rates[part] : 0;
    }

    psAt(seconds) {
      const part = this.partOf(seconds, (each) => this.seconds[each + 1]);
      return this.ends.length ? (this.ends[part - 1] || 0) + (seconds - this.seconds[part]) * this.rates[part] : 0;
    }
  }

  // End of a run's first calls: one per memslot, one after the other.
  function firstCallsEnd(run) {
    let endPs = 0;
    for (const call of run.calls) {
      if (endPs && call.startPs - endPs >= run.binPs) {
        break;
      }
      endPs = call.endPs;
    }
    return endPs;
  }

  S.fixedSpeed = (endPs, rate) => new SpeedPlan().add(endPs, rate);

  // A chosen speed, except one bin per second around the first split, the first fault and the end of enable.
  S.slowedSpeed = function (runs, axis, rate) {
    const endPs = axis.end;
    const binPs = Math.max(...runs.map((run) => run.binPs));
    const plan = new SpeedPlan();
    if (rate <= binPs) {
      return plan.add(endPs, rate);
    }
    const names = ["first_split", "first_fault"];
    const moments = names.flatMap((name) => Array.from(S.stopTimes(runs, name, axis)));
    moments.push(...placesOf(runs, axis, ({ calls }) => calls.slice(0, 1).map((call) => call.endPs)));
    for (const ps of moments.sort((a, b) => a - b)) {
      plan.add(ps - BINS_BEFORE * binPs, rate).add(Math.min(endPs, ps + BINS_BEHIND * binPs), binPs);
    }
    return plan.add(endPs, rate);
  };

  // One event per second.
  S.eventSpeed = function (times, endPs) {
    const plan = new SpeedPlan();
    let at = 0;
    for (const ps of times) {
      plan.add(ps, ps - at || 1);
      at = ps;
    }
    return plan.add(endPs, endPs - at || 1);
  };

  const placesOf = (runs, axis, timesOf) => runs.flatMap((run, index) => timesOf(run).map((ps) => axis.placeOf(index, ps)));

  S.autoSpeed = function (runs, axis = S.timeAxis(runs)) {
    const endPs = axis.end;
    const binPs = Math.max(...runs.map((run) => run.binPs));
    const plan = new SpeedPlan();
    let at = 0;
    const add = (to, { seconds, bins }) => {
      plan.add(to, Math.max(bins * binPs, (to - at) / seconds));
      at = Math.max(at, to);
    };
    const firstPs = Math.min(...placesOf(runs, axis, ({ calls }) => calls.slice(0, 1).map(({ startPs }) => startPs)));
    if (firstPs === Infinity) {
      add(endPs, WITHOUT_CALLS);
      return plan;
    }
    add(Math.max(0, firstPs - BINS_BEFORE * binPs), LEAD);
    const splitPs = Math.max(firstPs, ...S.stopTimes(runs, "first_split", axis));
    at = Math.min(endPs, splitPs + BINS_BEHIND * binPs, firstPs + MOST_BINS_BEHIND * binPs);
    plan.add(at, binPs);
    const callPs = Math.max(...placesOf(runs, axis, (run) => [firstCallsEnd(run)]));
    add(at + Math.max(0, callPs - at) * BEGINNING, FIRST_CALL_BEGINS);
    add(callPs, FIRST_CALL_GOES_ON);
    add(endPs, REST);
    return plan;
  };
})();
