// Pixels of lanes: a column is the share of its stretch of time, stalls hang from the top, running stands at the bottom.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const LOCK_MIX = 0.55;

  function rgb(colour) {
    const number = parseInt(colour.slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  }

  const mixed = (one, other, share) => one.map((value, at) => Math.round(value * share + other[at] * (1 - share)));

  // Colours of the parts of a lane, as bytes: waiting for mmu_lock is a stall too, in a paler tone of it.
  S.laneColours = function (colours) {
    const stall = rgb(colours.stall);
    return {
      fault: stall,
      lock: mixed(stall, rgb(colours.ground), LOCK_MIX),
      away: mixed(stall, rgb(colours.ink), LOCK_MIX),
      slow: rgb(colours.slowf),
      run: rgb(colours.runf),
      track: rgb(colours.hair),
    };
  };

  // One lane into an ImageData: its columns are those of the time from `from`, `perPixel` ps each.
  S.paintLane = function (image, shares, lane, { from, perPixel, endPs, colours }) {
    const { width, height, data } = image;
    const own = new Float64Array(S.LANE_PARTS.length);
    for (let x = 0; x < width; x += 1) {
      const begin = from + x * perPixel;
      const over = begin >= endPs;
      if (!over) {
        shares.of(lane, begin, Math.min(endPs, begin + perPixel), own);
      }
      let y = 0;
      const fill = (colour, rows) => {
        for (const end = Math.min(height, y + rows); y < end; y += 1) {
          const at = 4 * (y * width + x);
          [data[at], data[at + 1], data[at + 2]] = colour;
          data[at + 3] = 255;
        }
      };
      if (!over) {
        const [fault, lock, away, slow, run] = own;
        fill(colours.fault, Math.round(fault * height));
        fill(colours.lock, Math.round((fault + lock) * height) - y);
        fill(colours.away, Math.round((fault + lock + away) * height) - y);
        fill(colours.track, Math.round((1 - slow - run) * height) - y);
        fill(colours.slow, Math.round((1 - run) * height) - y);
        fill(colours.run, run > 0 ? height - y : 0);
      }
      fill(colours.track, height - y);
    }
  };
})();
