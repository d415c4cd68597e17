// Formatting of numbers: times, sizes and counts as text, and the three numbers of a pane.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const DIGITS = 3;
  const LEAST = 0.01;
  // A unit is used from the value that rounds to 1.00 of it: 999.6 µs is 1.00 ms.
  const ROUNDS_UP = 0.9995;
  const TIMES = [
    ["ps", 1],
    ["ns", 1e3],
    ["µs", 1e6],
    ["ms", 1e9],
    ["s", 1e12],
  ];
  const MS = TIMES[3];
  const SIZES = [
    ["B", 1],
    ["KiB", 2 ** 10],
    ["MiB", 2 ** 20],
    ["GiB", 2 ** 30],
    ["TiB", 2 ** 40],
  ];

  const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

  function threeDigits(value) {
    const before = Math.max(1, Math.floor(Math.log10(value)) + 1);
    const text = value.toFixed(Math.max(0, DIGITS - before));
    // 9.996 is 10.0 and not 10.00.
    const rounded = text.includes(".") && text.length > DIGITS + 1 ? value.toFixed(DIGITS - before - 1) : text;
    return rounded.length > DIGITS && !rounded.includes(".") ? whole.format(value) : rounded;
  }

  // Negative amounts: the same digits after a minus sign.
  const negative = ({ value, ...rest }) => ({ ...rest, value: value === "0" ? value : `−${value}` });

  function parts(amount, units, zero) {
    if (amount < 0) {
      return negative(parts(-amount, units, zero));
    }
    if (!(amount > 0)) {
      return { value: "0", unit: zero, zero: true };
    }
    const [unit, size] = units.findLast(([, least]) => amount >= ROUNDS_UP * least) || units[0];
    const value = amount / size;
    return { value: size === 1 ? whole.format(value) : threeDigits(value), unit, zero: false };
  }

  // The common unit of amounts that are compared, [name, size]: that of the largest, or `ofNothing` if all are 0.
  S.commonUnit = (amounts, units, ofNothing = units[0]) => {
    const most = Math.max(...amounts.map(Math.abs));
    return units.findLast(([, least]) => most >= ROUNDS_UP * least) || ofNothing;
  };

  // An amount in a given unit, {value, unit, zero}: three digits, at most two of them after the point.
  S.partsIn = function (amount, [unit, size]) {
    if (amount < 0) {
      return negative(S.partsIn(-amount, [unit, size]));
    }
    const value = amount / size;
    if (value < LEAST / 2) {
      return { value: amount > 0 && size > 1 ? `<${LEAST}` : "0", unit, zero: true };
    }
    return { value: size === 1 ? whole.format(value) : threeDigits(value), unit, zero: false };
  };

  S.said = ({ value, unit }) => `${value} ${unit}`;
  // {value, unit, zero} of a time in ps, three digits: "17.9", "ms".
  S.timeParts = (ps) => parts(ps, TIMES, "ms");
  S.timeText = (ps) => S.said(S.timeParts(ps));
  // The same of a size in bytes: "8.02", "MiB".
  S.bytesParts = (bytes) => parts(bytes, SIZES, "MiB");
  S.bytesText = (bytes) => S.said(S.bytesParts(bytes));
  S.count = (n) => whole.format(n);
  S.TIME_UNITS = TIMES;
  S.SIZE_UNITS = SIZES;

  const MEASURED = {
    stall: (run, ps) => run.stallPs(ps),
    ioctl: (run, ps) => run.ioctlPs(ps),
    slow: (run, ps) => run.slowPs(ps),
  };
  // A time of a run ("stall", "ioctl" or "slow") among those of all panes, which have the same unit, so that the digits can
  // be compared: {value, unit, zero}. Panes, charts, summary and report all use it, so that it reads the same in each.
  S.paneParts = function (name, run, runs, ps) {
    const of = MEASURED[name];
    return S.partsIn(of(run, ps), S.commonUnit(runs.map((each) => of(each, ps)), TIMES, MS));
  };
  S.paneTime = (name, run, runs, ps) => S.said(S.paneParts(name, run, runs, ps));

  // The run's numbers at an instant: guest speed, stall per vCPU, time of the ioctl thread; `runs` are those of all panes.
  S.numbers = function (run, ps, runs = [run]) {
    const percent = Math.round(100 * run.speed(ps));
    const partsOf = (name) => ({ ...S.paneParts(name, run, runs, ps), ps: MEASURED[name](run, ps) });
    const word = ps > run.endPs ? "ended" : run.isIdle(ps) ? "idle" : "";
    return {
      speed: word ? { value: word, unit: "", zero: true, label: "guest speed", short: "speed" }
        : { value: whole.format(percent), unit: "%", zero: percent === 0, label: "guest speed", short: "speed" },
      stall: { ...partsOf("stall"), label: "stall per vCPU", short: "stall" },
      ioctl: { ...partsOf("ioctl"), label: "ioctl thread", short: "ioctl" },
    };
  };
})();
