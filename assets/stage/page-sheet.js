// Draws one page of a zoomed map: its level by geometry, filled where it is in the dirty log, a keyhole where it is
// write-protected, and a corner where the processor has set the D bit.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const [K4, M2, G1, P4, P1] = [1, 2, 3, 4, 6];
  const SIZES = [256, 8, 2, 2, 2, 4, 2]; // slab, fresh, dirty, processor, shut, level, unarmed
  const FRESH = [0.8, 0.5, 0.25];
  const LEAST_KEYHOLE = 12;

  S.PageSheet = class extends S.CellSheet {
    // `processor` returns whether a cell's D bit is set.
    constructor(geometry, tokens, rows, { processor }) {
      super(geometry, tokens, rows);
      this.processor = processor;
    }

    look(shares, at, dirty, fresh, by, edges, row, cell, unarmed = false) {
      const level = [G1, M2, K4].find((each) => shares[at + each] > 0) || 0;
      const shut = shares.subarray(at + P4, at + P1 + 1).some(Boolean) ? 1 : 0;
      const slab = level > 1 ? edges * 16 + row : 0;
      const parts = [slab, fresh ? fresh * 2 + by : 0, dirty ? 1 : 0, this.processor[cell], shut, level, unarmed ? 1 : 0];
      return parts.reduceRight((look, part, index) => look * SIZES[index] + part, 0);
    }

    paint(ctx, look) {
      const [slab, fresh, dirty, processor, shut, level, unarmed] = SIZES.map((size) => {
        const part = look % size;
        look = (look - part) / size;
        return part;
      });
      this.paintLevel(ctx, level, shut, slab);
      if (fresh) {
        const { tile } = this.geometry;
        ctx.fillStyle = fresh & 1 ? this.tokens.ioctl : this.tokens.stall;
        ctx.globalAlpha = FRESH[(fresh >> 1) - 1];
        ctx.fillRect(0, 0, tile, tile);
        ctx.globalAlpha = 1;
      }
      if (dirty && unarmed) {
        this.paintNeverCleared(ctx);
      } else if (dirty) {
        this.paintDirtyPage(ctx, level);
      }
      if (level === K4 && shut) { // a huge page is one entry: its name has the keyhole
        this.paintShut(ctx);
      }
      if (level === K4 && processor) {
        this.paintProcessor(ctx);
      }
    }

    paintLevel(ctx, level, shut, slab) {
      const { tokens } = this;
      const { tile } = this.geometry;
      if (level === 0) {
        this.paintNothing(ctx);
      } else if (level === K4) {
        ctx.fillStyle = shut ? tokens.g2 : tokens.g4;
        ctx.fillRect(0, 0, tile, tile);
      } else {
        // A 2M page fills the map of its region, as a 1G page fills its track.
        const under = level === M2 ? { ...tokens, g1: tokens.g2, g1b: tokens.g2 } : tokens;
        this.tokens = under;
        this.paintSlab(ctx, 0, true, slab >> 4, slab & 15);
        this.tokens = tokens;
      }
    }

    // In the log since logging began, written or not: an outline, as the dots of a whole map have.
    paintNeverCleared(ctx) {
      const { tile } = this.geometry;
      const line = Math.max(1, Math.round(tile / 8));
      ctx.strokeStyle = this.tokens.dirty;
      ctx.lineWidth = line;
      ctx.strokeRect(line / 2, line / 2, tile - line, tile - line);
    }

    // The same ink at every level; the gap is filled too if no huge page is visible through it.
    paintDirtyPage(ctx, level) {
      const { tile, pitch } = this.geometry;
      if (level < M2) {
        ctx.fillStyle = this.halfDirty;
        ctx.fillRect(0, 0, pitch, pitch);
      }
      ctx.fillStyle = this.tokens.dirty;
      ctx.fillRect(0, 0, tile, tile);
    }

    paintShut(ctx) {
      const { tile, css, dpr } = this.geometry;
      ctx.fillStyle = this.tokens.ground;
      if (css >= LEAST_KEYHOLE) {
        S.keyhole(ctx, tile * 0.42, tile * 0.45, tile * 0.5);
      } else {
        const side = Math.round(2 * dpr);
        ctx.fillRect(Math.floor((tile - side) / 2), Math.floor((tile - side) / 2), side, side);
      }
    }

    paintProcessor(ctx) {
      const { tile } = this.geometry;
      const side = Math.max(3, Math.round(tile * 0.36));
      ctx.fillStyle = this.tokens.ground;
      ctx.beginPath();
      ctx.moveTo(tile, tile - side);
      ctx.lineTo(tile, tile);
      ctx.lineTo(tile - side, tile);
      ctx.fill();
    }
  };
})();
