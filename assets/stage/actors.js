// The actors on a map, drawn at the pages that they access: a head for each vCPU, a bar for the thread that calls ioctls.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MOST_HEADS = 8; // more vCPUs are drawn as smaller marks
  const [RUNS, SLOW, STOPS, IDLE] = ["runs", "slower", "stopped", "idle"];
  const FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif';
  // Text of the ioctl thread's flag, long and short, by the kind of its walk.
  const WALKS = {
    split: ["ioctl splits", "ioctl splits"],
    pre_split: ["ioctl splits ahead", "ioctl splits"],
    split_non_converging: ["ioctl splits", "ioctl splits"],
    write_protect: ["ioctl write-protects", "ioctl protects"],
    clear_dirty: ["ioctl clears dirty bits", "ioctl clears"],
    get: ["GET reads the dirty bitmap", "GET"],
    clear: ["CLEAR_DIRTY_LOG", "CLEAR"],
    arm: ["ioctl write-protects", "ioctl protects"],
    reset: ["ioctl resets the rings", "ioctl resets"],
    collapse: ["ioctl recovers huge pages", "ioctl recovers"],
    collapse_tables: ["ioctl recovers huge pages", "ioctl recovers"],
    collapse_leaves: ["ioctl recovers huge pages", "ioctl recovers"],
  };

  S.fontOf = (px, weight) => `${weight} ${px}px ${FONT}`;

  const widths = new Map();
  S.textWidth = function (ctx, font, text) {
    const key = `${font}|${text}`;
    if (!widths.has(key)) {
      if (widths.size > 2000) {
        widths.clear();
      }
      ctx.font = font;
      widths.set(key, ctx.measureText(text).width);
    }
    return widths.get(key);
  };

  // The actors of a map.
  S.Actors = class {
    constructor(pane) {
      this.pane = pane;
      this.states = new S.VcpuStates(pane.run);
    }

    resize() {
      const { layout, run, presenter } = this.pane;
      const { em: css, ink: dpr, rows, pitch, tracks } = layout;
      const high = rows * pitch;
      const px = presenter ? 16 : css >= 12 ? 16 : css >= 8 ? 13 : 12;
      this.pillFont = S.fontOf(px * dpr, 650);
      this.pillHeight = (px + 7) * dpr;
      this.folded = run.vcpus > MOST_HEADS;
      const each = Math.ceil(run.vcpus / tracks.length);
      const wide = Math.max(...tracks.map(({ width }) => width));
      const least = (this.folded ? 7 : 22) * dpr;
      const wanted = this.folded ? Math.ceil((each * 13 * dpr) / wide) + (run.ram && run.ram.sweeps ? 0 : 2) : each;
      this.lanes = Math.max(1, Math.min(wanted, Math.floor(high / least)));
      this.lane = high / this.lanes;
      // In presenter type numbers have at least 16 px, if the lane is high enough.
      const most = this.folded ? 5 * dpr : Math.max(presenter ? 14 * this.pane.dpr : 10 * dpr, Math.min(16 * dpr, pitch * 1.25));
      this.radius = Math.min(most, Math.max((this.folded ? 2.5 : 8) * dpr, this.lane / 2 - dpr));
      this.withPills = !this.folded && (this.lanes === 1 || this.lane >= this.pillHeight);
      this.withText = css >= 8 || presenter;
    }

    // The positions of all actors at a time.
    seek(ps) {
      const { run } = this.pane;
      const states = this.states.at(ps);
      this.heads = [];
      for (let vcpu = 0; vcpu < run.vcpus; vcpu++) {
        const spot = this.pane.spotOf(run.vcpuGfn(ps, vcpu));
        if (spot) {
          // vCPUs with private ranges follow each other in a track, so neighbours get different lanes.
          const top = spot.track.y + (vcpu % this.lanes) * this.lane;
          this.heads.push({ vcpu, ...states[vcpu], ...spot, top });
        }
      }
      const walk = run.walkAt(ps);
      const spot = walk && walk.kind !== "none" ? this.pane.spotOf(walk.gfn) : null;
      this.walker = spot ? { kind: walk.kind, ...spot } : null;
      this.placePills();
      return this;
    }

    placePills() {
      const { layout, ctx } = this.pane;
      for (const head of this.heads) {
        const wanted = this.withPills && (head.state === STOPS || head.state === IDLE || (head.state === SLOW && this.withText));
        head.pill = wanted ? S.textWidth(ctx, this.pillFont, head.text) + 14 * layout.ink : 0;
        head.right = head.x < head.track.x + head.track.width * (layout.em >= 8 ? 0.78 : 0.6);
      }
      if (this.walker) {
        this.placeFlag();
      }
      this.clearPills();
    }

    // A reason is drawn where it covers no other vCPU, reason or flag; else it is left out.
    clearPills() {
      const { walker, heads, radius } = this;
      const { width } = this.pane.canvas;
      const { ink: dpr } = this.pane.layout;
      const tokens = heads.map((head) => ({ head, track: head.track, middle: head.top + this.lane / 2, from: head.x - radius, to: head.x + radius }));
      const taken = [...tokens];
      if (walker) {
        const [from, to] = walker.side > 0 ? [walker.x, walker.x + walker.width + 6 * dpr] : [walker.x - walker.width - 6 * dpr, walker.x];
        taken.push({ track: walker.track, middle: walker.track.y + this.flagMiddle(), from, to });
      }
      tokens.filter(({ head }) => head.pill).forEach(({ head, track, middle }) => {
        const meets = (from, to) => taken.some((each) =>
          each.head !== head && each.track === track && Math.abs(each.middle - middle) < this.pillHeight && each.from < to && each.to > from);
        const sides = [head.right, !head.right].map((right) => {
          const [from, to] = right ? [head.x + radius, head.x + radius + head.pill + 5 * dpr] : [head.x - radius - head.pill - 5 * dpr, head.x - radius];
          return { right, from, to };
        });
        const inside = ({ right, from, to }) => right === head.right ? from >= 0 && to <= width : from >= track.x && to <= track.x + track.width;
        const side = sides.find((each) => inside(each) && !meets(each.from, each.to));
        if (side) {
          head.right = side.right;
          taken.push({ track, middle, from: side.from, to: side.to });
        } else {
          head.pill = 0;
        }
      });
    }

    // The flag is on the side where it fits and touches no vCPU; else its text is only "ioctl".
    placeFlag() {
      const { walker } = this;
      const { layout, ctx } = this.pane;
      const { ink: dpr } = layout;
      const texts = WALKS[walker.kind] || [`ioctl: ${walker.kind}`, "ioctl"];
      let text = texts[layout.em < 8 ? 1 : 0];
      const place = () => {
        const width = S.textWidth(ctx, this.pillFont, text) + 14 * dpr;
        const costs = [1, -1].map((side) => this.flagCost(side, width + 8 * dpr));
        Object.assign(walker, { text, width, side: costs[0] <= costs[1] ? 1 : -1 });
        return Math.min(...costs);
      };
      if (place() > 1) {
        text = "ioctl";
        walker.bare = place() > 1; // only the bar, if even that does not fit
      }
    }

    flagCost(side, width) {
      const { walker, heads } = this;
      const [a, b] = side > 0 ? [walker.x, walker.x + width] : [walker.x - width, walker.x];
      const outside = a < walker.track.x || b > walker.track.x + walker.track.width;
      const bottom = walker.track.y + this.flagMiddle() + this.pillHeight / 2;
      const meets = this.folded ? false : heads.some((head) => {
        const reach = this.radius + 3 * this.pane.layout.ink;
        const [left, right] = [head.x - reach, head.x + reach];
        return head.track === walker.track && head.top < bottom && right > a && left < b;
      });
      return (outside ? 4 : 0) + (meets ? 2 : 0) + (side < 0 ? 1 : 0);
    }

    flagMiddle() {
      return (this.pane.presenter ? 12 : this.pane.layout.em >= 8 ? 11 : 8) * this.pane.layout.ink;
    }

    extentOf(head) {
      const { ink: dpr } = this.pane.layout;
      const own = this.radius * 1.3 + 4 * dpr;
      const pill = head.pill ? head.pill + 5 * dpr : 0;
      return [head.x - own - (head.right ? 0 : pill), head.x + own + (head.right ? pill : 0)];
    }

    // Intervals of x that actors cover between two heights of a track; names avoid them.
    zonesOf(track, top, bottom) {
      const { ink: dpr } = this.pane.layout;
      const near = (head) => head.track === track && head.top < bottom && head.top + this.lane > top;
      const zones = this.folded ? [] : this.heads.filter(near).map((head) => this.extentOf(head));
      const { walker } = this;
      if (walker && walker.track === track) {
        const flag = walker.width + 12 * dpr;
        const wake = 9 * this.pane.layout.pitch;
        zones.push([walker.x - Math.max(wake, walker.side < 0 ? flag : 0), walker.x + (walker.side > 0 ? flag : 12 * dpr)]);
      }
      return zones;
    }

    // The name of a state's colour, and the colour.
    tone(state) {
      return { [STOPS]: "stall", [IDLE]: "ink2" }[state] ?? "run";
    }

    colour(state) {
      return this.pane.tokens[this.tone(state)];
    }

    // Adds all actors to the stamps of a drawing.
    draw() {
      const { stamps } = this.pane;
      if (this.folded) {
        stamps.add(null, () => S.drawMarks(this)); // the thread's flag on top, or the bars of many vCPUs would cross it
      }
      if (this.walker) {
        this.placeWalker();
      }
      if (this.folded) {
        return;
      }
      this.heads.forEach((head) => this.placeTrail(head));
      this.heads.forEach((head) => this.placeHead(head));
    }

    placeWalker() {
      const { layout, stamps, still } = this.pane;
      const { ink: dpr, pitch } = layout;
      const { x, track, side, text, width, bare } = this.walker;
      const over = 4 * dpr;
      const long = still ? 0 : Math.round(9 * pitch);
      const wake = Math.max(0, Math.min(Math.round(x - track.x), long));
      const paint = (ctx) => this.paintWalker(ctx, wake, track.height, over);
      if (wake === long) {
        const box = { left: -Math.max(wake, 4 * dpr), right: 4 * dpr, top: -over, bottom: track.height + over };
        stamps.place(`walker|${track.height}`, x, track.y, box, paint);
      } else {
        stamps.placeOnce("walker", x, track.y, paint);
      }
      if (!bare) {
        this.placePill(x + side * 6 * dpr, track.y + this.flagMiddle(), text, width, side, "ioctl", false);
      }
    }

    // A bar at the walk's exact position, with a fading wake behind it.
    paintWalker(ctx, wake, height, over) {
      const { layout: { ink: dpr }, tokens } = this.pane;
      if (wake > 0) {
        const fade = ctx.createLinearGradient(-wake, 0, 0, 0);
        fade.addColorStop(0, `${tokens.ioctl}00`);
        fade.addColorStop(1, tokens.ioctl);
        ctx.globalAlpha = 0.5;
        ctx.fillStyle = fade;
        ctx.fillRect(-wake, 0, wake, height - dpr);
        ctx.globalAlpha = 1;
      }
      ctx.fillStyle = tokens.ground;
      ctx.fillRect(-3.5 * dpr, -over, 7 * dpr, height + 2 * over - dpr);
      ctx.fillStyle = tokens.ioctl;
      ctx.fillRect(-2.5 * dpr, -over, 5 * dpr, height + 2 * over - dpr);
    }

    // `tone` is the name of a colour.
    placePill(x, y, text, width, side, tone, hollow) {
      const high = this.pillHeight / 2 + 1;
      const box = { left: -1, right: width + 1, top: -high, bottom: high };
      const key = `pill|${text}|${tone}|${hollow}|${width}`;
      this.pane.stamps.place(key, side < 0 ? x - width : x, y, box, (ctx) => this.paintPill(ctx, text, width, tone, hollow));
    }

    paintPill(ctx, text, width, tone, hollow) {
      const { layout, tokens } = this.pane;
      ctx.fillStyle = hollow ? tokens.plate : tokens[tone];
      S.roundRect(ctx, 0, -this.pillHeight / 2, width, this.pillHeight, this.pillHeight / 2);
      ctx.fill();
      ctx.font = this.pillFont;
      ctx.fillStyle = hollow ? tokens[tone] : tokens.on;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.fillText(text, 7 * layout.ink, layout.ink / 2);
    }

    placeTrail({ state, x, track, top }) {
      const { layout: { ink: dpr, pitch }, still, stamps } = this.pane;
      const moves = !still && (state === RUNS || state === SLOW);
      const long = moves ? (state === RUNS ? 7.2 : 3.1) * Math.max(pitch, 6 * dpr) : 0;
      const seen = Math.max(0, Math.min(long, Math.round(x - track.x)));
      const paint = (ctx, part) => this.paintTrail(ctx, state, long, seen, part);
      if (seen === long) {
        const box = { left: -Math.max(seen, 3 * dpr), right: 3 * dpr, top: 0, bottom: this.lane };
        stamps.place(`trail|${state}`, x, top, box, paint);
      } else {
        stamps.placeOnce(`trail|${state}`, x, top, paint);
      }
    }

    // Streaks behind a running vCPU, and a bar at its position. `seen` is the part of the streaks inside the track.
    paintTrail(ctx, state, long, seen, part) {
      const { layout: { ink: dpr, pitch }, tokens } = this.pane;
      const colour = this.colour(state);
      const high = this.lane - (this.lanes === 1 ? dpr : 0);
      if (seen > 0) {
        const fade = ctx.createLinearGradient(-seen, 0, 0, 0);
        fade.addColorStop(0, `${colour}00`);
        fade.addColorStop(1, colour);
        ctx.fillStyle = fade;
        ctx.globalAlpha = 0.9;
        const count = this.lanes === 1 ? 5 : 3;
        const thick = Math.max(2 * dpr, Math.min(pitch * 0.3, this.lane / 20 + dpr));
        for (let line = 0; line < count; line++) {
          const begins = Math.max(-seen, -long * (1 - 0.16 * Math.abs(line - (count - 1) / 2)));
          ctx.fillRect(begins, Math.round(part + ((line + 0.5) * this.lane) / count - thick / 2) - part, -begins, thick);
        }
        ctx.globalAlpha = 1;
      }
      ctx.fillStyle = tokens.ground;
      ctx.fillRect(-2.5 * dpr, 0, 5 * dpr, high);
      ctx.fillStyle = colour;
      ctx.fillRect(-1.5 * dpr, 0, 3 * dpr, high);
    }

    placeHead({ vcpu, state, text, x, track, top, pill, right }) {
      const { layout: { ink: dpr }, stamps } = this.pane;
      const { radius } = this;
      const middle = top + this.lane / 2;
      const at = Math.max(track.x + radius, Math.min(track.x + track.width - radius * 1.3, x));
      if (pill) {
        const ahead = state === STOPS || state === IDLE ? radius + 3 * dpr : radius * 1.25 + 5 * dpr;
        this.placePill(at + (right ? ahead : -radius - 3 * dpr), middle, text, pill, right ? 1 : -1, this.tone(state), state === SLOW);
      }
      const reach = radius * 1.3 + 4 * dpr;
      const box = { left: -reach, right: reach, top: -reach, bottom: reach };
      stamps.place(`head|${vcpu}|${state}`, at, middle, box, (ctx) => this.paintHead(ctx, vcpu, state));
    }

    paintHead(ctx, vcpu, state) {
      const { layout: { ink: dpr }, tokens } = this.pane;
      const { radius } = this;
      const colour = this.colour(state);
      S.actorShape(ctx, state, 0, 0, radius);
      ctx.lineJoin = "round";
      ctx.lineWidth = 4 * dpr;
      ctx.strokeStyle = tokens.ground;
      ctx.stroke();
      ctx.fillStyle = state === SLOW ? tokens.ground : colour;
      ctx.fill();
      if (state === SLOW) {
        ctx.lineWidth = 2.5 * dpr;
        ctx.strokeStyle = colour;
        ctx.stroke();
      }
      ctx.font = S.fontOf(radius * 1.15, 800);
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillStyle = state === SLOW ? colour : tokens.on;
      ctx.fillText(vcpu, state === STOPS || state === IDLE ? 0 : -radius * 0.08, dpr);
    }

    // Returns the vCPU whose head is at a point, -1 if there is none.
    hit(x, y) {
      const reach = this.radius + 3 * this.pane.layout.ink;
      const near = (this.heads || []).find(
        (head) => Math.abs(x - head.x) <= reach && Math.abs(y - head.top - this.lane / 2) <= reach,
      );
      return near ? near.vcpu : -1;
    }
  };

  // The outline of a vCPU: an arrow runs, an octagon is stopped, a disc is idle.
  S.actorShape = function (ctx, state, x, y, radius) {
    ctx.beginPath();
    S.addActorShape(ctx, state, x, y, radius);
  };

  S.addActorShape = function (ctx, state, x, y, radius) {
    if (state === STOPS) {
      for (let corner = 0; corner < 8; corner++) {
        const angle = Math.PI / 8 + (corner * Math.PI) / 4;
        ctx[corner ? "lineTo" : "moveTo"](x + Math.cos(angle) * radius, y + Math.sin(angle) * radius);
      }
    } else if (state === IDLE) {
      ctx.moveTo(x + 0.9 * radius, y);
      ctx.arc(x, y, 0.9 * radius, 0, 7);
    } else {
      const high = radius * 0.86;
      ctx.moveTo(x - radius, y - high);
      ctx.lineTo(x + radius * 0.35, y - high);
      ctx.lineTo(x + radius * 1.25, y);
      ctx.lineTo(x + radius * 0.35, y + high);
      ctx.lineTo(x - radius, y + high);
    }
    ctx.closePath();
  };
})();
