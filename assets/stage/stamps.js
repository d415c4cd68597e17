// Small drawings on a canvas that are painted once and then copied: heads of vCPUs, bars, text on plates. Copying costs much
// less than painting, and equal drawings at equal places need not be drawn again.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MOST_KEPT = 300;

  S.Stamps = class {
    constructor(ctx) {
      this.ctx = ctx;
      this.clear();
    }

    // After a change of size, theme or type: all stamps are painted again.
    clear() {
      this.kept = new Map();
      this.placed = [];
      this.before = null;
    }

    // Starts the list of a new drawing.
    begin() {
      this.before = this.before && this.placed;
      this.placed = [];
    }

    // Adds a stamp at a point, device pixels. `box` is {left, top, right, bottom} around the point; `paint` is called with a
    // context whose origin is the point, and with the part of a pixel by which the point is below a pixel's edge, if no stamp
    // with this key was painted yet. A stamp moves by whole pixels to the right, so that its edges stay sharp.
    place(key, x, y, box, paint) {
      const top = Math.floor(y);
      const stamp = this.of(`${key}|${(y - top).toFixed(3)}`, box, paint, y - top);
      this.placed.push({ name: stamp, x: Math.round(x) + stamp.left, y: top + stamp.top, canvas: stamp.canvas });
    }

    // The stamp with a key: {canvas, left, top}, the position of its canvas relative to the point.
    of(key, box, paint, part = 0) {
      let stamp = this.kept.get(key);
      if (!stamp) {
        stamp = this.paint(box, part, paint);
        if (this.kept.size >= MOST_KEPT) {
          this.kept.clear();
        }
        this.kept.set(key, stamp);
      }
      return stamp;
    }

    paint(box, part, paint) {
      const [left, top] = [Math.floor(box.left), Math.floor(box.top)];
      const canvas = document.createElement("canvas");
      canvas.width = Math.max(1, Math.ceil(box.right) - left);
      canvas.height = Math.max(1, Math.ceil(box.bottom + part) - top);
      const ctx = canvas.getContext("2d");
      ctx.translate(-left, part - top);
      paint(ctx, part);
      return { canvas, left, top };
    }

    // The same for a drawing that will hardly be used twice: it is painted in place.
    placeOnce(key, x, y, paint) {
      const [left, top] = [Math.round(x), Math.floor(y)];
      this.add(`${key}|${left}|${y}`, (ctx) => {
        ctx.save();
        ctx.translate(left, y);
        paint(ctx, y - top);
        ctx.restore();
      });
    }

    // Adds a drawing that is painted each time. Equal keys mean equal pixels; without a key they are never equal.
    add(key, draw) {
      this.placed.push({ name: key ?? Symbol("new"), x: 0, y: 0, draw });
    }

    // Whether a drawing would differ from the last one.
    get moved() {
      const { before, placed } = this;
      return !before || before.length !== placed.length ||
        placed.some(({ name, x, y }, at) => name !== before[at].name || x !== before[at].x || y !== before[at].y);
    }

    draw() {
      const { ctx } = this;
      for (const { canvas, draw, x, y } of this.placed) {
        if (canvas) {
          ctx.drawImage(canvas, x, y);
        } else {
          draw(ctx);
        }
      }
      this.before = this.placed;
    }
  };
})();
