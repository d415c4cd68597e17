// Next to the charts: the legend, and a table of memory that a Recording has only for its end.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WIDE = 34;
  const HIGH = 14;
  const KINDS = {
    headers: "headers of tables", vcpu_caches: "vCPU caches", split_caches: "split caches", rmap: "reverse maps",
    bitmaps: "dirty bitmaps", rings: "dirty rings",
  };

  // A piece of a run's line with its dot, and its name.
  S.lineSample = function (label, index) {
    const canvas = S.el("canvas", { class: "more-sample", width: 2 * WIDE, height: 2 * HIGH, "aria-hidden": "true" });
    const ctx = canvas.getContext("2d");
    const { ink, ground } = S.tokens();
    ctx.scale(2, 2);
    ctx.strokeStyle = ink;
    ctx.lineWidth = 2.5;
    ctx.lineCap = index % 4 > 1 ? "round" : "butt";
    ctx.setLineDash(S.lineDash(index));
    ctx.beginPath();
    ctx.moveTo(1, HIGH / 2);
    ctx.lineTo(WIDE - 6, HIGH / 2);
    ctx.stroke();
    S.drawEndDot(ctx, index, WIDE - 7, HIGH / 2, 4, ink, ground);
    return S.el("li", {}, canvas, label);
  };

  // Memory other than page tables, by purpose; null if there is none.
  S.memoryTable = function (runs) {
    const kinds = Object.keys(KINDS).filter((kind) => runs.some((run) => run.header.memory_bytes[kind] > 0));
    if (kinds.length === 0) {
      return null;
    }
    const rows = kinds.map((kind) => S.row([KINDS[kind], ...runs.map((run) => {
      const bytes = run.header.memory_bytes[kind] ?? 0;
      return S.number(bytes ? S.bytesText(bytes) : "0", { data: { bytes, memory: kind } });
    })], { head: true }));
    const heads = ["", ...runs.map((run) => S.number(run.label))];
    const caption = S.el("figcaption", { class: "more-caption" }, S.el("b", { text: "Caches and bitmaps" }),
      S.el("span", { class: "more-unit", text: "at the end" }));
    return S.el("figure", { class: "more-figure more-memory" }, S.el("div", { class: "more-top" }, caption), S.table({ heads, rows }));
  };
})();
