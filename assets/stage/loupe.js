// The page-table walk to the current page of an actor: from the 1G entry to the 4K page, in KVM's numbering of levels.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [NONE, K4, M2, P4, P2, P1, COUNT] = [0, 1, 2, 4, 5, 6, 8];
  const WHOLE = 255;
  const PER_TABLE = 512;
  const [WIDTH, HEIGHT] = [236, 146]; // units that everything is drawn in; scaled to the canvas
  const SHORT = 130; // without the line of bits
  const WIDE = 400; // left edge of the text at the right
  const [LEFT, WALK] = [40, 192];
  const ROWS = { L3: [20, 19], L2: [54, 21], L1: [87, 24], tables: [123] }; // top and height
  const FLAT = 104; // with lower rows, without the line of bits
  const FLAT_ROWS = { L3: [18, 16], L2: [40, 18], L1: [64, 24], tables: [97] };
  const FLATTER = 1.1; // as much as it has to be larger with lower rows
  const DOT = 3;
  const GIBS = 4;
  const NEIGHBOURS = 7;
  const COUNTED = 0.2; // the entries of a new table are filled in during this part of the time for which it counts as new

  const counted = new Intl.NumberFormat("en-US");

  // Options: psPerSecond() (speed of play), label() (of its pane), tokens.
  S.Loupe = class {
    constructor(canvas, run, options = {}) {
      Object.assign(this, { canvas, run, options });
      this.ctx = canvas.getContext("2d");
      this.frames = S.cellFrames(run);
      this.states = new S.VcpuStates(run);
      this.format = S.spteFormat(run);
      this.span = run.header.cell_pages;
      this.entries = new S.WalkEntries(run, this.frames);
      this.slots = S.slotsOf(run);
      this.stamps = new S.Stamps(this.ctx);
      this.resize();
    }

    resize() {
      const { canvas } = this;
      const dpr = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight];
      canvas.width = Math.round(width * dpr);
      canvas.height = Math.round(height * dpr);
      // If only the last line does not fit, it is left out, so that the others keep their size.
      const short = height < HEIGHT && height >= SHORT && width >= WIDTH;
      const roomOf = (units) => Math.max(0.1, Math.min(width / WIDTH, height / units));
      const usual = roomOf(short ? SHORT : HEIGHT);
      const flat = roomOf(FLAT) > FLATTER * usual;
      const room = flat ? roomOf(FLAT) : usual;
      this.rows = flat ? FLAT_ROWS : ROWS;
      this.withBits = !(short || flat) || width >= WIDE;
      // Dots are whole pixels, so that the mesh of 512 entries is even.
      this.scale = room * dpr >= 1 ? Math.floor(room * dpr * DOT) / (dpr * DOT) : room;
      this.dpr = dpr;
      this.beside = width / this.scale >= WIDE ? LEFT + WALK + 24 : 0; // where texts begin that are beside the walk
      this.stamps.clear();
      this.tokens = this.options.tokens || S.tokens();
    }

    draw(ps) {
      const { ctx, canvas } = this;
      if (!canvas.width) {
        return;
      }
      this.frames.seek(ps);
      this.freshPs = S.freshPs(this.run, this.options.psPerSecond ? this.options.psPerSecond() : 0);
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, canvas.width, canvas.height);
      const scale = this.scale * this.dpr;
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
      const target = this.targetAt(ps);
      this.drawCaption(target);
      this.drawLevels();
      if (target.cell >= 0) {
        this.drawWalk(target);
      }
      S.drawLoupeTexts(this, ps);
    }

    // Draws at a point in units, on whole device pixels; with a key, what was painted with the same key is copied.
    stamp(key, x, y, width, height, paint) {
      const { ctx } = this;
      const scale = this.scale * this.dpr;
      const [left, top] = [x, y].map((at) => Math.round(at * scale));
      if (key === null) {
        ctx.setTransform(scale, 0, 0, scale, left, top);
        paint(ctx);
      } else {
        const box = { left: 0, top: 0, right: width * scale, bottom: height * scale };
        const { canvas } = this.stamps.of(key, box, (onto) => {
          onto.scale(scale, scale);
          paint(onto);
        });
        ctx.setTransform(1, 0, 0, 1, 0, 0);
        ctx.drawImage(canvas, left, top);
      }
      ctx.setTransform(scale, 0, 0, scale, 0, 0);
    }

    // The current page: that of the ioctl thread's walk, else of the first vCPU that is at a known page, else the first one.
    targetAt(ps) {
      const walk = this.run.walkAt(ps);
      if (walk && walk.kind !== "none" && walk.gfn >= 0) {
        return this.target("ioctl", this.tokens.ioctl, this.insideOf(walk.gfn), /split/.test(walk.kind));
      }
      const vcpu = this.firstAtKnownPage(ps);
      if (vcpu < 0) {
        return this.target("", this.tokens.ink2, this.run.firstGfn[0]);
      }
      const stopped = this.states.at(ps)[vcpu].state === "stopped";
      return this.target(`vCPU ${vcpu}`, stopped ? this.tokens.stall : this.tokens.run, this.run.vcpuGfn(ps, vcpu));
    }

    target(who, colour, gfn, splits = false) {
      return { who, colour, gfn, cell: S.cellOf(this.run.firstGfn, this.span, gfn), splits };
    }

    firstAtKnownPage(ps) {
      for (let vcpu = 0; vcpu < this.run.vcpus; vcpu++) {
        if (this.run.vcpuGfn(ps, vcpu) >= 0) {
          return vcpu;
        }
      }
      return -1;
    }

    // A walk at the end of a memslot counts as at its last page.
    insideOf(gfn) {
      const at = (each) => S.cellOf(this.run.firstGfn, this.span, each);
      return at(gfn) < 0 && at(gfn - 1) >= 0 ? gfn - 1 : gfn;
    }

    // The walk as a sentence, for screen readers.
    describe(ps) {
      const { who, gfn } = this.targetAt(ps);
      const where = `gfn 0x${gfn.toString(16)}`;
      const text = who ? `${who} at ${where}` : `no vCPU is at a known page; the walk is that of ${where}`;
      return `Page-table walk, ${this.run.label}: ${text}; ${S.tablesText(this.run.tablesAdded(ps))}`;
    }

    font(px, weight = 500) {
      this.ctx.font = S.fontOf(px, weight);
    }

    text(text, x, y, colour, align = "left") {
      const { ctx } = this;
      ctx.textAlign = align;
      ctx.textBaseline = "middle";
      ctx.fillStyle = colour;
      ctx.fillText(text, x, y);
      return ctx.measureText(text).width;
    }

    drawCaption({ who, colour, gfn, cell }) {
      const label = this.options.label?.();
      if (label) { // the page would have no room beside it
        this.font(13, 650);
        const wide = this.text(`${label} `, 0, 8, this.tokens.ink);
        this.font(13);
        this.text(who || "no vCPU is at work", wide, 8, who ? colour : this.tokens.ink2);
        return;
      }
      this.font(14, 650);
      const wide = who ? this.text(who, 0, 8, colour) + 5 : 0;
      const inSlot = cell >= 0 && this.slots.length === 1;
      const page = inSlot ? `page ${counted.format(gfn - this.slots[0].first)}` : `gfn 0x${gfn.toString(16)}`;
      this.font(14);
      this.text(who ? `at ${page}` : `${page}: no vCPU is at work`, wide, 8, this.tokens.ink2);
    }

    drawLevels() {
      this.stamp("levels", 0, 0, LEFT - 4, this.rows.L1[0] + this.rows.L1[1] + 4, (ctx) => {
        ctx.textAlign = "left";
        ctx.textBaseline = "middle";
        for (const [level, size] of Object.entries({ L3: "1G", L2: "2M", L1: "4K" })) {
          const [top, height] = this.rows[level];
          ctx.font = S.fontOf(12, 700);
          ctx.fillStyle = this.tokens.ink;
          ctx.fillText(level, 0, top + height / 2);
          ctx.font = S.fontOf(12, 500);
          ctx.fillStyle = this.tokens.ink2;
          ctx.fillText(size, 18, top + height / 2);
        }
      });
    }

    drawWalk(target) {
      const gib = Math.floor(target.gfn / S.pagesPer.gib);
      const x3 = this.drawL3(gib, target.colour);
      if (this.entries.kindOfGib(gib) === "page") {
        this.note("one entry maps it all,", this.rows.L2[0] + 8);
        this.note("there is no table below", this.rows.L2[0] + 24);
        return;
      }
      this.fan(x3[0], x3[1], this.rows.L3, this.rows.L2, target.colour);
      const x2 = this.drawL2(target, gib);
      const kind = this.entries.levelOf(target.cell);
      if (kind === K4) {
        this.fan(x2[0], x2[1], this.rows.L2, this.rows.L1, target.colour);
        this.drawL1(target);
      } else {
        const shut = this.frames.at(target.cell)[target.cell * COUNT + P2] > 0;
        this.note(kind === M2 ? (shut ? "a write-protected 2M page" : "a 2M page") : "nothing is mapped", this.rows.L1[0] + 10);
      }
    }

    note(text, y) {
      this.font(12);
      this.text(text, LEFT, y, this.tokens.ink2);
    }

    fan(from, to, above, below, colour) {
      const { ctx } = this;
      ctx.beginPath();
      ctx.moveTo(from, above[0] + above[1] + 1);
      ctx.lineTo(to, above[0] + above[1] + 1);
      ctx.lineTo(LEFT + WALK, below[0] - 2);
      ctx.lineTo(LEFT, below[0] - 2);
      ctx.closePath();
      ctx.globalAlpha = 0.18;
      ctx.fillStyle = colour;
      ctx.fill();
      ctx.globalAlpha = 1;
    }

    ring(x, y, width, height, colour) {
      const { ctx } = this;
      ctx.lineWidth = 2.5;
      ctx.strokeStyle = colour;
      S.roundRect(ctx, x - 1.5, y - 1.5, width + 3, height + 3, 5);
      ctx.stroke();
    }

    drawL3(gib, colour) {
      const { ctx, tokens, entries: { gibs } } = this;
      const [top, height] = this.rows.L3;
      const here = gibs.indexOf(gib);
      const begin = Math.max(0, Math.min(here - (here % GIBS), gibs.length - GIBS));
      const wide = Math.floor((WALK - 3 * 4) / GIBS);
      for (let at = begin; at < Math.min(gibs.length, begin + GIBS); at++) {
        const x = LEFT + (at - begin) * (wide + 4);
        const kind = this.entries.kindOfGib(gibs[at]);
        S.roundRect(ctx, x, top, wide, height, 4);
        if (kind === "page") {
          ctx.fillStyle = tokens.g1b;
          ctx.fill();
        } else {
          ctx.strokeStyle = kind === "table" ? tokens.g2 : tokens.line;
          ctx.lineWidth = 1.5;
          ctx.stroke();
        }
        this.font(12, 600);
        this.text(kind, x + wide / 2, top + height / 2 + 0.5, kind === "page" ? "#fff" : tokens.ink2, "center");
      }
      const x = LEFT + (here - begin) * (wide + 4);
      this.ring(x, top, wide, height, colour);
      return [x, x + wide];
    }

    drawL2(target, gib) {
      const [top, height] = this.rows.L2;
      const region = Math.floor(target.gfn / PER_TABLE);
      const first = gib * PER_TABLE;
      const begin = first + Math.max(0, Math.min(PER_TABLE - NEIGHBOURS, region - first - 3));
      const pitch = WALK / NEIGHBOURS;
      for (let at = 0; at < NEIGHBOURS; at++) {
        this.drawEntry(begin + at, LEFT + at * pitch, top, pitch - 3, height);
      }
      const x = LEFT + (region - begin) * pitch;
      this.ring(x, top, pitch - 3, height, target.colour);
      return [x, x + pitch - 3];
    }

    drawEntry(region, x, y, width, height) {
      const { ctx, tokens } = this;
      const cell = S.cellOf(this.run.firstGfn, this.span, region * PER_TABLE);
      const kind = cell < 0 ? NONE : this.entries.levelOf(cell);
      if (kind === K4) {
        this.drawMesh(cell, x, y, width, height);
        return;
      }
      S.roundRect(ctx, x, y, width, height, 3);
      if (kind === NONE) {
        ctx.strokeStyle = tokens.line;
        ctx.lineWidth = 1;
        ctx.stroke();
        return;
      }
      ctx.fillStyle = tokens.g2;
      ctx.fill();
      const at = cell * COUNT;
      if (this.frames.at(cell)[at + P2] + this.frames.at(cell)[at + P1] > 0) {
        ctx.fillStyle = tokens.ground;
        S.keyhole(ctx, x + width / 2, y + height / 2, 11);
      }
    }

    // An entry that is a table: a mesh, dirty by share.
    drawMesh(cell, x, y, width, height) {
      const { dots } = S.smallMesh;
      const dirty = S.dotsOf(this.frames.dirty(cell), dots);
      const armed = S.dotsOf(this.frames.at(cell)[cell * COUNT + P4], dots);
      const even = (dirty === 0 || dirty === dots) && (armed === 0 || armed === dots); // most tables; others change soon
      this.stamp(even ? `mesh|${dirty}|${armed}` : null, x, y, width, height, (ctx) =>
        S.smallMesh.paint(ctx, this.tokens, { dirty, armed, width, height }));
    }

    // The number of filled entries: those of a new table appear one by one.
    filled(target) {
      const { frames, freshPs } = this;
      if (!frames.freshness(target.cell, freshPs)) {
        return PER_TABLE;
      }
      if (target.splits) {
        return target.gfn % PER_TABLE;
      }
      // Next to a vCPU only during slow playback.
      const countPs = freshPs * COUNTED;
      return countPs < this.run.binPs / 10 ? Math.floor(frames.freshPart(target.cell, countPs) * PER_TABLE) : PER_TABLE;
    }

    drawL1(target) {
      const { tokens } = this;
      const filled = this.filled(target);
      const at = target.cell * COUNT;
      const shares = this.frames.at(target.cell);
      const [mapped, armed] = [S.dotsOf(shares[at + K4], PER_TABLE), S.dotsOf(shares[at + P4], PER_TABLE)];
      const dirty = S.dotsOf(this.frames.dirty(target.cell), PER_TABLE);
      const paint = (from, to, colour, size, gaps = false) =>
        S.drawEntries(this, { from: Math.max(0, from), to: Math.min(to, filled), colour, size, gaps, dot: DOT }, LEFT, this.rows.L1[0]);
      paint(0, dirty, tokens.dirty, DOT - 1, true);
      paint(dirty, Math.min(mapped, PER_TABLE - armed), tokens.g4, DOT - 1);
      paint(Math.max(dirty, PER_TABLE - armed), PER_TABLE, tokens.g2, DOT - 1);
      paint(Math.max(dirty, mapped, armed ? PER_TABLE : 0), PER_TABLE, tokens.line, 1);
      this.markPage(target, filled);
    }

    markPage(target, filled) {
      const { ctx } = this;
      const [top, height] = this.rows.L1;
      ctx.strokeStyle = target.colour;
      ctx.lineWidth = 2;
      if (filled < PER_TABLE) {
        ctx.strokeRect(LEFT - 2, top - 2, WALK + 3, height + 3);
        if (filled < 100) {
          this.font(12, 600);
          this.text("new table: 512 entries", LEFT + WALK / 2 + 16, top + height / 2, target.colour, "center");
        }
        return;
      }
      const page = target.gfn % PER_TABLE;
      ctx.strokeRect(LEFT + (page >> 3) * DOT - 2, top + (page & 7) * DOT - 2, DOT + 3, DOT + 3);
    }
  };
})();
