// The layout of a map: tracks of cells in which the address grows to the right.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGES_PER_1G = 1 << 18;
  const PAGES_PER_2M = 512;
  const LARGEST_PITCH = 72; // CSS px at normal type size: a guest of 64 MiB fills its pane
  const ROWS = [8, 16, 4, 2, 1];
  const RAGGED_ROWS = [12, 10]; // of one page table, if its pages cannot be told apart otherwise
  const APART = 6; // CSS px
  const MOST_TALL = 512; // cells up to which a track may have 16 rows: a guest of 1 GiB stays one slab
  const MOST_COLUMNS = 512;

  // Memslots in the order of their addresses; runs of cells without a gap where the header names no memslots.
  S.slotsOf = function (run) {
    const scenario = run.header.scenario || {};
    const memory = Array.isArray(scenario.memory) ? scenario.memory : [];
    const found = memory
      .filter((slot) => typeof slot.base === "number" && typeof slot.size === "number")
      .map((slot) => ({ first: slot.base / 4096, pages: slot.size / 4096 }));
    return found.sort((a, b) => a.first - b.first);
  };

  // Stretches of cells of one memslot, without gaps. A cell that two memslots share belongs to the first.
  function stretchesOf(guest) {
    const found = [];
    let slot = 0;
    for (let cell = 0; cell < guest.cells; cell++) {
      const gfn = guest.firstGfn[cell];
      const before = slot;
      while (slot < guest.slots.length - 1 && guest.slots[slot].first + guest.slots[slot].pages <= gfn) {
        slot++;
      }
      const last = found[found.length - 1];
      const hole = cell > 0 && gfn !== guest.firstGfn[cell - 1] + guest.span;
      if (!last || hole || slot !== before) {
        const slotHole = slot > before && slot > 0 && endOf(guest.slots[slot - 1]) < guest.slots[slot].first;
        found.push({ first: cell, count: 1, slot, hole: found.length > 0 && (hole || slotHole) });
      } else {
        last.count++;
      }
    }
    return found;
  }

  function endOf(slot) {
    return slot.first + slot.pages;
  }

  // Number of cells of a stretch per track; whole GiB if they fit, so that a 1G page is in one track.
  function cellsPerTrack(stretch, columns, rows, perGib) {
    const most = columns * rows;
    const tracks = Math.ceil(stretch.count / most);
    const even = Math.ceil(stretch.count / tracks / rows) * rows;
    const whole = Math.ceil(even / perGib) * perGib;
    return whole <= most && perGib >= rows ? whole : even;
  }

  // Places stretches in lines of at most `columns` columns; small memslots share a line.
  function lines(stretches, columns, rows, perGib) {
    const tracks = [];
    const starts = []; // for each line, whether it follows a gap of the address space
    let used = columns + 1;
    let broken = 0; // tracks that end inside a GiB, or a last track that is shorter than the others
    stretches.forEach((stretch) => {
      const per = cellsPerTrack(stretch, columns, rows, perGib);
      const single = stretch.count <= per;
      broken += !single && (stretch.count % per || (per % perGib && stretch.count >= perGib)) ? 1 : 0;
      for (let done = 0; done < stretch.count; done += per) {
        const count = Math.min(per, stretch.count - done);
        const wide = Math.ceil(count / rows);
        const joins = single && used + 1 + wide <= columns;
        if (!joins) {
          starts.push(done === 0 && stretch.hole);
        }
        const column = joins ? used + 1 : 0;
        used = single ? column + wide : columns + 1;
        const place = { line: starts.length - 1, column, columns: wide, hole: done === 0 && stretch.hole };
        tracks.push({ first: stretch.first + done, count, slot: stretch.slot, ...place });
      }
    });
    return { tracks, starts, broken };
  }

  function gapsOf(laid, base, dpr) {
    const few = laid.starts.length;
    const gap = Math.round((few > 24 ? 1 : few > 12 ? 2 : few > 6 ? Math.min(4, base) : base) * dpr);
    return { gap, hole: 2 * gap + Math.round(2 * dpr) };
  }

  function heightOf(laid, gaps) {
    const holes = laid.starts.filter((hole, at) => hole && at > 0).length;
    return (laid.starts.length - 1) * gaps.gap + holes * (gaps.hole - gaps.gap);
  }

  // Only pitches with at most 1 px beside a cell's dots, so that the mesh continues from cell to cell.
  function snapped(pitch, { dpr, ink = dpr, largest = LARGEST_PITCH }) {
    let found = Math.min(Math.floor(pitch), Math.round(largest * ink));
    for (; found > 1; found--) {
      const { flat, dots, step } = S.cellGeometry(found, ink);
      if (flat || found - dots * step <= 1) {
        break;
      }
    }
    return found;
  }

  // The score of a pitch: prefers large cells, then four tracks of eight rows that fill the width.
  function score(laid, pitch, columns, rows, room, space) {
    const used = Math.min(1, (columns * pitch) / room);
    const eight = rows === 8 ? 1.1 : 1;
    const four = laid.tracks.length === 4 && rows === 8 ? 1.2 : 1;
    const split = space.single && laid.starts.length > 1 ? 0.5 : 1; // one page table, one track
    return pitch * eight * four * (1 + 0.3 * used) * (laid.broken ? 0.5 : 1) * split;
  }

  function best(stretches, space, perGib, allowed = ROWS) {
    const room = (space.width - space.label) * space.dpr;
    let found = null;
    const cells = stretches.reduce((sum, each) => sum + each.count, 0);
    for (const rows of allowed.filter((each) => each <= 8 || cells <= MOST_TALL)) {
      const total = stretches.reduce((sum, each) => sum + Math.ceil(each.count / rows) + 1, 0);
      for (let columns = 1; columns <= Math.min(total, MOST_COLUMNS); columns++) {
        const laid = lines(stretches, columns, rows, perGib);
        const gaps = gapsOf(laid, space.gap, space.dpr);
        const high = (space.height * space.dpr - 2 - heightOf(laid, gaps)) / (rows * laid.starts.length);
        const pitch = Math.max(1, snapped(Math.min(room / columns, high), space));
        const fits = Math.min(room / columns, high) >= 1 ? 1 : 0.01;
        const points = fits * score(laid, pitch, columns, rows, room, space);
        if (!found || points > found.points) {
          found = { ...laid, gaps, pitch, rows, points };
        }
      }
    }
    return found;
  }

  function place(found, space) {
    const { pitch, rows, gaps } = found;
    const wide = Math.max(...found.tracks.map((track) => track.column + track.columns)) * pitch;
    const width = Math.round(space.width * space.dpr);
    const label = Math.round(space.label * space.dpr);
    const beside = wide > 0.9 * (width - label) ? width - wide : label;
    const x0 = space.label === 0 ? Math.max(0, (width - wide) >> 1) : beside;
    let y = 1;
    const tops = found.starts.map((hole, at) => {
      y += at === 0 ? 0 : hole ? gaps.hole : gaps.gap;
      const top = y;
      y += rows * pitch;
      return top;
    });
    const tracks = found.tracks.map((track, index) => ({
      ...track,
      index,
      x: x0 + track.column * pitch,
      y: tops[track.line],
      width: track.columns * pitch,
      height: rows * pitch,
      last: track.first + track.count - 1,
    }));
    const ink = space.ink ?? space.dpr;
    return { pitch, css: pitch / space.dpr, em: pitch / ink, ink, dpr: space.dpr, rows, tracks, x0, width, height: y + 1, gap: gaps.gap };
  }

  // Lays out a map.
  //   guest: cells, firstGfn[cells], span (pages that a cell spans), slots [{first, pages}] ascending
  //   space: width, height, label (column at the left), gap (between tracks), largest (pitch), all CSS px; dpr; ink (px of
  //   a line of one CSS px at normal type size, default dpr); single (one track, if it fits)
  // Returns pitch, tracks and sizes in device pixels.
  S.mapLayout = function (guest, space) {
    const perGib = Math.max(1, Math.floor(PAGES_PER_1G / guest.span));
    const stretches = stretchesOf(guest);
    const even = best(stretches, space, perGib);
    const ragged = space.single && even.pitch < APART * space.dpr ? best(stretches, space, perGib, RAGGED_ROWS) : even;
    const layout = place(ragged.pitch > even.pitch ? ragged : even, space);
    layout.span = guest.span;
    layout.trackOf = new Int16Array(guest.cells);
    layout.x = new Int32Array(guest.cells);
    layout.y = new Int32Array(guest.cells);
    for (const track of layout.tracks) {
      for (let at = 0; at < track.count; at++) {
        layout.trackOf[track.first + at] = track.index;
        layout.x[track.first + at] = track.x + Math.floor(at / layout.rows) * layout.pitch;
        layout.y[track.first + at] = track.y + (at % layout.rows) * layout.pitch;
      }
    }
    return layout;
  };

  // Returns the cell that contains a page, -1 if none does.
  S.cellOf = function (firstGfn, span, gfn) {
    let low = 0;
    let high = firstGfn.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (firstGfn[middle] <= gfn) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low > 0 && gfn < firstGfn[low - 1] + span ? low - 1 : -1;
  };

  S.pagesPer = { gib: PAGES_PER_1G, region: PAGES_PER_2M };
})();
