// The timeline of the expert view: one axis for lanes, ioctl thread, charts and calls, drawn up to now.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const STRIP = 64;

  // The words of a text in lines of at most `room` px.
  function wrappedText(ctx, text, room) {
    const lines = [];
    for (const word of text.split(" ")) {
      const longer = `${lines.at(-1)} ${word}`;
      if (lines.length > 0 && ctx.measureText(longer).width <= room) {
        lines[lines.length - 1] = longer;
      } else {
        lines.push(word);
      }
    }
    return lines;
  }

  class Lanes {
    constructor(canvas, runs) {
      this.canvas = canvas;
      this.ctx = canvas.getContext("2d");
      this.runs = runs;
      this.shares = runs.map((run) => new S.LaneShares(run));
      this.parts = runs.map(S.ioctlParts);
      this.windowAt = S.axisWindow(runs);
      this.lines = S.laneChartLines(runs);
      this.layer = document.createElement("canvas");
      this.resize();
    }

    resize() {
      const { canvas } = this;
      this.dpr = window.devicePixelRatio || 1;
      this.width = canvas.clientWidth;
      this.height = canvas.clientHeight;
      for (const each of [canvas, this.layer]) {
        each.width = Math.max(1, Math.round(this.width * this.dpr));
        each.height = Math.max(1, Math.round(this.height * this.dpr));
      }
      const scale = Number(getComputedStyle(canvas).getPropertyValue("--k")) || 1;
      this.px = document.body.classList.contains("presenter") ? 16 : Math.round(12 * scale);
      this.colours = S.tokens();
      this.laneColours = S.laneColours(this.colours);
      this.narrow = S.isNarrow(this.width);
      this.rows = S.layLanes(this);
      this.makeLayer();
      this.seen = null;
    }

    xAt(ps) {
      const { left, right } = this.rows;
      return left + ((right - left) * (ps - this.from)) / (this.to - this.from);
    }

    psAt(x) {
      const { left, right } = this.rows;
      const share = Math.max(0, Math.min(1, (x - left) / (right - left)));
      return this.from + share * (this.to - this.from);
    }

    // The part under a point: {run, lane}, {run, part}, {calls: true} or none of these, with the time; null outside the
    // plot.
    hit(x, y) {
      const { left, right, runs, calls } = this.rows;
      if (x < left || x > right) {
        return null;
      }
      const ps = this.psAt(x);
      for (const [run, { lanes, ioctl }] of runs.entries()) {
        const lane = lanes.findIndex((each) => y >= each.y && y < each.y + each.height + 1);
        if (lane >= 0) {
          return { run, lane, ps };
        }
        if (y >= ioctl.y && y < ioctl.y + ioctl.height) {
          const part = this.parts[run].find((each) => ps >= each.startPs && ps < each.endPs) || null;
          return { run, lane: null, part, ps };
        }
      }
      return calls && y >= calls.y && y < calls.y + calls.height ? { calls: true, ps } : { ps };
    }

    draw(ps) {
      if (this.width < 100 || this.height < 40) {
        return;
      }
      const { from, to } = this.windowAt(ps);
      if (this.seen !== `${from} ${to}`) {
        this.seen = `${from} ${to}`;
        Object.assign(this, { from, to, painted: 0, rowLabels: null });
      }
      const { ctx, dpr, canvas, rows } = this;
      const cut = Math.max(rows.left, Math.min(rows.right, this.xAt(ps)));
      const x = Math.round(cut * dpr);
      this.paintUpTo(x);
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      ctx.clearRect(0, 0, this.width, this.height);
      this.drawAxis(ps, cut);
      this.drawTracks(cut);
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.drawImage(this.layer, 0, 0, x, canvas.height, 0, 0, x, canvas.height);
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.drawEnable(cut);
      this.drawNames();
      S.drawLaneCalls(this, ps, cut);
      S.drawLaneCharts(this, ps, cut);
      this.drawPlayhead(ps, cut);
      S.drawLaneReadouts(this, ps);
    }

    // ---- the layer of lanes

    makeLayer() {
      const { rows, dpr } = this;
      this.x0 = Math.round(rows.left * dpr);
      this.columns = Math.max(1, Math.round((rows.right - rows.left) * dpr));
      this.top = Math.round(rows.axis.height * dpr);
      const high = Math.max(1, Math.round(rows.bottom * dpr) - this.top);
      this.image = this.layer.getContext("2d").createImageData(this.columns, high);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.pixelColours = Object.fromEntries(
        Object.entries(this.laneColours).map(([name, colour]) => [name, S.pixelOf(colour)]));
    }

    // While the axis is fixed, columns are painted in strips ahead of the playhead, and painted columns are kept.
    paintUpTo(x) {
      const wanted = x - this.x0;
      const first = this.painted;
      if (wanted <= first) {
        return;
      }
      const end = Math.min(this.columns, wanted + (first ? STRIP : 0));
      const { rows, dpr, from, columns } = this;
      const perPixel = (this.to - from) / columns;
      this.shares.forEach((shares, at) => rows.runs[at].lanes.forEach(({ y, height }, lane) => {
        const top = Math.round(y * dpr) - this.top;
        const high = Math.max(1, Math.round(height * dpr));
        const where = { shares, lane, top, height: high, first, end, from, perPixel, colours: this.pixelColours };
        S.paintLane(this.pixels, columns, where);
      }));
      const ctx = this.layer.getContext("2d");
      ctx.putImageData(this.image, this.x0, this.top, first, 0, end - first, this.image.height);
      this.painted = end;
    }

    // ---- drawn in each frame

    drawTracks(cut) {
      const { ctx, rows, colours } = this;
      ctx.fillStyle = colours.hair;
      for (const { lanes, ioctl } of rows.runs) {
        for (const { y, height } of lanes) {
          ctx.fillRect(cut, y, rows.right - cut, height);
        }
        ctx.fillRect(rows.left, ioctl.y, rows.right - rows.left, ioctl.height);
      }
    }

    drawAxis(ps, cut) {
      const { ctx, rows, colours, px } = this;
      const chip = this.chipOf(S.timeText(ps), cut);
      const unit = S.axisUnit(this.to, S.TIME_UNITS);
      const apart = (80 * (this.to - this.from)) / (rows.right - rows.left);
      ctx.font = S.chartFont(px, 500);
      ctx.textBaseline = "middle";
      ctx.textAlign = "center";
      const ticks = S.ticks(this.from, this.to, apart, unit, false);
      ticks.forEach(({ at, text }, index) => {
        const x = this.xAt(at);
        ctx.fillStyle = colours.hair;
        ctx.fillRect(Math.round(x), rows.axis.height, 1, this.height - rows.axis.height);
        ctx.fillStyle = colours.ink2;
        const said = index === ticks.length - 1 ? `${text} ${unit[0]}` : text;
        const half = ctx.measureText(said).width / 2;
        const centre = Math.min(x, this.width - half);
        // Avoids the playhead's own time.
        if (Math.abs(centre - chip.x) > half + chip.half) {
          ctx.fillText(said, centre, px / 2 + 1);
        }
      });
    }

    drawNames() {
      const { ctx, rows, colours, px } = this;
      ctx.textAlign = "left";
      this.runs.forEach((run, at) => {
        const { top, bottom, lanes, ioctl } = rows.runs[at];
        ctx.strokeStyle = colours.ink;
        ctx.lineWidth = 3;
        ctx.setLineDash(S.lineDash(at).map((each) => each / 2));
        ctx.lineCap = at % 4 > 1 ? "round" : "butt";
        ctx.beginPath();
        ctx.moveTo(1.5, top + 1.5);
        ctx.lineTo(1.5, bottom - 1.5);
        ctx.stroke();
        ctx.setLineDash([]);
        ctx.lineCap = "butt";
        ctx.fillStyle = colours.ink;
        ctx.font = S.chartFont(this.narrow && this.runs.length > 2 ? px - 2 : px, 700);
        const room = rows.left - 12;
        const end = this.drawName(run.label, room, lanes[0].y + px / 2 + 1, { lanes: ioctl.y, run: bottom });
        ctx.font = S.chartFont(px, 500);
        ctx.fillStyle = colours.ink2;
        const high = ioctl.y - lanes[0].y;
        if (high > 2 * px + 4 && !this.narrow) {
          ctx.fillText(S.fitText(ctx, this.lanesName(at), room), 8, lanes[0].y + 1.5 * px + 4);
        }
        if (end <= ioctl.y) {
          ctx.fillText(this.narrow ? "ioctl" : "ioctl thread", 8, ioctl.y + ioctl.height / 2 + 1);
        }
      });
    }

    // The name of a run, on a phone in as many lines as it needs: beside its lanes, or also beside the ioctl thread, which
    // is not named then. Returns the end of its last line.
    drawName(label, room, y, { lanes, run }) {
      const { ctx, px } = this;
      const wrapped = this.narrow ? wrappedText(ctx, label, room) : [label];
      const fits = (bottom) => y + (wrapped.length - 0.5) * px <= bottom + 1;
      const lines = fits(lanes) || fits(run) ? wrapped : [label];
      lines.forEach((text, line) => ctx.fillText(S.fitText(ctx, text, room), 8, y + line * px));
      return fits(lanes) ? lanes : y + (lines.length - 0.5) * px;
    }

    lanesName(at) {
      const { groups } = this.shares[at];
      const { vcpus } = this.runs[at];
      const each = groups[0][1] - groups[0][0];
      return each > 1 ? `${each} vCPUs a lane` : vcpus > 1 ? `vCPU 0 to ${vcpus - 1}` : "vCPU 0";
    }

    // The times at which the runs enabled logging.
    drawEnable(cut) {
      const { ctx, rows, colours } = this;
      ctx.strokeStyle = colours.ink2;
      ctx.lineWidth = 1;
      ctx.setLineDash([2, 3]);
      this.runs.forEach(({ enablePs }, at) => {
        const x = enablePs === null ? -1 : Math.round(this.xAt(enablePs)) + 0.5;
        if (x > rows.left && x <= cut) {
          ctx.beginPath();
          ctx.moveTo(x, rows.runs[at].top);
          ctx.lineTo(x, rows.runs[at].ioctl.y);
          ctx.stroke();
        }
      });
      ctx.setLineDash([]);
    }

    // The position of the time above the playhead: its middle, and half its width.
    chipOf(text, cut) {
      const { ctx, rows, px } = this;
      ctx.font = S.chartFont(px, 700);
      const half = ctx.measureText(text).width / 2 + 6;
      return { half, x: Math.max(rows.left + half, Math.min(rows.right - half, cut)) };
    }

    drawPlayhead(ps, cut) {
      const { ctx, rows, colours, px } = this;
      ctx.fillStyle = colours.ink;
      ctx.fillRect(cut - 1, rows.axis.height - 2, 2, this.height - rows.axis.height);
      const text = S.timeText(ps);
      const { half, x } = this.chipOf(text, cut);
      ctx.beginPath();
      ctx.roundRect(x - half, 0, 2 * half, px + 5, 4);
      ctx.fill();
      ctx.fillStyle = colours.ground;
      ctx.textAlign = "center";
      ctx.fillText(text, x, px / 2 + 2);
      ctx.textAlign = "left";
    }
  }

  S.Lanes = Lanes;
})();
