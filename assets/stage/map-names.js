// Labels on a map: the level that maps a stretch, on plates that avoid the actors; and the labels before the tracks.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [NONE, K4, M2, G1, P2, P1, DIRTY, COUNT] = [0, 1, 2, 3, 5, 6, 7, 8];
  const WHOLE = 255;
  const SIZES = ["4K pages", "2M pages", "1G pages"];
  const NAMES = ["not mapped", ...SIZES, ...SIZES.map((size) => `${size}, dirty`)];
  const MANY_1G = SIZES[2];
  const MIXED = -1;
  const UNKNOWN = -2;
  const GIB = 1 << 18; // pages

  // The kind of a cell: an index of NAMES, or mixed.
  function cellKind(frames, cell) {
    const shares = frames.at(cell);
    const at = cell * COUNT;
    const level = shares[at + K4] === WHOLE ? 1 : shares[at + M2] === WHOLE ? 2 : shares[at + G1] === WHOLE ? 3 : 0;
    if (level === 0) {
      return shares[at + NONE] === WHOLE ? 0 : MIXED;
    }
    return frames.dirty(cell) === WHOLE && !frames.unarmed(cell) ? level + 3 : level;
  }

  // The kind of a column of cells; pages of one size of which only some are dirty count as not dirty.
  function columnKind(frames, first, count) {
    let kind = cellKind(frames, first);
    for (let cell = first + 1; cell < first + count && kind !== MIXED; cell++) {
      const here = cellKind(frames, cell);
      if (here !== kind) {
        kind = here > 0 && kind > 0 && (kind - here) % 3 === 0 ? Math.min(kind, here) : MIXED;
      }
    }
    return kind;
  }

  // Runs of columns of one kind in a track, longest first. `kinds` keeps the kinds of columns, by their first cells.
  function runsOf(frames, track, rows, kinds) {
    const runs = [];
    for (let column = 0; column < track.columns; column++) {
      const first = track.first + column * rows;
      if (kinds[first] === UNKNOWN) {
        kinds[first] = columnKind(frames, first, Math.min(rows, track.last + 1 - first));
      }
      const kind = kinds[first];
      const last = runs[runs.length - 1];
      if (last && last.kind === kind) {
        last.end = column + 1;
      } else {
        runs.push({ kind, begin: column, end: column + 1 });
      }
    }
    return runs.filter(({ kind }) => kind !== MIXED).sort((a, b) => b.end - b.begin - (a.end - a.begin));
  }

  function addressOf(gfn) {
    const gib = gfn / GIB;
    const [value, unit] = gib >= 1024 ? [gib / 1024, "TiB"] : gib >= 1 || gfn === 0 ? [gib, "GiB"] : [gfn / 256, "MiB"];
    return [String(Math.floor(value * 100) / 100), unit];
  }

  S.MapNames = class {
    constructor(pane) {
      this.pane = pane;
    }

    resize() {
      const { em: css, ink: dpr } = this.pane.layout;
      this.px = this.pane.presenter ? 16 : css >= 12 ? 18 : css >= 8 ? 15 : 12;
      this.font = S.fontOf(this.px * dpr, 700);
      this.perTrack = this.vcpuTracks();
      this.kinds = new Int8Array(this.pane.run.cells).fill(UNKNOWN);
    }

    // Cells may have changed: the kinds of their columns are determined again; of all if `cells` is null.
    forget(cells, columnOf) {
      if (cells === null) {
        this.kinds.fill(UNKNOWN);
      } else {
        cells.forEach((cell) => (this.kinds[columnOf[cell]] = UNKNOWN));
      }
    }

    // Whether every vCPU has one track to itself: then the track is named after it.
    vcpuTracks() {
      const { run, layout } = this.pane;
      const { ram } = run;
      if (!ram || ram.shared || run.vcpus !== layout.tracks.length || run.vcpuGfn(run.endPs, 0) < 0) {
        return false;
      }
      return layout.tracks.every((track, vcpu) => {
        const { first, pages } = ram.partOf(vcpu);
        const ends = [ram.gfnOf(first), ram.gfnOf(first + pages - 1)].map((gfn) => this.pane.spotOf(gfn));
        return ends.every((spot) => spot && spot.track === track);
      });
    }

    // Each kind of page is named once, in the first track that has room.
    draw(frames, actors) {
      this.said = new Set();
      for (const track of this.pane.layout.tracks) {
        if (track.height >= (this.px + 9) * this.pane.layout.ink) {
          const half = ((this.px + 9) * this.pane.layout.ink) / 2;
          // Marks of many vCPUs are at the middle of a track; names are below them.
          const low = actors.folded && track.height > 5 * half;
          const middle = low ? track.y + track.height - half - 2 * this.pane.layout.ink : track.y + track.height / 2;
          this.middle = middle;
          this.nameTrack(frames, track, actors.zonesOf(track, middle - half, middle + half));
        }
      }
      if (actors.folded) {
        this.tellMarks(actors);
      }
    }

    nameTrack(frames, track, zones) {
      const { ctx, layout } = this.pane;
      const { ink: dpr, pitch } = layout;
      for (const { kind, begin, end } of runsOf(frames, track, layout.rows, this.kinds)) {
        if (kind % 3 === 0 && kind > 0) {
          this.nameGigabytes(frames, track, begin, end, zones);
          continue;
        }
        if (kind === 2 && layout.span === 1) {
          const first = track.first + begin * layout.rows;
          this.nameSlab(track, begin, end, zones, "one 2M page", frames.at(first)[first * COUNT + P2] > 0);
          continue;
        }
        const text = NAMES[kind];
        const width = S.textWidth(ctx, this.font, text) + 14 * dpr;
        const [left, right] = [track.x + begin * pitch, track.x + end * pitch];
        const ends = [right - width / 2 - 10 * dpr, left + width / 2 + 10 * dpr, (left + right) / 2];
        const between = [0.25, 0.75, 0.38, 0.62].map((part) => left + (right - left) * part);
        const places = [...(kind > 3 ? [ends[1], ends[0], ends[2]] : ends), ...between];
        const x = this.said.has(kind) ? undefined : places.find((at) => this.isFree(at, width, left, right, zones));
        if (x !== undefined) {
          this.said.add(kind);
          this.plate(text, x, this.middle, width, kind > 3 ? "dirtyt" : "ink");
          zones.push([x - width / 2, x + width / 2]);
        }
      }
    }

    isFree(at, width, left, right, zones) {
      const edge = 2 * this.pane.layout.ink;
      const inside = at - width / 2 >= left + edge && at + width / 2 <= right - edge;
      return inside && zones.every(([from, to]) => at + width / 2 < from || at - width / 2 > to);
    }

    // `tone` is the name of a colour.
    plate(text, x, y, width, tone) {
      const { layout, tokens, stamps } = this.pane;
      const high = (this.px + 9) * layout.ink;
      const box = { left: -width / 2 - 1, right: width / 2 + 1, top: -high / 2 - 1, bottom: high / 2 + 1 };
      stamps.place(`plate|${text}|${tone}|${width}`, x, y, box, (ctx) => {
        ctx.fillStyle = tokens.plate;
        S.roundRect(ctx, -width / 2, -high / 2, width, high, 6 * layout.ink);
        ctx.fill();
        this.text(ctx, text, 0, tokens[tone]);
      });
    }

    text(ctx, text, x, colour) {
      ctx.font = this.font;
      ctx.textAlign = "center";
      ctx.textBaseline = "middle";
      ctx.fillStyle = colour;
      ctx.fillText(text, x, this.pane.layout.ink);
    }

    // Every 1G page that is large enough is labelled as one page; smaller ones have one common label.
    nameGigabytes(frames, track, begin, end, zones) {
      const { layout, run } = this.pane;
      const wide = (GIB / layout.span / layout.rows) * layout.pitch;
      const each = wide >= S.textWidth(this.pane.ctx, this.font, "one 1G page") + 20 * layout.ink;
      if (!each && this.said.has(3)) {
        return;
      }
      const regions = new Map();
      for (let column = begin; column < end; column++) {
        const region = each ? Math.floor(run.firstGfn[track.first + column * layout.rows] / GIB) : 0;
        const known = regions.get(region) || [column, column];
        regions.set(region, [known[0], column + 1]);
      }
      for (const [from, to] of regions.values()) {
        const first = track.first + from * layout.rows;
        const shut = frames.at(first)[first * COUNT + P1] > 0;
        this.nameSlab(track, from, to, zones, each ? "one 1G page" : MANY_1G, shut);
      }
    }

    nameSlab(track, from, to, zones, text, shut) {
      const { ctx, layout, tokens, stamps } = this.pane;
      const { ink: dpr, pitch } = layout;
      const key = shut ? this.px * 1.2 * dpr : 0;
      const width = S.textWidth(ctx, this.font, text) + 14 * dpr + key;
      const [left, right] = [track.x + from * pitch, track.x + to * pitch];
      const x = [0.5, 0.7, 0.3, 0.8, 0.22].map((part) => left + (right - left) * part)
        .find((at) => this.isFree(at, width, left, right, zones));
      if (x === undefined) {
        return;
      }
      this.said.add(3);
      const y = this.middle;
      // On a large area the text has no plate; on many small ones it has one.
      if (text === MANY_1G) {
        this.plate(text, x, y, width - key, "ink");
        return;
      }
      const high = this.px * dpr;
      const box = { left: -width / 2, right: width / 2, top: -high, bottom: high };
      stamps.place(`slab|${text}|${shut}`, x, y, box, (onto) => {
        this.text(onto, text, key / 2, "rgba(255,255,255,.94)");
        if (shut) {
          onto.fillStyle = tokens.ground;
          S.keyhole(onto, -width / 2 + key / 2 + 4 * dpr, 0, this.px * 1.15 * dpr);
        }
      });
    }

    // Counts of the marks, at the first free position of a track.
    tellMarks(actors) {
      const { ctx, layout } = this.pane;
      const { text, state } = S.marksText(actors.states.states);
      if (!text) {
        return;
      }
      const width = S.textWidth(ctx, actors.pillFont, text) + 14 * layout.ink;
      const track = layout.tracks[0];
      const zones = actors.zonesOf(track, track.y, track.y + actors.pillHeight);
      const middle = track.x + track.width / 2;
      const ends = [middle, track.x + track.width - width / 2 - 4 * layout.ink, track.x + width / 2 + 4 * layout.ink];
      const x = ends.find((at) => this.isFree(at, width, track.x, track.x + track.width, zones)) || middle;
      const y = track.y + actors.flagMiddle();
      this.marksPill = () => actors.placePill(x - width / 2, y, text, width, 1, actors.tone(state), state === "slower");
    }

    // Label of a track: the vCPU whose range it is, else its first address.
    drawMargin(states) {
      const { layout } = this.pane;
      if (!this.pane.label) {
        return;
      }
      let line = -1;
      for (const track of layout.tracks) {
        if (track.line === line) {
          continue;
        }
        line = track.line;
        const y = track.y + track.height / 2;
        if (this.perTrack) {
          this.margin("vCPU", String(track.index), y, 20, this.pane.actors.tone(states[track.index].state));
        } else if (track.height >= 28 * layout.ink) {
          const [value, unit] = addressOf(this.pane.run.firstGfn[track.first]);
          this.margin(unit, value, y, value.length > 3 ? 13 : 16, "ink");
        }
      }
    }

    margin(small, large, y, px, tone) {
      const { layout, tokens, stamps, label } = this.pane;
      const { ink: dpr } = layout;
      const box = { left: 0, right: label * this.pane.dpr + layout.pitch, top: -20 * dpr, bottom: 22 * dpr };
      stamps.place(`margin|${small}|${large}|${tone}|${px}`, 0, y, box, (ctx) => {
        ctx.textAlign = "left";
        ctx.textBaseline = "alphabetic";
        ctx.font = S.fontOf(12 * dpr, 500);
        ctx.fillStyle = tokens.ink2;
        ctx.fillText(small, 0, -6 * dpr);
        ctx.font = S.fontOf(px * dpr, 800);
        ctx.fillStyle = tokens[tone];
        ctx.fillText(large, 0, 16 * dpr);
      });
    }

    // A line at a gap of addresses between two memslots.
    drawHoles(ctx) {
      const { layout, tokens } = this.pane;
      const { ink: dpr } = layout;
      ctx.fillStyle = tokens.line;
      for (const track of layout.tracks) {
        if (track.hole && track.column === 0 && track.line > 0) {
          const y = Math.round(track.y - (2 * layout.gap + 2 * dpr) / 2);
          for (let x = layout.x0; x < layout.x0 + 64 * layout.pitch && x < layout.width; x += 6 * dpr) {
            ctx.fillRect(x, y, 3 * dpr, Math.max(1, Math.round(dpr)));
          }
        } else if (track.hole && track.column > 0) {
          for (let y = track.y; y < track.y + track.height; y += 6 * dpr) {
            ctx.fillRect(track.x - Math.round(layout.pitch / 2), y, Math.max(1, Math.round(dpr)), 3 * dpr);
          }
        }
      }
    }
  };
})();
