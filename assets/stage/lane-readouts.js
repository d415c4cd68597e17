// The numbers beside the lanes, which are also their legend: swatch, current share and label of each part of the time.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  S.LANE_LABELS = {
    fault: "stalled in faults", lock: "waiting for mmu_lock", away: "stalled on a full log", slow: "slower writes",
    run: "running", rest: "in userspace",
  };
  // Shorter labels; if there is only one kind of stall, it is just "stall".
  const SHORT = { ...S.LANE_LABELS, fault: "in faults", lock: "for mmu_lock", away: "log full", rest: "userspace" };
  const STALLS = ["fault", "lock", "away"];
  const LEAST_PX = 11.5;
  const FIGURE = 3.6;

  const stalledPercent = (shown) =>
    shown.reduce((sum, { name, percent }) => sum + (STALLS.includes(name) ? percent : 0), 0);

  // [{name, percent, label}] of a run at an instant; percents add up to 100.
  S.laneReadout = function (shares) {
    const percents = S.wholePercents(shares);
    const all = [...S.LANE_PARTS, "rest"].map((name, at) => ({ name, percent: percents[at] }));
    const shown = all.filter(({ percent }) => percent > 0);
    const alone = shown.filter(({ name }) => STALLS.includes(name)).length === 1;
    return shown.map((each) => ({ ...each, label: alone && each.name === "fault" ? "stalled" : SHORT[each.name] }));
  };

  S.drawLaneReadouts = function (chart, ps) {
    chart.ctx.textBaseline = "middle";
    chart.runs.forEach((run, at) => {
      const shown = S.laneReadout(chart.shares[at].now(Math.min(S.readAt(at, ps), run.endPs - 1)));
      const place = chart.rows.runs[at];
      if (chart.narrow) {
        drawNarrow(chart, shown, place);
      } else {
        drawList(chart, shown, place);
      }
    });
  };

  function drawList(chart, shown, { top, bottom }) {
    const { ctx, rows, px, width, colours, laneColours } = chart;
    const fits = Math.max(1, Math.floor((bottom - top + 5) / LEAST_PX));
    const kept = shown.length > fits ? joined(shown) : shown;
    const pitch = Math.min(px + 5, (bottom - top + 5) / kept.length);
    const left = rows.right + 12;
    kept.forEach(({ name, percent, label }, row) => {
      const y = top + (row + 0.5) * pitch;
      drawSwatch(ctx, left, y - 4, laneColours[name] || laneColours.track, name === "rest" ? colours.ink2 : null);
      ctx.fillStyle = colours.ink;
      ctx.font = S.chartFont(pitch < px + 2 ? px : px + 1, 700);
      ctx.textAlign = "right";
      ctx.fillText(`${percent} %`, left + 16 + FIGURE * px, y + 1);
      ctx.textAlign = "left";
      ctx.font = S.chartFont(px, 500);
      const x = left + 21 + FIGURE * px;
      ctx.fillText(S.fitText(ctx, label, width - x), x, y + 1);
    });
  }

  // If not all fit, the kinds of stalls are merged.
  function joined(shown) {
    const percent = stalledPercent(shown);
    const others = shown.filter(({ name }) => !STALLS.includes(name));
    return percent ? [{ name: "fault", percent, label: "stalled" }, ...others] : others;
  }

  // On a phone: the share of stalls, as a number with a label below it.
  function drawNarrow({ ctx, rows, px, colours }, shown, { top, bottom }) {
    const stalled = stalledPercent(shown);
    const centre = (top + bottom) / 2;
    ctx.textAlign = "left";
    ctx.fillStyle = stalled ? colours.stall : colours.ink2;
    ctx.font = S.chartFont(px + 4, 700);
    ctx.fillText(`${stalled} %`, rows.right + 8, centre - px / 2 - 2);
    ctx.fillStyle = colours.ink2;
    ctx.font = S.chartFont(px, 500);
    ctx.fillText("stalled", rows.right + 8, centre + px / 2 + 3);
  }

  function drawSwatch(ctx, x, y, colour, edge) {
    ctx.fillStyle = `rgb(${colour.join(",")})`;
    ctx.fillRect(x, y, 9, 9);
    if (edge) {
      ctx.strokeStyle = edge;
      ctx.lineWidth = 1;
      ctx.strokeRect(x + 0.5, y + 0.5, 8, 8);
    }
  }
})();
