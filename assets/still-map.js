// Ties the page's map, buttons and table together: fetches the Recording once, and shows the map after an op.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const WRITABLE = 2;
  const DIRTY = 8;
  const LEVEL_NAMES = ["", "4K", "2M", "1G"];
  const PAGES_PER_LEVEL = [0, 1, 512, 262144];
  const WIDE_BLOCKS = 4;
  const NARROW_BLOCKS = 2;
  const NARROW = window.matchMedia("(max-width: 44rem)");
  const byId = (id) => document.getElementById(id);

  let shown = null;

  const counted = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  // The map in words: leaves of each level, and how many of them are write-protected, armed or dirty.
  function summary(pageMap, logged) {
    const { base_gfn: base, pages } = pageMap.recording.slot;
    const counts = LEVEL_NAMES.map(() => ({ leaves: 0, "write-protected": 0, "with the dirty bit clear": 0, dirty: 0 }));
    let unmapped = 0;
    for (let gfn = base; gfn < base + pages; ) {
      const leaf = pageMap.leaf(gfn);
      const level = leaf >> 8;
      const of = counts[level];
      of.leaves += 1;
      of["write-protected"] += leaf & WRITABLE ? 0 : 1;
      of["with the dirty bit clear"] += (leaf & (WRITABLE | DIRTY)) === WRITABLE ? 1 : 0;
      of.dirty += logged && (leaf & WRITABLE) && (leaf & DIRTY) ? 1 : 0;
      unmapped += level === 0 ? 1 : 0;
      const span = PAGES_PER_LEVEL[level] || 1;
      gfn = level === 0 ? gfn + 1 : (Math.floor(gfn / span) + 1) * span;
    }
    const parts = [3, 2, 1].filter((level) => counts[level].leaves > 0).map((level) => {
      const { leaves, ...states } = counts[level];
      const said = Object.entries(states).filter(([, count]) => count > 0)
        .map(([state, count]) => (count === leaves ? `all ${state}` : `${count.toLocaleString("en")} ${state}`));
      return `${counted(leaves, "page")} of ${LEVEL_NAMES[level]}${said.length ? ` (${said.join(", ")})` : ""}`;
    });
    parts.push(unmapped ? `${counted(unmapped, "4K page")} not mapped` : "nothing left unmapped");
    return `${parts.join("; ")}.`;
  }

  function scaleText(shape) {
    const cell = shape.span === 1 ? "one 4K page" : `${shape.span.toLocaleString("en")} pages (2 MiB)`;
    const block = shape.span === 1 ? "2 MiB" : "1 GiB";
    return `One cell is ${cell}; a block of 32 × 16 cells is ${block}.`;
  }

  function paint() {
    const logged = shown.recording.op_columns.logging[shown.op] !== 0;
    shown.pageMap.seek(shown.recording.op_columns.first_run[shown.op + 1]);
    const shape = window.mmuviz.paintMap(shown.canvas, shown.pageMap, NARROW.matches ? NARROW_BLOCKS : WIDE_BLOCKS, logged);
    Object.assign(shown.canvas.dataset, {
      cellPx: shape.size, gapPx: shape.gap, span: shape.span, across: shape.across, first: shape.first, op: shown.op,
    });
    document.querySelectorAll(".swatch").forEach(window.mmuviz.paintSwatch);
    byId("map-scale").textContent = scaleText(shape);
    byId("map-summary").textContent = summary(shown.pageMap, logged);
  }

  function select(op) {
    if (!shown || op < 0 || op >= shown.rows.length) {
      return;
    }
    shown.rows[shown.op].removeAttribute("aria-current");
    shown.op = op;
    shown.rows[op].setAttribute("aria-current", "true");
    const label = shown.rows[op].querySelector("button").lastChild.textContent;
    byId("map-op").textContent = `After op ${op + 1} of ${shown.rows.length}: ${label}`;
    byId("previous-op").disabled = op === 0;
    byId("next-op").disabled = op === shown.rows.length - 1;
    paint();
  }

  // The first op after which something was split or logged is the most telling one; else the last.
  function firstOp(recording) {
    const enabled = recording.op_columns.logging.indexOf(1);
    return enabled >= 0 && enabled + 1 < recording.ops.length ? enabled + 1 : recording.ops.length - 1;
  }

  async function show(canvas) {
    shown = null;
    try {
      const response = await fetch(canvas.dataset.recording);
      if (!response.ok) {
        throw new Error(`the server answered ${response.status}`);
      }
      const recording = window.mmuviz.decode(await response.arrayBuffer());
      const rows = [...document.querySelectorAll("#ops tbody tr")];
      const pageMap = new window.mmuviz.PageMap(recording);
      shown = { canvas, recording, rows, pageMap, op: 0 };
      select(firstOp(recording));
    } catch (error) {
      byId("map-op").textContent = `The map cannot be shown: ${error.message}.`;
    }
  }

  function onClick(event) {
    const button = event.target.closest("button");
    const row = event.target.closest("tr[data-op]");
    if (row) {
      select(Number(row.dataset.op));
    } else if (button && shown && button.id === "previous-op") {
      select(shown.op - 1);
    } else if (button && shown && button.id === "next-op") {
      select(shown.op + 1);
    }
  }

  const KEYS = {
    ArrowLeft: (op) => op - 1,
    ArrowRight: (op) => op + 1,
    Home: () => 0,
    End: () => shown.rows.length - 1,
  };

  function onKey(event) {
    const plain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    const typing = event.target.closest("input, textarea, select, [contenteditable]");
    if (shown && plain && !typing && event.key in KEYS) {
      event.preventDefault();
      select(KEYS[event.key](shown.op));
    }
  }

  const repaint = () => shown && paint();

  // Dash puts the page into the document at a time of its own.
  const watch = new MutationObserver(() => {
    const canvas = byId("map");
    if (canvas && canvas !== (shown && shown.canvas) && !canvas.dataset.asked) {
      canvas.dataset.asked = "yes";
      new ResizeObserver(repaint).observe(canvas.parentElement);
      show(canvas);
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    watch.observe(document.body, { childList: true, subtree: true });
    document.addEventListener("click", onClick);
    document.addEventListener("keydown", onKey);
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
