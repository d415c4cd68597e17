// Formatting of numbers: times, sizes and counts as text, and the three numbers of a pane.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const DIGITS = 3;
  // Of modelled times and rates in charts: no host's times are known to better than some 15 %, as the line under a pane says.
  const ROUGH_DIGITS = 2;
  const MOST_PLACES = 2;
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

  // Two digits, zeros in front of them not counted, at most two after the point: 120, 12, 1.2, 0.12, 0.01.
  function twoDigits(value, size) {
    const exact = Number(value.toPrecision(ROUGH_DIGITS));
    const places = size === 1 ? 0 : ROUGH_DIGITS - 1 - Math.floor(Math.log10(exact));
    return places > 0 ? value.toFixed(Math.min(MOST_PLACES, places)) : whole.format(exact);
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

  // An amount in a given unit, {value, unit, zero}: three digits, or two if it is rough, at most two of them after the point.
  S.partsIn = function (amount, [unit, size], rough = false) {
    if (amount < 0) {
      return negative(S.partsIn(-amount, [unit, size], rough));
    }
    const value = amount / size;
    if (value < LEAST / 2) {
      return { value: amount > 0 && size > 1 ? `<${LEAST}` : "0", unit, zero: true };
    }
    const text = rough ? twoDigits(value, size) : size === 1 ? whole.format(value) : threeDigits(value);
    return { value: text, unit, zero: false };
  };

  S.said = ({ value, unit }) => `${value} ${unit}`;
  // {value, unit, zero} of a time in ps, three digits: "17.9", "ms".
  S.timeParts = (ps) => parts(ps, TIMES, "ms");
  S.timeText = (ps) => S.said(S.timeParts(ps));
  // A modelled time in a chart, two digits.
  S.roughTime = (ps) => S.said(S.partsIn(ps, S.commonUnit([ps], TIMES, MS), true));
  // The same of a size in bytes: "8.02", "MiB".
  S.bytesParts = (bytes) => parts(bytes, SIZES, "MiB");
  S.bytesText = (bytes) => S.said(S.bytesParts(bytes));
  S.count = (n) => whole.format(n);
  S.TIME_UNITS = TIMES;
  S.SIZE_UNITS = SIZES;

  // The run's numbers at an instant: guest speed, stall per vCPU, time of the ioctl thread. With `runs`, the runs of all
  // panes, times of all panes have the same unit, so that the digits can be compared.
  S.numbers = function (run, ps, runs = null) {
    const percent = Math.round(100 * run.speed(ps));
    const times = { stall: run.stallPs(ps), ioctl: run.ioctlPs(ps) };
    const beside = (runs || []).flatMap((each) => [each.stallPs(ps), each.ioctlPs(ps)]);
    const unit = S.commonUnit(beside, TIMES, MS);
    const partsOf = (time) => (runs ? S.partsIn(time, unit) : S.timeParts(time));
    return {
      speed: run.isIdle(ps) ? { value: "idle", unit: "", zero: true, label: "guest speed", short: "speed" }
        : { value: whole.format(percent), unit: "%", zero: percent === 0, label: "guest speed", short: "speed" },
      stall: { ...partsOf(times.stall), ps: times.stall, label: "stall per vCPU", short: "stall" },
      ioctl: { ...partsOf(times.ioctl), ps: times.ioctl, label: "ioctl thread", short: "ioctl" },
    };
  };
})();
