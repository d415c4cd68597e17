// The drawing of a frame during playback: jobs with a period each, spread over the frames, so that no frame does all of it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const FRAME_MS = 1000 / 60;
  const EARLY_MS = FRAME_MS / 2; // a period is a whole number of frames: the nearest frame is the right one
  const SPARE = 1.1; // a frame may do this much more than the mean, so that jobs keep their periods
  const MOST_FRAMES = 4; // a late frame makes up for at most this many

  S.FrameJobs = class {
    // `timer` gives milliseconds.
    constructor(timer = () => performance.now()) {
      this.timer = timer;
      this.jobs = [];
      this.mean = 0;
      this.left = 0; // what the last frame had left, less than 0 if its last job was more than that
      this.before = timer();
    }

    // Jobs are {everyMs, cost, run(ps), first}: the period, about how long it takes with the layout and paint that it causes
    // (in ms, only to compare jobs), the drawing of a time, and whether it comes before all others.
    set(jobs) {
      const now = this.timer();
      this.jobs = jobs.map((job) => ({ ...job, doneAt: now - job.everyMs }));
      this.mean = jobs.reduce((sum, { everyMs, cost }) => sum + cost * Math.min(1, FRAME_MS / everyMs), 0);
    }

    // Does all jobs at once: after a seek, or while paused.
    all(ps) {
      const now = this.timer();
      for (const job of this.jobs) {
        job.doneAt = now;
        job.run(ps);
      }
    }

    // Does the jobs of one frame: those that are late, the latest in terms of their period first.
    frame(ps) {
      const now = this.timer();
      const frames = Math.max(1, Math.min(MOST_FRAMES, (now - this.before) / FRAME_MS));
      this.before = now;
      this.left = SPARE * this.mean * frames + Math.min(0, this.left);
      const late = this.jobs.filter((job) => now - job.doneAt >= job.everyMs - EARLY_MS);
      late.sort((a, b) => Boolean(b.first) - Boolean(a.first) || (now - b.doneAt) / b.everyMs - (now - a.doneAt) / a.everyMs);
      for (const job of late) {
        if (this.left <= 0) {
          break;
        }
        this.left -= job.cost;
        job.doneAt = now;
        job.run(ps);
      }
    }
  };
})();
