// Pages that a migration has sent, on the map: a strip along the lower edge of each cell, as wide as the share of its
// pages that was sent, in another colour the share sent again. Dirty pages, which must be sent again, cover the strip.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const WHOLE = 255;
  const sets = new WeakMap();

  // The shares of cells that were sent, and sent again, at the end of a bin; going back restarts from the first frame.
  class SentCells {
    constructor(run) {
      const { sent_cells: table } = run.tables;
      Object.assign(this, { run, table });
      this.sent = new Uint8Array(run.cells);
      this.again = new Uint8Array(run.cells);
      this.frame = -1;
    }

    seek(frame) {
      if (frame < this.frame) {
        this.sent.fill(0);
        this.again.fill(0);
        this.frame = -1;
      }
      const { frame_start: start, cell, shares } = this.table;
      for (let row = start[this.frame + 1]; row < start[frame + 1]; row += 1) {
        this.sent[cell[row]] = shares[2 * row];
        this.again[cell[row]] = shares[2 * row + 1];
      }
      this.frame = frame;
      return this;
    }
  }

  // The sent cells of a run at a time; null for a run that sends nothing.
  S.sentAt = function (run, ps) {
    if (!run.tables?.sent_cells || run.tables.sent_cells.cell.length === 0) {
      return null;
    }
    if (!sets.has(run)) {
      sets.set(run, new SentCells(run));
    }
    return sets.get(run).seek(run.frame(ps));
  };

  // The strip of a cell: {from, sent, again}, device px from the cell's left edge; `dirty` is a share.
  S.sentStrip = function ({ dots, step, tile }, sent, again, dirty) {
    const hidden = Math.floor(S.dotsOf(dirty, dots * dots) / dots) * step;
    const part = (share) => (share ? Math.max(1, Math.round((share / WHOLE) * tile)) : 0);
    return { from: hidden, sent: part(sent), again: part(again) };
  };

  const stripHigh = ({ pitch, dpr }) => Math.max(Math.round(2 * dpr), Math.round(pitch / 7));

  function drawStrips(map, found) {
    const { ctx, layout, sheet: { geometry }, tokens, frames } = map;
    const high = stripHigh(geometry);
    const line = Math.max(1, Math.round(geometry.dpr));
    const strips = [];
    for (let cell = 0; cell < found.sent.length; cell += 1) {
      if (found.sent[cell]) {
        strips.push({ x: layout.x[cell], y: layout.y[cell] + geometry.tile - high, ...S.sentStrip(geometry, found.sent[cell], found.again[cell], frames.dirty(cell)) });
      }
    }
    const paint = (colour, of, above) => {
      ctx.fillStyle = colour;
      for (const strip of strips) {
        const wide = strip[of] - strip.from;
        if (wide > 0) {
          ctx.fillRect(strip.x + strip.from, strip.y - above, wide, high + above);
        }
      }
    };
    paint(tokens.ground, "sent", line);
    paint(tokens.sent, "sent", 0);
    paint(tokens.resent, "again", 0);
  }

  // Small cells are drawn as columns, whose strip is a line below the track.
  function drawLines(map, found) {
    const { ctx, layout, tokens } = map;
    const high = Math.round(2 * layout.dpr);
    for (const track of layout.tracks) {
      for (let first = track.first; first <= track.last; first += layout.rows) {
        const end = Math.min(track.last + 1, first + layout.rows);
        const some = (shares) => shares.subarray(first, end).some(Boolean);
        if (some(found.sent)) {
          ctx.fillStyle = some(found.again) ? tokens.resent : tokens.sent;
          ctx.fillRect(layout.x[first], track.y + track.height - Math.round(layout.dpr), layout.pitch, high);
        }
      }
    }
  }

  // Draws over a map of the whole memory.
  S.drawSent = function (map, ps) {
    const found = map.options.frames ? null : S.sentAt(map.run, Math.min(ps, map.run.endPs));
    if (found) {
      (map.sheet.geometry.flat ? drawLines : drawStrips)(map, found);
    }
  };

  // Text on a cell; "" if none of it was sent.
  S.sentSays = function (run, { cell }, ps) {
    const found = S.sentAt(run, Math.min(ps, run.endPs));
    const percent = (share) => (share === 0 ? "0 %" : share === WHOLE ? "all" : `${Math.max(1, Math.min(99, Math.round((100 * share) / WHOLE)))} %`);
    if (!found || !found.sent[cell]) {
      return "";
    }
    const dirty = S.cellFrames(run).seek(ps).dirty(cell);
    const again = found.again[cell] ? `, ${percent(found.again[cell])} sent again` : "";
    const stale = dirty && found.sent[cell] === WHOLE ? `, ${percent(dirty)} dirty again` : "";
    return `Migration: ${percent(found.sent[cell])} sent${again}${stale}.`;
  };
})();
