// Pixels of lanes: a column shows the shares of its interval of time, stalls from the top, running from the bottom.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const LOCK_MIX = 0.55;

  function rgb(colour) {
    const number = parseInt(colour.slice(1), 16);
    return [number >> 16, (number >> 8) & 255, number & 255];
  }

  const mixed = (one, other, share) => one.map((value, at) => Math.round(value * share + other[at] * (1 - share)));

  // Colours of the parts of a lane, as bytes: waits for mmu_lock are stalls too, in a paler tone.
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

  // A pixel in the format of a Uint32Array over an ImageData.
  S.pixelOf = ([red, green, blue]) => new Uint32Array(new Uint8Array([red, green, blue, 255]).buffer)[0];

  // Columns [first, end) of one lane into pixels of an image `wide` wide, from row `top` on: a column is the time from
  // `from` + column * `perPixel`.
  S.paintLane = function (pixels, wide, { shares, lane, top, height, first, end, from, perPixel, colours }) {
    const { endPs } = shares.run;
    const stacked = [colours.fault, colours.lock, colours.away, colours.track, colours.slow, colours.run];
    const own = new Float64Array(stacked.length);
    let before = shares.timesAt(lane, Math.min(endPs, from + first * perPixel));
    let after = new Float64Array(S.LANE_PARTS.length);
    for (let x = first; x < end; x += 1) {
      const begin = from + x * perPixel;
      const over = Math.min(endPs, begin + perPixel);
      shares.timesAt(lane, over, after);
      stackOf(before, after, over - begin, own);
      let y = 0;
      for (let part = 0; part < stacked.length; part += 1) {
        const last = begin < endPs ? Math.round(own[part] * height) : 0;
        for (; y < last; y += 1) {
          pixels[(top + y) * wide + x] = stacked[part];
        }
      }
      for (; y < height; y += 1) {
        pixels[(top + y) * wide + x] = colours.track;
      }
      [before, after] = [after, before];
    }
  };

  // The lower end of each part of a column, as shares from the top: stalls first, running last.
  function stackOf(before, after, span, out) {
    const share = (part) => (span > 0 ? (after[part] - before[part]) / span : 0);
    const [slow, run] = [share(3), share(4)];
    out[0] = share(0);
    out[1] = out[0] + share(1);
    out[2] = out[1] + share(2);
    out[3] = 1 - slow - run;
    out[4] = 1 - run;
    out[5] = run > 0 ? 1 : out[4];
  }
})();
