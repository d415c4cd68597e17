// Marks for more vCPUs than heads fit: a small mark for each, and one line with the number of stopped ones.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MOST_SHAPES = 512; // with more vCPUs the marks are squares

  function shapes(actors, state, heads, grow) {
    const { ctx } = actors.pane;
    ctx.beginPath();
    for (const head of heads) {
      const middle = head.top + actors.lane / 2;
      if (heads.length > MOST_SHAPES) {
        const side = actors.radius + grow;
        ctx.rect(head.x - side, middle - side, 2 * side, 2 * side);
      } else {
        S.addActorShape(ctx, state, head.x, middle, actors.radius + grow);
      }
    }
  }

  function bars(actors, heads, state) {
    const { ctx, layout, tokens } = actors.pane;
    for (const [half, colour] of [[1.5, tokens.ground], [0.75, actors.colour(state)]]) {
      ctx.beginPath();
      for (const head of heads) {
        ctx.rect(head.x - half * layout.ink, head.top, 2 * half * layout.ink, actors.lane - layout.ink);
      }
      ctx.fillStyle = colour;
      ctx.fill();
    }
  }

  // Draws all marks, state by state, so that stopped ones are on top.
  S.drawMarks = function (actors) {
    const { ctx, layout, tokens } = actors.pane;
    const { ink: dpr } = layout;
    for (const state of ["idle", "runs", "slower", "stopped"]) {
      const heads = actors.heads.filter((head) => head.state === state);
      if (actors.lanes === 1) {
        bars(actors, heads, state);
      }
      shapes(actors, state, heads, 1.5 * dpr);
      ctx.fillStyle = tokens.ground;
      ctx.fill();
      const colour = actors.colour(state);
      shapes(actors, state, heads, 0);
      ctx.fillStyle = colour;
      ctx.fill();
      if (state === "slower") {
        shapes(actors, state, heads, -1.5 * dpr);
        ctx.fillStyle = tokens.ground;
        ctx.fill();
      }
    }
  };

  // The most frequent reason of stopped vCPUs, and their number; "" if none is stopped.
  S.marksText = function (states) {
    const stopped = states.filter(({ state }) => state === "stopped");
    const slower = states.filter(({ state }) => state === "slower");
    const drawn = stopped.length ? stopped : slower;
    if (!drawn.length) {
      return { text: "", state: "runs" };
    }
    const counts = new Map();
    drawn.forEach(({ text }) => counts.set(text, (counts.get(text) || 0) + 1));
    const [reason, many] = [...counts].reduce((a, b) => (a[1] >= b[1] ? a : b));
    const text = `${many} of ${states.length} vCPUs: ${reason}`;
    return { text, state: stopped.length ? "stopped" : "slower" };
  };
})();
