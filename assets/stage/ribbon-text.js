// The text above the ribbons: names of ioctls and phases, if they fit.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const CALLS = {
    enable: "enable logging",
    disable: "disable logging",
    pre_split: "pre-split",
    clear: "CLEAR",
    reset: "ring reset",
    get: "GET",
  };
  const MANY = { clear: "CLEARs", reset: "ring resets", get: "GETs" };
  const PHASES = {
    populate: "memory is mapped",
    lead: "the guest runs",
    dirty: "a pass of writing",
    interval: "the guest runs on",
    round: "a round of migration",
    downtime: "the guest stands still",
    setup: "setup of the migration",
    postcopy: "post-copy",
    tail: "the guest runs on",
  };
  const APART = 14;

  // The usual name of an ioctl: "enable logging", "GET".
  S.callName = (kind) => CALLS[kind] || kind;
  const SPANS = { populate: "mapping memory", lead: "the lead", dirty: "the pass", interval: "the interval", tail: "the tail",
    round: "the round", downtime: "downtime",
    setup: "setup", postcopy: "post-copy" };
  // Short names of calls and phases.
  S.spanName = (kind) => SPANS[kind] || { enable: "enable", disable: "disable" }[kind] || S.callName(kind);
  // "16 CLEARs".
  S.callsName = (kind, count) =>
    count === 1 ? S.callName(kind) : MANY[kind] ? `${S.count(count)} ${MANY[kind]}` : `${S.callName(kind)} ×${count}`;

  // Consecutive ioctls of the same kind have one common name.
  function groupsOf(runs) {
    const found = [];
    runs.forEach((run, index) => {
      let before = null;
      for (const call of run.calls) {
        if (before && before.kind === call.kind) {
          before.count += 1;
        } else {
          before = { kind: call.kind, startPs: call.startPs, count: 1, run: index };
          found.push(before);
        }
      }
    });
    const rank = Object.keys(CALLS);
    return found.sort((a, b) => rank.indexOf(a.kind) - rank.indexOf(b.kind) || a.startPs - b.startPs);
  }

  // Names without overlap, ioctls first: [{text, x, centre, tone, weight, names}]; `names` is the begin of a
  // call, {run, startPs}.
  S.ribbonLabels = function (ribbon, ctx) {
    const placed = [];
    const centre = ribbon.px / 2 + 1;
    const end = ribbon.width - 2;
    const free = (x, width) => placed.every((each) => x > each.x + each.wide + APART || x + width + APART < each.x);
    const put = (text, x, wide, tone, weight, names = null) => placed.push({ text, x, wide, centre, tone, weight, names });
    ctx.font = S.chartFont(ribbon.px, 650);
    for (const { kind, startPs, count, run } of groupsOf(ribbon.runs)) {
      const text = S.callsName(kind, count);
      const wide = ctx.measureText(text).width;
      const x = Math.max(0, Math.min(ribbon.xAt(startPs), end - wide));
      if (free(x, wide)) {
        put(text, x, wide, "ioctl", 650, { run, startPs });
      }
    }
    ctx.font = S.chartFont(ribbon.px, 500);
    for (const { kind, startPs, endPs } of ribbon.runs.flatMap((run) => run.phases)) {
      const text = PHASES[kind];
      const wide = text ? ctx.measureText(text).width : Infinity;
      const begin = ribbon.xAt(startPs);
      const behind = placed.filter((each) => each.x <= begin + APART).map((each) => each.x + each.wide + APART + 1);
      const x = Math.max(begin, ...behind);
      const said = placed.some((each) => each.text === text);
      if (!said && x + wide <= Math.min(end, ribbon.xAt(endPs)) && free(x, wide)) {
        put(text, x, wide, "ink2", 500);
      }
    }
    return placed;
  };
})();
