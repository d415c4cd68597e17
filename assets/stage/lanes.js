// The timeline of the expert view: one axis for lanes, ioctl thread and charts, drawn up to now.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const WORDS = { fault: "stalled", lock: "waiting for mmu_lock", away: "blocked", slow: "slower writes", run: "running" };
  const TONES = { fault: "stall", lock: "stall", away: "stall", slow: "run", run: "run" };
  const PARTS = {
    split: "splits", pre_split: "splits ahead", split_restless: "splits", write_protect: "write-protects",
    clear_dirty: "clears dirty bits", get: "reads the bitmap", clear: "clears", arm: "write-protects", reset: "resets",
    collapse_tables: "recovers", collapse_leaves: "recovers", none: "",
  };
  const CHARTS = [
    { name: "Stall", per: " per vCPU", colour: "stall", of: (run, ps) => run.stallPs(ps), units: () => S.TIME_UNITS },
    { name: "Page tables", per: "", colour: "map", of: (run, ps) => run.tablesAdded(ps), units: () => S.SIZE_UNITS, binary: true },
  ];
  S.IOCTL_PARTS = PARTS;
  S.LANE_WORDS = WORDS;

  class Lanes {
    constructor(canvas, runs) {
      this.canvas = canvas;
      this.ctx = canvas.getContext("2d");
      this.runs = runs;
      this.shares = runs.map((run) => new S.LaneShares(run));
      this.parts = runs.map(S.ioctlParts);
      this.windowAt = S.axisWindow(runs);
      this.lines = CHARTS.map(({ of }) => runs.map((run) => S.lineOf(run, of)));
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
      this.rows = S.layLanes({ ...this, narrow: this.width < 700 });
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

    // What lies under a point: {run, lane} or {run, part}, with the time there; null outside of all lanes.
    hit(x, y) {
      const { left, right, runs } = this.rows;
      if (x < left || x > right) {
        return null;
      }
      for (const [run, { lanes, ioctl }] of runs.entries()) {
        const lane = lanes.findIndex((each) => y >= each.y && y < each.y + each.height + 1);
        if (lane >= 0) {
          return { run, lane, ps: this.psAt(x) };
        }
        if (y >= ioctl.y && y < ioctl.y + ioctl.height) {
          const ps = this.psAt(x);
          const part = this.parts[run].find((each) => ps >= each.startPs && ps < each.endPs) || null;
          return { run, lane: null, part, ps };
        }
      }
      return null;
    }

    draw(ps) {
      if (this.width < 100 || this.height < 40) {
        return;
      }
      const { from, to } = this.windowAt(ps);
      if (this.seen !== `${from} ${to}`) {
        this.seen = `${from} ${to}`;
        Object.assign(this, { from, to });
        this.paintLayer();
      }
      const { ctx, dpr, canvas, rows } = this;
      const cut = Math.max(rows.left, Math.min(rows.right, this.xAt(ps)));
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.drawAxis();
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      const x = Math.round(cut * dpr);
      ctx.drawImage(this.layer, 0, 0, x, canvas.height, 0, 0, x, canvas.height);
      ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
      this.drawTracks(cut);
      this.drawNames();
      this.drawCalls(ps, cut);
      this.drawCharts(ps, cut);
      this.drawPlayhead(ps, cut);
      this.drawReadouts(ps);
    }

    // Lanes and ioctl parts of the whole window: what is to come is cut off when it is put on the canvas.
    paintLayer() {
      const { rows, dpr } = this;
      const ctx = this.layer.getContext("2d");
      const columns = Math.max(1, Math.round((rows.right - rows.left) * dpr));
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.layer.width, this.layer.height);
      this.runs.forEach((run, at) => {
        rows.runs[at].lanes.forEach(({ y, height }, lane) => {
          const image = ctx.createImageData(columns, Math.max(1, Math.round(height * dpr)));
          const perPixel = (this.to - this.from) / columns;
          const how = { from: this.from, perPixel, endPs: run.endPs, colours: this.laneColours };
          S.paintLane(image, this.shares[at], lane, how);
          ctx.putImageData(image, Math.round(rows.left * dpr), Math.round(y * dpr));
        });
      });
    }

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

    drawAxis() {
      const { ctx, rows, colours, px } = this;
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
        ctx.fillText(said, Math.min(x, this.width - half), px / 2 + 1);
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
        ctx.beginPath();
        ctx.moveTo(1.5, top);
        ctx.lineTo(1.5, bottom);
        ctx.stroke();
        ctx.setLineDash([]);
        ctx.fillStyle = colours.ink;
        ctx.font = S.chartFont(px, 700);
        const room = rows.left - 12;
        ctx.fillText(S.fitText(ctx, run.label, room), 8, lanes[0].y + px / 2 + 1);
        ctx.font = S.chartFont(px, 500);
        ctx.fillStyle = colours.ink2;
        const high = ioctl.y - lanes[0].y;
        if (high > 2 * px + 4 && this.width >= 700) {
          ctx.fillText(S.fitText(ctx, this.lanesName(at), room), 8, lanes[0].y + 1.5 * px + 4);
        }
        ctx.fillText(this.width < 700 ? "ioctl" : "ioctl thread", 8, ioctl.y + ioctl.height / 2 + 1);
      });
    }

    lanesName(at) {
      const { groups } = this.shares[at];
      const { vcpus } = this.runs[at];
      const each = groups[0][1] - groups[0][0];
      return each > 1 ? `${each} vCPUs a lane` : vcpus > 1 ? `vCPU 0 to ${vcpus - 1}` : "vCPU 0";
    }

    drawCalls(ps, cut) {
      const { ctx, rows, colours, px } = this;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      this.parts.forEach((parts, at) => {
        const { y, height } = rows.runs[at].ioctl;
        for (const part of parts) {
          if (part.startPs > ps || part.endPs < this.from || part.startPs > this.to) {
            continue;
          }
          const x = Math.max(rows.left, this.xAt(part.startPs));
          const end = Math.min(cut, Math.max(x + 3, this.xAt(part.endPs)));
          ctx.fillStyle = colours.ioctl;
          ctx.fillRect(x, y, Math.max(2, end - x), height);
          ctx.fillStyle = colours.ground;
          if (part.startPs > part.call.startPs) {
            ctx.fillRect(x - 0.75, y, 1.5, height);
          }
          const words = [`${PARTS[part.walk]} ${S.timeText(Math.min(ps, part.endPs) - part.startPs)}`, PARTS[part.walk]];
          ctx.font = S.chartFont(px, 650);
          const fits = PARTS[part.walk] && words.find((text) => ctx.measureText(text).width < end - x - 8);
          if (fits) {
            ctx.fillText(fits, x + 4, y + height / 2 + 1);
          }
        }
        this.drawCallEnd(ps, cut, at);
      });
    }

    // The last call that began, by name and length, to the right of its bar.
    drawCallEnd(ps, cut, at) {
      const run = this.runs[at];
      const call = run.calls[run.callsBegun(ps) - 1];
      const { ctx, rows, colours, px } = this;
      if (!call || call.endPs < this.from) {
        return;
      }
      const { y, height } = rows.runs[at].ioctl;
      const end = Math.min(cut, this.xAt(call.endPs));
      const text = `${call.kind} ${S.timeText(Math.min(ps, call.endPs) - call.startPs)}`;
      ctx.font = S.chartFont(px, 650);
      ctx.fillStyle = colours.ioctl;
      const wide = ctx.measureText(text).width;
      let x = end + 6;
      if (x < cut + 4 && x + wide > cut - 4) {
        x = cut + 6;
      }
      if (x + wide < rows.right) {
        ctx.fillText(text, x, y + height / 2 + 1);
      }
    }

    drawCharts(ps, cut) {
      const { ctx, rows, colours, px } = this;
      rows.charts.forEach(({ y, height }, at) => {
        const { name, per, colour, units, of } = CHARTS[at];
        const lines = this.lines[at];
        const most = Math.max(...lines.map((line) => S.lineAt(line, line.most, this.to))) * 1.1 || 1;
        const unit = S.axisUnit(most, units());
        const yAt = (value) => y + height - (height * value) / most;
        ctx.textAlign = "left";
        ctx.font = S.chartFont(px, 700);
        ctx.fillStyle = colours[colour];
        ctx.fillText(name, 8, y + px / 2 + 1);
        ctx.font = S.chartFont(px, 500);
        ctx.fillStyle = colours.ink2;
        ctx.fillText(unit[0] + per, 8, y + 1.5 * px + 4);
        ctx.textAlign = "right";
        for (const tick of S.ticks(0, most, most / (height < 60 ? 1.6 : 2.6), unit, CHARTS[at].binary)) {
          ctx.fillStyle = colours.hair;
          ctx.fillRect(rows.left, Math.round(yAt(tick.at)), rows.right - rows.left, 1);
          ctx.fillStyle = colours.ink2;
          ctx.fillText(tick.text, rows.left - 5, Math.max(y + px / 2, yAt(tick.at)));
        }
        this.runs.forEach((run, index) => this.drawLine(lines[index], yAt, { cut, colour, index, ps, of, run, unit, y, height }));
      });
    }

    drawLine(line, yAt, { cut, colour, index, ps, of, run, unit, y, height }) {
      const { ctx, rows, colours, px } = this;
      const now = of(run, Math.min(ps, run.endPs));
      ctx.strokeStyle = colours[colour];
      ctx.lineWidth = 2.5;
      ctx.setLineDash(S.lineDash(index));
      ctx.beginPath();
      for (let i = 0; i < line.ts.length && line.ts[i] < ps; i += 1) {
        if (i + 1 >= line.ts.length || line.ts[i + 1] >= this.from) {
          ctx.lineTo(Math.max(rows.left, this.xAt(line.ts[i])), yAt(line.vs[i]));
        }
      }
      ctx.lineTo(cut, yAt(S.lineAt(line, line.vs, ps)));
      ctx.stroke();
      ctx.setLineDash([]);
      S.drawEndDot(ctx, index, cut, yAt(S.lineAt(line, line.vs, ps)), 3.5, colours[colour], colours.ground);
      const row = y + Math.min(height / this.runs.length, px + 8) * (index + 0.5);
      ctx.textAlign = "left";
      ctx.font = S.chartFont(px + 2, 700);
      ctx.strokeStyle = ctx.fillStyle = colours[colour];
      ctx.lineWidth = 2.5;
      ctx.setLineDash(S.lineDash(index).map((each) => each / 2));
      ctx.beginPath();
      ctx.moveTo(rows.right + 12, row);
      ctx.lineTo(rows.right + 30, row);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.fillText(S.said(S.partsIn(now, unit)), rows.right + 36, row + 1);
    }

    drawPlayhead(ps, cut) {
      const { ctx, rows, colours, px } = this;
      ctx.fillStyle = colours.ink;
      ctx.fillRect(cut - 1, rows.axis.height - 2, 2, this.height - rows.axis.height);
      const text = S.timeText(ps);
      ctx.font = S.chartFont(px, 700);
      const half = ctx.measureText(text).width / 2 + 6;
      const x = Math.max(rows.left + half, Math.min(rows.right - half, cut));
      ctx.beginPath();
      ctx.roundRect(x - half, 0, 2 * half, px + 5, 4);
      ctx.fill();
      ctx.fillStyle = colours.ground;
      ctx.textAlign = "center";
      ctx.fillText(text, x, px / 2 + 2);
      ctx.textAlign = "left";
    }

    // The lanes' legend: a swatch, a figure and a word for each part of the vCPUs' time now.
    drawReadouts(ps) {
      const { ctx, rows, px, width } = this;
      if (width - rows.right < 60) {
        return;
      }
      this.runs.forEach((run, at) => {
        const { top, bottom } = rows.runs[at];
        const parts = S.wholePercents(this.shares[at].now(Math.min(ps, run.endPs - 1)));
        const shown = S.LANE_PARTS.map((name, part) => ({ name, percent: parts[part] })).filter(({ percent }) => percent);
        const pitch = Math.min(px + 5, (bottom - top) / Math.max(shown.length, 1));
        shown.forEach(({ name, percent }, row) => {
          const y = top + (row + 0.5) * pitch;
          ctx.fillStyle = `rgb(${this.laneColours[name].join(",")})`;
          ctx.fillRect(rows.right + 12, y - 4, 9, 9);
          ctx.fillStyle = this.colours.ink;
          ctx.font = S.chartFont(Math.min(px + 1, pitch), 700);
          ctx.textAlign = "right";
          ctx.fillText(`${percent} %`, rows.right + 26 + 3.4 * px, y + 1);
          ctx.textAlign = "left";
          ctx.font = S.chartFont(Math.min(px, pitch), 500);
          ctx.fillText(S.fitText(ctx, WORDS[name], width - rows.right - 33 - 3.4 * px), rows.right + 32 + 3.4 * px, y + 1);
        });
      });
    }
  }

  S.Lanes = Lanes;
  S.LANE_TONES = TONES;
})();
