// Text lines on a cell at an instant: from its shares on the whole map, from its entries on a zoomed map.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const PAGE_BYTES = 4096;
  const FULL = 255;
  const [NONE, K4, M2, G1, P4, P1, DIRTY, COUNT] = [0, 1, 2, 3, 4, 6, 7, 8];
  const LEVELS = ["not mapped", "4K", "2M", "1G"];
  const PLACES = ["by the ioctl that enables logging", "by CLEAR", "by write faults", "ahead of logging"];
  const hex = (number) => `0x${number.toString(16)}`;
  const percent = (share) => (share === FULL ? "all" : `${Math.max(1, Math.min(99, Math.round((100 * share) / FULL)))} %`);

  S.whereSays = function (first, pages) {
    const [range, size] = pages === 1 ? [hex(first), "4 KiB"] : [`${hex(first)}..${hex(first + pages - 1)}`, S.sizeText(pages * PAGE_BYTES)];
    return `gfn ${range}, GPA ${hex(first * PAGE_BYTES)}, ${size}`;
  };

  // ---- a cell of many pages

  function sharesSay(shares) {
    const parts = LEVELS.flatMap((name, level) => {
      const shut = level ? shares[P4 + level - 1] : 0;
      const part = `${percent(shares[level])} ${level ? `in ${name} pages` : name}`;
      return shares[level] ? [shut ? `${part} (${percent(shut)} write-protected)` : part] : [];
    });
    return `${parts.join(", ")}; ${shares[DIRTY] ? `${percent(shares[DIRTY])} dirty` : "none dirty"}`;
  }

  // Letters of the entries, as far as shares determine them: W, if it is the same in all entries.
  function lettersSay(run, shares) {
    const level = [K4, M2, G1].find((each) => shares[each] === FULL);
    const shut = level && shares[P4 + level - 1];
    if (!level || (shut > 0 && shut < FULL)) {
      return "";
    }
    const bits = S.spteFlags.PRESENT | (shut ? 0 : S.spteFlags.WRITABLE);
    return entrySays(run, level, bits, ["A", "D", "AF"]);
  }

  // The change of a cell in a bin, from its shares before and after.
  function deed(before, after) {
    const mapped = (shares) => shares[K4] + shares[M2] + shares[G1];
    const size = (shares) => (shares[G1] ? 3 : shares[M2] ? 2 : shares[K4] ? 1 : 0);
    const shut = (shares) => shares[P4] + shares[P4 + 1] + shares[P1];
    if (mapped(after) !== mapped(before)) {
      return mapped(after) > mapped(before) ? ["mapped"] : ["zapped"];
    }
    if (after[K4] > before[K4] || (after[M2] > before[M2] && after[G1] < before[G1])) {
      return ["split", true];
    }
    if (size(after) > size(before)) {
      return ["made a huge page again"];
    }
    if (shut(after) !== shut(before)) {
      return [shut(after) > shut(before) ? "write-protected" : "made writable"];
    }
    return [after[DIRTY] > before[DIRTY] ? "dirtied" : "taken out of the dirty log"];
  }

  // The place where most huge pages were split in a bin.
  function splitPlace(run, frame) {
    const [from, to] = [run.splits(run.framePs(frame - 1)), run.splits(run.framePs(frame))];
    const counts = to.map((count, place) => count - from[place]);
    const most = Math.max(...counts);
    return most > 0 ? ` ${PLACES[counts.indexOf(most)]}` : "";
  }

  function changeSays(run, cell, frame) {
    const changed = run.lastChange(cell, frame);
    if (changed <= 0) {
      return "as it was at the start";
    }
    const at = (which) => run.cellsAt(which).slice(cell * COUNT, cell * COUNT + COUNT);
    const [what, isSplit] = deed(at(changed - 1), at(changed));
    return `last change by ${S.timeText(run.framePs(changed))}: ${what}${isSplit ? splitPlace(run, changed) : ""}`;
  }

  // The member that changed last, of several cells that are drawn as one.
  function latest(run, { first, end }, frame) {
    const cells = Array.from({ length: end - first }, (_, at) => first + at);
    return cells.reduce((a, b) => (run.lastChange(b, frame) > run.lastChange(a, frame) ? b : a));
  }

  // `map` is the map that draws the cell; without one, it is a cell of the run.
  S.cellSays = function (run, { cell, firstGfn, pages }, ps, map) {
    const frame = run.frame(ps);
    const members = map?.run.members?.[cell];
    const shares = (map?.frames.at(cell) ?? run.cellsAt(frame)).slice(COUNT * cell, COUNT * cell + COUNT);
    shares[DIRTY] = map?.frames.dirty(cell) ?? shares[DIRTY];
    const changed = members ? latest(run, members, frame) : cell;
    const unarmed = shares[DIRTY] === FULL && S.neverCleared(run, changed, frame);
    const why = unarmed ? "all bits set since logging began, written or not" : "";
    return [S.whereSays(firstGfn, pages), sharesSay(shares), why, lettersSay(run, shares), changeSays(run, changed, frame)].filter(Boolean);
  };

  // ---- a page or a region whose events are known

  // "EPT L1 entry: R W X A, D clear"; letters in `unknown` are left out.
  function entrySays(run, level, bits, unknown = []) {
    const format = S.spteFormat(run);
    const found = S.spteBits(format, bits).filter(([name]) => !unknown.includes(name));
    if (format === "EPT") {
      found.splice(2, 0, ["X", true]);
    }
    const names = (set) => found.filter(([, is]) => is === set).map(([name]) => name).join(" ");
    return `${format} L${level} entry, ${LEVELS[level]}: ${names(true)}${names(false) ? `, ${names(false)} clear` : ""}`;
  }

  // The effect that a write to the page would have now.
  function nextWrite(run, { level, bits }, logging) {
    const { WRITABLE, DIRTY: SET } = S.spteFlags;
    if (level === 0) {
      return "a write faults: not mapped";
    }
    if (!(bits & WRITABLE)) {
      const splits = S.kernelIsFrom(run, S.FIRST_IN_PLACE) && run.header.scenario.vm.mmu === "tdp";
      const huge = splits ? "splits the page" : "zaps the huge page";
      return level > 1 ? `a write faults and ${huge}` : bits & 4 ? "a write faults; fast_page_fault() mends it" : "a write faults, under mmu_lock";
    }
    return logging && run.header.scenario.vm.pml && !(bits & SET) ? "a write costs no fault: PML logs it" : "a write costs nothing";
  }

  const EVENTS = {
    split: "split", fault: "page fault", fast: "fast_page_fault()", cpu_dirty: "the processor set D",
  };

  function eventSays(fold, event) {
    if (!event) {
      return "no event yet";
    }
    const who = event.vcpu < 0 ? "ioctl thread" : `vCPU ${event.vcpu}`;
    const kindOf = (bits) => (bits & S.spteFlags.TABLE ? "table" : bits & S.spteFlags.PRESENT ? LEVELS[event.level] : "none");
    const letters = (bits) => `${bits & S.spteFlags.WRITABLE ? "W" : ""}${bits & S.spteFlags.DIRTY ? "D" : ""}` || "–";
    const change = kindOf(event.old) === kindOf(event.new) ? `${letters(event.old)} → ${letters(event.new)}` : `${kindOf(event.old)} → ${kindOf(event.new)}`;
    const log = event.new ? "entered the dirty log" : "left the dirty log";
    const what = event.kind === "dirty_log" ? log : EVENTS[event.kind] || `L${event.level} ${change}`;
    return `${S.timeText(event.timePs)}, ${who}: ${what}`;
  }

  S.isLogging = (run, ps) => {
    const last = run.calls.filter(({ kind, startPs }) => startPs <= ps && (kind === "enable" || kind === "disable")).pop();
    return Boolean(last && last.kind === "enable");
  };

  S.pageSays = function (run, frames, { cell, firstGfn, pages }, ps) {
    const { fold } = frames;
    fold.seek(ps);
    if (pages > 1) {
      const at = cell * COUNT;
      return [S.whereSays(firstGfn, pages), sharesSay(frames.at(cell).slice(at, at + COUNT)), `last event ${eventSays(fold, fold.lastEvent(firstGfn))}`];
    }
    const leaf = fold.leaf(firstGfn);
    const entry = leaf.level ? entrySays(run, leaf.level, leaf.bits) : "not mapped";
    const never = frames.unarmed(cell) ? " since logging began, written or not" : "";
    const log = fold.isDirty(firstGfn) ? `in the dirty log${never}` : "not in the dirty log";
    return [
      S.whereSays(firstGfn, 1), entry, `${log}; ${nextWrite(run, leaf, S.isLogging(run, ps))}`,
      `last event ${eventSays(fold, fold.lastEvent(firstGfn))}`,
    ];
  };
})();
