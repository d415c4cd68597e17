// What is written below or beside a page-table walk: the tables added, and the bits of the last changed entry.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const TABLE_BYTES = 4096;
  const LINE = 17;
  const ARROW = 21; // width of the arrow between the bits, with its gaps
  const GAP = 9; // before the bits
  const NEWEST_BINS = 4; // an older change is not shown

  const counted = new Intl.NumberFormat("en-US");

  // "148 new tables", "2 tables fewer".
  S.tablesText = function (bytes) {
    const tables = Math.round(bytes / TABLE_BYTES);
    const many = Math.abs(tables);
    return `${counted.format(many)} ${tables < 0 ? "" : "new "}table${many === 1 ? "" : "s"}${tables < 0 ? " fewer" : ""}`;
  };

  S.drawLoupeTexts = function (loupe, ps) {
    drawTables(loupe, ps);
    const example = loupe.run.exampleAt(ps);
    const change = S.spteChange(loupe.format, example);
    if (loupe.withBits && change && ps - example.timePs <= NEWEST_BINS * loupe.run.binPs) {
      drawChange(loupe, change);
    }
  };

  // The rest of a line, in the next line if it does not fit.
  function placeOf({ beside, scale, canvas }, after, wide, y) {
    const fits = !beside || (after + wide) * scale <= canvas.clientWidth;
    return fits ? [after, y] : [beside, y + LINE];
  }

  // Tables made since logging was enabled; each takes a page of host memory.
  function drawTables(loupe, ps) {
    const bytes = loupe.run.tablesAdded(ps);
    const [left, top] = loupe.beside ? [loupe.beside, 30] : [0, loupe.rows.tables[0]];
    loupe.font(14, 700);
    const after = left + loupe.text(S.tablesText(bytes), left, top, loupe.tokens.map) + 8;
    loupe.font(12);
    const size = S.bytesText(bytes);
    const [x, y] = placeOf(loupe, after, loupe.ctx.measureText(size).width, top + 0.5);
    loupe.text(size, x, y, loupe.tokens.ink2);
  }

  // The last example of a changed entry: its bits before and after, by the vendor's names.
  function drawChange(loupe, change) {
    const [left, top] = loupe.beside ? [loupe.beside, 68] : [0, 139];
    const wide = widthOf(loupe, change.before, change.after) + widthOf(loupe, change.after, change.before) + ARROW;
    loupe.font(12, 600);
    const level = `L${change.level}`;
    const deed = `${level} ${change.deed}`;
    // Bits are never cut: where both have no room, the deed is to be seen from them.
    const fits = loupe.beside || (left + loupe.ctx.measureText(deed).width + GAP + wide) * loupe.scale <= loupe.canvas.clientWidth;
    const after = left + loupe.text(fits ? deed : level, left, top, loupe.tokens.ink2) + GAP;
    const place = placeOf(loupe, after, wide, top);
    const [, y] = place;
    let at = drawBits(loupe, change.before, change.after, place) + 3;
    loupe.font(12);
    at += loupe.text("→", at, y, loupe.tokens.ink2) + 6;
    drawBits(loupe, change.after, change.before, [at, y]);
  }

  // Letters of an entry, [{text, wide, weight, colour}]; changed ones are bold, unset ones are a dot.
  function lettersOf({ ctx, tokens: { ink, ink2, map } }, bits, other) {
    const measured = (text, weight, colour, least, gap) => {
      ctx.font = S.fontOf(12, weight);
      return { text, weight, colour, wide: Math.max(least, ctx.measureText(text).width) + gap };
    };
    if (typeof bits === "string") {
      return [measured(bits, 700, bits === "table" ? map : ink2, 0, 4)];
    }
    return bits.map(([name, set], index) => {
      const differs = typeof other === "string" || other[index][1] !== set;
      return measured(set ? name : "·", differs ? 800 : 500, differs ? ink : ink2, 9, 2);
    });
  }

  const widthOf = (loupe, bits, other) => lettersOf(loupe, bits, other).reduce((sum, { wide }) => sum + wide, 0);

  function drawBits(loupe, bits, other, [x, y]) {
    for (const { text, weight, colour, wide } of lettersOf(loupe, bits, other)) {
      loupe.font(12, weight);
      loupe.text(text, x, y, colour);
      x += wide;
    }
    return x;
  }
})();
