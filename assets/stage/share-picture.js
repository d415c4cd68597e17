// The screenshot: all canvases and texts of the first screen on one canvas, at twice the size.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const SCALE = 2;
  const FOOTER = 24;
  const TEXTS = [
    ".brand", ".question", ".policy-name", ".policy-says", ".number-value", ".number-unit", ".number-label", ".sentence > *", ".badge > *",
    ".caption > *", ".why-card > *", ".fact-line .chip", ".controls .control-label", ".controls .control-number",
  ].join(", ");

  // The picture is that of the first screen, without the panels that cover it.
  const seen = (node) => node.getClientRects().length > 0 && window.getComputedStyle(node).visibility === "visible"
    && !node.closest("#stage-charts, .popup, .sheet .controls");

  function drawText(ctx, node, text = node.textContent) {
    const style = window.getComputedStyle(node);
    const box = node.getBoundingClientRect();
    ctx.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    ctx.letterSpacing = style.letterSpacing === "normal" ? "0px" : style.letterSpacing;
    ctx.fillStyle = style.color;
    ctx.textAlign = style.textAlign === "center" ? "center" : "left";
    ctx.textBaseline = "middle";
    // One line if it was one line, else wrapped.
    const single = box.height < 2 * Number.parseFloat(style.fontSize);
    const space = single && /^\s/.test(text) ? ctx.measureText(" ").width : 0; // the box includes a leading space, which trim() removes
    const x = ctx.textAlign === "center" ? box.left + box.width / 2 : box.left + space;
    const lines = [""];
    for (const piece of text.trim().split(/\s+/)) {
      const longer = lines[lines.length - 1] ? `${lines[lines.length - 1]} ${piece}` : piece;
      if (!single && lines[lines.length - 1] && ctx.measureText(longer).width > box.width + 2) {
        lines.push(piece);
      } else {
        lines[lines.length - 1] = longer;
      }
    }
    lines.forEach((line, at) => ctx.fillText(line, x, box.top + (box.height * (at + 0.5)) / lines.length));
  }

  // A PNG of the current page, as a Blob.
  S.picture = function (stage) {
    stage.draw(stage.clock.now, true); // during playback not all of it is of the same moment
    const [width, height] = [window.innerWidth, window.innerHeight];
    const canvas = document.createElement("canvas");
    canvas.width = SCALE * width;
    canvas.height = SCALE * (height + FOOTER);
    const ctx = canvas.getContext("2d");
    const colours = S.tokens();
    ctx.scale(SCALE, SCALE);
    ctx.fillStyle = colours.ground;
    ctx.fillRect(0, 0, width, height + FOOTER);
    for (const each of stage.root.querySelectorAll("canvas")) {
      if (seen(each) && each.width > 1) {
        const box = each.getBoundingClientRect();
        ctx.drawImage(each, box.left, box.top, box.width, box.height);
      }
    }
    for (const frame of stage.root.querySelectorAll(".control-frame")) {
      if (seen(frame)) {
        const box = frame.getBoundingClientRect();
        ctx.fillStyle = colours.panel;
        ctx.strokeStyle = colours.line;
        ctx.lineWidth = 1;
        S.roundRect(ctx, box.left + 0.5, box.top + 0.5, box.width - 1, box.height - 1, 10);
        ctx.fill();
        ctx.stroke();
      }
    }
    for (const node of stage.root.querySelectorAll(TEXTS)) {
      if (seen(node) && node.textContent) {
        drawText(ctx, node);
      }
    }
    for (const select of stage.root.querySelectorAll(".control-select")) {
      if (seen(select)) {
        drawText(ctx, select, select.selectedOptions[0]?.textContent ?? "");
      }
    }
    drawText(ctx, document.getElementById("stage-time"), S.timeText(stage.clock.now));
    ctx.letterSpacing = "0px";
    ctx.font = S.chartFont(12, 500);
    ctx.fillStyle = colours.ink2;
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    ctx.fillText(S.fitText(ctx, `${S.factsOf(stage.runs.map((run) => run.header.scenario)).join(" · ")} · ${S.linkNow(stage).url}`, width - 32), 16, height + FOOTER / 2);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  };
})();
