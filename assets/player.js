// The clock of the page. A position is x, in seconds of the story; where playing is, follows from when it began:
// x = base + (now − since) × speed. Nothing is summed up from frame to frame, so a late frame loses no time.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const SPEEDS = [0.25, 0.5, 1, 2, 4, 8, 16];
  const USUAL = SPEEDS.indexOf(1);

  class Player {
    // `draw` shows the player's tick; `changed` hears of play, pause and speed; `rested` that it stays where it is.
    constructor(timeline, { draw, changed, rested }) {
      Object.assign(this, { timeline, draw, changed, rested });
      this.tick = 0;
      this.x = 0;
      this.playing = false;
      this.speedIndex = USUAL;
      this.base = 0;
      this.since = 0;
      this.request = 0;
      this.onFrame = (now) => this.frame(now);
      // A page that nobody sees gets no frames: it goes on where it was, not where it would have been.
      this.onVisible = () => this.playing && this.rebase();
      document.addEventListener("visibilitychange", this.onVisible);
    }

    get speed() {
      return SPEEDS[this.speedIndex];
    }

    rebase() {
      this.base = this.x;
      this.since = performance.now();
    }

    frame(now) {
      if (!this.playing) {
        return;
      }
      const { seconds, total } = this.timeline;
      const x = Math.min(seconds, this.base + (Math.max(0, now - this.since) / 1000) * this.speed);
      this.x = Math.max(this.x, x);
      // x is a rounded quotient: it must not take back a tick that was reached exactly.
      this.tick = this.x >= seconds ? total : Math.max(this.tick, this.timeline.tickAtX(this.x));
      this.draw();
      if (this.tick >= total) {
        this.pause();
      } else {
        this.request = requestAnimationFrame(this.onFrame);
      }
    }

    play() {
      if (this.playing) {
        return;
      }
      if (this.tick >= this.timeline.total) {
        this.place(0);
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
      this.draw();
      this.rested();
    }

    toggle() {
      if (this.playing) {
        this.pause();
      } else {
        this.play();
      }
    }

    place(tick) {
      this.tick = Math.min(this.timeline.total, Math.max(0, Math.round(tick)));
      this.x = this.timeline.xAt(this.tick);
      this.rebase();
    }

    // Stepping is looking closely: it pauses first.
    step(tick) {
      const played = this.playing;
      this.playing = false;
      cancelAnimationFrame(this.request);
      this.place(tick);
      if (played) {
        this.changed();
      }
      this.draw();
      this.rested();
    }

    // Goes to a position without pausing; `rested` is told when the hand lets go.
    scrub(x) {
      this.place(this.timeline.tickAtX(x));
      if (!this.playing) {
        this.draw();
      }
    }

    setSpeed(index) {
      this.speedIndex = Math.min(SPEEDS.length - 1, Math.max(0, index));
      this.rebase();
      this.changed();
    }

    stop() {
      this.playing = false;
      cancelAnimationFrame(this.request);
      document.removeEventListener("visibilitychange", this.onVisible);
    }
  }

  Object.assign(window.mmuviz, { Player, SPEEDS });
})();
