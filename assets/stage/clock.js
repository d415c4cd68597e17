// The clock of the stage. The position is computed from start time and start position, not summed from frame to frame,
// so a late frame loses no time.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const AUTO = "auto";
  const EVENT = "event";
  const MS_PER_S = 1000;

  class Clock {
    // `draw` shows a time, `changed` is called at play, pause, step, speed, loop and stop; `timer` gives milliseconds. Times are
    // positions on the axis, which is simulated time or work.
    constructor(runs, { draw, changed, axis = S.timeAxis(runs), timer = () => performance.now() }) {
      Object.assign(this, { runs, draw, changed, axis, timer });
      this.endPs = axis.end;
      this.now = 0;
      this.playing = false;
      this.times = {};
      this.auto = S.autoSpeed(runs, axis);
      this.plan = this.auto;
      this.chosen = AUTO;
      this.once = []; // positions at which playback stops once
      this.slows = null; // true or false after a choice, else null
      this.stop = null;
      this.looped = null;
      this.request = 0;
      this.onFrame = () => this.frame();
      // A hidden page gets no frames: it continues where it was, not where it would have been.
      this.onVisible = () => this.playing && this.rebase();
      document.addEventListener("visibilitychange", this.onVisible);
      this.rebase();
    }

    dispose() {
      this.playing = false;
      cancelAnimationFrame(this.request);
      document.removeEventListener("visibilitychange", this.onVisible);
    }

    rebase() {
      this.base = this.plan.secondsAt(this.now);
      this.since = this.timer();
      this.lap = 0;
    }

    // ---- playing

    // Seconds of playback, and the number of completed loops.
    reached() {
      const seconds = this.base + Math.max(0, this.timer() - this.since) / MS_PER_S;
      const [from, to] = (this.looped || [0, Infinity]).map((ps) => this.plan.secondsAt(ps));
      if (!this.looped || seconds < to) {
        return { seconds, lap: 0 };
      }
      const over = seconds - to;
      return { seconds: from + (over % (to - from)), lap: 1 + Math.floor(over / (to - from)) };
    }

    frame() {
      if (!this.playing) {
        return;
      }
      const { seconds, lap } = this.reached();
      const found = Math.min(this.endPs, Math.round(this.plan.psAt(seconds)));
      // Seconds are rounded: within a lap they must not go back behind a time that was reached exactly.
      const ps = lap === this.lap ? Math.max(this.now, found) : found;
      const stopPs = this.stopUpTo(ps, lap !== this.lap);
      this.lap = lap;
      this.now = stopPs === null ? ps : stopPs;
      if (stopPs !== null || (!this.looped && ps >= this.endPs)) {
        this.pause();
        return;
      }
      this.draw(this.now);
      this.request = requestAnimationFrame(this.onFrame);
    }

    // The first stop after the position, up to a time that playback has reached; or null.
    stopUpTo(ps, anew) {
      const once = this.once.find((each) => this.now < each && each <= ps) ?? null;
      if (once !== null) {
        this.once = this.once.filter((each) => each !== once);
        return once;
      }
      if (this.stop === null) {
        return null;
      }
      const first = (after, upTo) => this.timesOf("stopTimes", this.stop).find((each) => after < each && each <= upTo);
      const found = anew ? first(this.now, this.looped[1]) ?? first(this.looped[0] - 1, ps) : first(this.now, ps);
      return found ?? null;
    }

    play() {
      if (this.playing) {
        return;
      }
      const [from, to] = this.looped || [0, this.endPs];
      if (this.now >= to || this.now < from) {
        this.now = from;
      }
      this.playing = true;
      this.rebase();
      this.changed();
      this.request = requestAnimationFrame(this.onFrame);
    }

    pause() {
      if (!this.playing) {
        return;
      }
      this.playing = false;
      cancelAnimationFrame(this.request);
      this.changed();
      this.draw(this.now);
    }

    toggle() {
      if (this.playing) {
        this.pause();
      } else {
        this.play();
      }
    }

    // Autoplay when the page opens; not if the system asks for reduced motion.
    start() {
      if (!window.matchMedia("(prefers-reduced-motion: reduce)").matches) {
        this.play();
      }
    }

    // ---- seeking

    seek(ps) {
      this.now = Math.min(this.endPs, Math.max(0, Math.round(ps)));
      this.rebase();
      this.draw(this.now);
    }

    // Goes to the next or the previous event, or begin or end of a call or phase, and pauses.
    step(kind, direction) {
      const times = this.timesOf("stepTimes", kind);
      const upTo = (ps) => S.countUpTo(times.length, ps, (i) => times[i]);
      const ps = direction > 0 ? times[upTo(this.now)] ?? this.endPs : times[upTo(this.now - 1) - 1] ?? 0;
      this.playing = false;
      cancelAnimationFrame(this.request);
      this.seek(ps);
      this.changed();
    }

    // Repeats playback between two times; loop(null) ends the loop.
    loop(from, to) {
      this.looped = from === null ? null : [Math.max(0, from), Math.min(this.endPs, to)];
      if (this.looped && !(this.looped[0] < this.looped[1])) {
        this.looped = null;
      }
      if (this.looped && (this.now < this.looped[0] || this.now >= this.looped[1])) {
        this.seek(this.looped[0]);
      }
      this.rebase();
      this.changed();
    }

    // ---- choices

    get speed() {
      return this.chosen;
    }

    // "auto", "event" for one event per second, or simulated ps per second.
    set speed(speed) {
      if (speed !== AUTO && speed !== EVENT && !(speed > 0 && speed < Infinity)) {
        throw new Error(`speed=${speed} must be "auto", "event" or ps a second above 0`);
      }
      this.chosen = speed;
      this.plan = this.planOf(speed);
      this.rebase();
      this.changed();
    }

    // With automatic slow-down a chosen speed slows down too; without it, "auto" is one speed for the whole run.
    planOf(speed) {
      if (speed === AUTO) {
        return this.slows === false ? S.fixedSpeed(this.endPs, this.endPs / this.auto.secondsAt(this.endPs)) : this.auto;
      }
      if (speed === EVENT) {
        return S.eventSpeed(this.timesOf("stepTimes", EVENT), this.endPs);
      }
      return this.slows ? S.slowedSpeed(this.runs, this.axis, speed) : S.fixedSpeed(this.endPs, speed);
    }

    get psPerSecond() {
      return this.plan.rateAt(this.now);
    }

    get stopAt() {
      return this.stop;
    }

    // null, or the moment at which playback pauses: "first_split", "first_fault", "longest_stall", "call_end" or "differ".
    set stopAt(name) {
      if (name !== null) {
        this.timesOf("stopTimes", name);
      }
      this.stop = name;
      this.changed();
    }

    // Computed on first use: there may be half a million events.
    timesOf(how, name) {
      this.times[name] = this.times[name] || S[how](this.runs, name, this.axis);
      return this.times[name];
    }
  }

  S.Clock = Clock;
})();
