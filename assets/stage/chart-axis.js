// The axes of charts over time: the visible window of the run at an instant, and the ticks.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const FAMILY = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif';
  // The first window: 1.5 times as long as the first ioctl, and at least this share of the run.
  const AROUND_IOCTL = 1.5;
  const LEAST_SHARE = 0.08;
  // The time before the ioctl is shown from 0 if it is short, else a quarter of the window.
  const SHORT_LEAD = 0.6;
  const LEAD_SHARE = 0.25;
  // The window begins to grow shortly before the playhead reaches its edge.
  const OPENS_BEFORE = 0.12;
  const OPENS_OVER = 0.4;
  const OPENS_SHARE = 0.06;
  const AHEAD = 0.02;
  const STEPS = [1, 2, 2.5, 5, 10];
  const BINARY_STEPS = [1, 2, 4, 8, 16];

  const smooth = (q) => {
    const at = Math.max(0, Math.min(1, q));
    return at * at * (3 - 2 * at);
  };

  S.chartFont = (px, weight) => `${weight} ${px}px ${FAMILY}`;

  // The first ioctls of all runs, and the window around them: {left, right, over, end} in ps.
  function opening(runs, until) {
    const end = Math.max(until, ...runs.map((run) => run.endPs));
    const firsts = runs.filter((run) => run.calls.length).map((run) => run.calls[0]);
    if (!firsts.length) {
      return { left: 0, right: end, over: end, end };
    }
    const begin = Math.min(...firsts.map((call) => call.startPs));
    const over = Math.max(...firsts.map((call) => call.endPs));
    const span = Math.max(AROUND_IOCTL * (over - begin), LEAST_SHARE * end);
    const left = begin <= SHORT_LEAD * span ? 0 : begin - LEAD_SHARE * span;
    // The window does not grow if the run is only slightly longer.
    const right = begin + AROUND_IOCTL * span >= end ? end : begin + span;
    return { left, right, over, end };
  }

  // A function of the instant only, so that a seek shows the same as playback: {from, to} in ps, with the instant inside.
  // `until` is a time after the end of the runs that must be visible, ps.
  S.axisWindow = function (runs, until = 0) {
    const { left, right, over, end } = opening(runs, until);
    const span = right - left;
    const opens = Math.max(right - OPENS_BEFORE * span, Math.min(over, right));
    const lasts = Math.min(Math.max(OPENS_OVER * span, OPENS_SHARE * (end - right)), end - opens);
    const whole = left === 0 && right === end;
    return function (ps) {
      if (whole) {
        return { from: 0, to: end };
      }
      // A long lead is visible as a whole until the playhead comes near the ioctl.
      const near = smooth(1 - (left - ps) / (LEAD_SHARE * left || 1));
      const open = lasts > 0 ? smooth((ps - opens) / lasts) : Number(ps > opens);
      const from = Math.max(0, Math.min(left * near * (1 - open), ps - AHEAD * span));
      const to = Math.min(end, Math.max(right + (end - right) * open, ps + AHEAD * (ps - from)));
      return { from, to };
    };
  };

  // The unit in which an axis up to `most` is labelled: [name, size].
  S.axisUnit = (most, units) => units.findLast(([, size]) => most >= size) || units[0];

  // A round step of at least `least`, in steps of the unit: tens for times, powers of two for sizes.
  function stepOf(least, unit, binary) {
    const wanted = least / unit;
    const base = binary ? 16 : 10;
    const power = base ** Math.floor(Math.log(wanted) / Math.log(base));
    const step = (binary && wanted >= 1 ? BINARY_STEPS : STEPS).find((each) => each * power >= wanted * 0.999);
    return unit * power * (step || base);
  }

  // Ticks at multiples of a round step from `from` to `to`, at least `least` apart: [{at, text}].
  S.ticks = function (from, to, least, [, unit], binary) {
    const decimal = binary && least < unit ? false : binary;
    const step = stepOf(least, unit, decimal);
    const whole = (places) => Math.abs(Math.round(places * (step / unit)) - places * (step / unit)) < 1e-6 * places;
    const places = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8].findIndex(whole);
    const found = [];
    for (let k = Math.ceil(from / step - 1e-9); k * step <= to * (1 + 1e-12); k += 1) {
      found.push({ at: k * step, text: k === 0 ? "0" : ((k * step) / unit).toFixed(Math.max(0, places)).replace("-", "−") });
    }
    return found;
  };

  // The text, cut with an ellipsis if it is wider than `most`.
  S.fitText = function (ctx, text, most) {
    if (ctx.measureText(text).width <= most) {
      return text;
    }
    let kept = text.length;
    while (kept > 1 && ctx.measureText(`${text.slice(0, kept)}…`).width > most) {
      kept -= 1;
    }
    return `${text.slice(0, kept).trimEnd()}…`;
  };
})();
