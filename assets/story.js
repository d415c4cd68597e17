// Ties the page together: fetches a pair of recordings once, and then shows any tick of it, played, stepped or sought.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const TEXT_EVERY_MS = 150;
  const SETTLED_MS = 150;
  const URL_AFTER_MS = 300;
  const CHARTS_WAIT_MS = 4000;
  const ACCESS_OPS = new Set(["read", "write", "parallel_write"]);
  const CALM = window.matchMedia("(prefers-reduced-motion: reduce)");
  const byId = (id) => document.getElementById(id);

  let shown = null;

  class Story {
    constructor(root, pair) {
      const { Timeline, Counts, Player, Transport, Maps, PaneReadout, Live } = window.mmuviz;
      this.root = root;
      this.pair = pair;
      this.timeline = new Timeline(pair);
      this.opEnds = this.endsOfOps();
      this.player = new Player(this.timeline, {
        draw: () => this.draw(),
        changed: () => this.changed(),
        rested: () => this.rested(),
      });
      this.readouts = pair.panes.map((pane, index) => {
        const section = root.querySelector(`[data-pane="${index}"]`);
        return new PaneReadout(section, pane, index, new Counts(pair, index, this.timeline), this.timeline);
      });
      this.live = new Live(byId("live"));
      this.transport = new Transport(byId("transport"), pair, this.timeline, this.player);
      this.cursors = [];
      this.textAt = -TEXT_EVERY_MS;
      this.wordsAt = 0;
      this.words = this.writers();
      this.maps = new Maps(root, pair, this.timeline, () => this.maps && this.draw());
      this.timers = {};
      this.unbind = window.mmuviz.bindKeys(this.actions());
      this.onOps = (event) => this.clickOps(event);
      document.addEventListener("click", this.onOps);
    }

    // Charts and the table of ops come when they are drawn.
    findRest() {
      const ops = byId("ops");
      if (ops && !ops.tBodies.length) {
        window.mmuviz.fillOps(ops);
      }
      if (!this.row && ops) {
        this.markRow(this.player.tick);
        this.settle();
      }
      for (const frame of document.querySelectorAll(".chart-frame:not([data-followed])")) {
        frame.dataset.followed = "yes";
        const seek = (x) => this.player.step(this.timeline.tickAtX(x));
        const cursor = new window.mmuviz.ChartCursor(frame, seek, this.timeline.secondsBefore);
        cursor.move(this.player.x);
        cursor.still.show(this.player.playing);
        this.cursors.push(cursor);
      }
    }

    endsOfOps() {
      const ends = [];
      for (let tick = 0; ends.length < this.pair.header.ops.length; ) {
        tick = this.timeline.nextOp(tick);
        ends.push(tick);
      }
      return ends;
    }

    actions() {
      const { player, timeline } = this;
      const to = (find) => () => player.step(find(player.tick));
      return {
        toggle: () => player.toggle(),
        next: to((tick) => tick + 1),
        back: to((tick) => tick - 1),
        nextAccess: to((tick) => timeline.nextAccess(tick)),
        backAccess: to((tick) => timeline.backAccess(tick)),
        nextOp: to((tick) => timeline.nextOp(tick)),
        backOp: to((tick) => timeline.backOp(tick)),
        first: to(() => 0),
        last: to(() => timeline.total),
        slower: () => player.setSpeed(player.speedIndex - 1),
        faster: () => player.setSpeed(player.speedIndex + 1),
        zoomIn: () => this.maps.zoomIn(),
        zoomOut: () => this.maps.zoomOut(),
      };
    }

    // Where a page opens that may not move by itself: after the first accesses under the log.
    tellingTick() {
      const kinds = this.pair.header.ops.map((op) => op.kind);
      const enabled = kinds.indexOf("enable");
      const told = kinds.findIndex((kind, op) => op > enabled && ACCESS_OPS.has(kind));
      return enabled >= 0 && told >= 0 ? this.opEnds[told] : this.pair.header.open_at;
    }

    start() {
      const { step } = this.root.dataset;
      const { total } = this.timeline;
      this.root.dataset.total = total;
      this.maps.repaint();
      if (step !== "") {
        this.player.place(Number(step));
      } else {
        this.player.place(CALM.matches ? this.tellingTick() : this.pair.header.open_at);
      }
      this.draw();
      this.changed();
      this.settle();
      requestAnimationFrame(() => {
        this.root.dataset.ready = "yes";
        askForRest();
        if (step === "" && !CALM.matches) {
          this.playSoon();
        }
      });
    }

    // Plays once the charts are drawn, so that drawing them costs no frame; or after a while without them.
    playSoon() {
      const begun = performance.now();
      const wait = () => {
        const drawn = this.cursors.length > 0 && this.cursors.every((cursor) => cursor.place);
        if (this.player.tick !== this.pair.header.open_at || this.player.playing) {
          return;
        }
        if (drawn || performance.now() - begun > CHARTS_WAIT_MS) {
          this.player.play();
        } else {
          requestAnimationFrame(wait);
        }
      };
      wait();
    }

    // One frame: maps and cursors at once; scrubber and words as often as eyes can read, a part of them a frame.
    draw() {
      const { tick, x, playing } = this.player;
      this.maps.draw(tick, playing);
      this.cursors.forEach((cursor) => cursor.move(x));
      const now = performance.now();
      if (!playing) {
        this.words.forEach((write) => write(tick, x));
        this.settle();
      } else if (now - this.textAt >= TEXT_EVERY_MS / this.words.length) {
        this.textAt = now;
        this.wordsAt = (this.wordsAt + 1) % this.words.length;
        this.words[this.wordsAt](tick, x);
      }
    }

    // What is written beside the maps; a range that moves, or a text, has part of the page laid out anew.
    writers() {
      const figures = this.readouts.map((readout) => (tick) => readout.show(tick));
      const clock = (tick, x) => {
        this.root.dataset.t = tick;
        this.transport.move(x);
        this.transport.show(tick);
        this.markRow(tick);
      };
      return [...figures, clock];
    }

    markRow(tick) {
      const { op } = this.timeline.place(tick);
      if (this.row && this.row.isConnected && this.rowOp === op) {
        return;
      }
      const row = document.querySelector(`#ops tr[data-op="${op}"]`);
      if (row) {
        if (this.row) {
          this.row.removeAttribute("aria-current");
        }
        row.setAttribute("aria-current", "true");
        this.row = row;
        this.rowOp = op;
      }
    }

    changed() {
      const { playing } = this.player;
      this.root.dataset.playing = playing ? "yes" : "no";
      this.transport.changed();
      this.cursors.forEach((cursor) => cursor.still.show(playing));
      if (playing) {
        this.live.silence();
        clearTimeout(this.timers.settle);
        clearTimeout(this.timers.url);
      }
    }

    later(name, delay, act) {
      clearTimeout(this.timers[name]);
      this.timers[name] = setTimeout(act, delay);
    }

    // What takes longer than a step may take, and only makes sense once the story rests.
    settle() {
      this.later("settle", SETTLED_MS, () => {
        const { tick } = this.player;
        const { maps, readouts, transport } = this;
        const table = byId("map-table");
        if (table) {
          window.mmuviz.fillMapTable(table, maps.panes, maps.shown);
        }
        maps.panes.forEach((pane, index) => {
          byId(`map-summary-${index}`).textContent = window.mmuviz.mapWords(pane, maps.shown);
        });
        const said = transport.words(tick);
        const panes = readouts.map((readout, index) => `${maps.panes[index].title}. ${readout.words(tick).text}`);
        this.live.tell([`${said.op}: ${said.label}, ${said.access}, ${said.step}.`, ...panes].join(" "));
      });
    }

    // Browsers refuse an address that changes many times a second.
    rested() {
      this.later("url", URL_AFTER_MS, () => {
        const name = encodeURIComponent(this.pair.header.name);
        window.history.replaceState(window.history.state, "", `?scenario=${name}&step=${this.player.tick}`);
      });
    }

    clickOps(event) {
      const row = event.target.closest("#ops tr[data-op]");
      if (row) {
        this.player.step(this.opEnds[Number(row.dataset.op)]);
      }
    }

    stop() {
      this.player.stop();
      this.unbind();
      this.cursors.forEach((cursor) => cursor.stop());
      Object.values(this.timers).forEach(clearTimeout);
      document.removeEventListener("click", this.onOps);
    }
  }

  // The charts and the details: asked for once the story is painted, for they take longer than it. Plotly comes first:
  // without it Dash would load the full bundle, which it does anyway should ours not come.
  function askForRest() {
    const ask = () => window.dash_clientside.set_props("painted", { data: true });
    if (window.Plotly) {
      ask();
      return;
    }
    const script = document.createElement("script");
    script.src = byId("charts").dataset.script;
    script.addEventListener("load", ask);
    script.addEventListener("error", ask);
    document.head.append(script);
  }

  async function show(root) {
    try {
      const response = await fetch(root.dataset.recording);
      if (!response.ok) {
        throw new Error(`the server answered ${response.status}`);
      }
      const pair = window.mmuviz.decodePair(await response.arrayBuffer());
      if (shown) {
        shown.stop();
      }
      shown = new Story(root, pair);
      shown.start();
    } catch (error) {
      const clock = root.querySelector(".clock-op");
      clock.textContent = `The recordings cannot be shown: ${error.message}.`;
      clock.setAttribute("role", "alert");
      askForRest();
    }
  }

  function repaint() {
    if (shown) {
      shown.maps.repaint();
      shown.cursors.forEach((cursor) => cursor.still.renew());
    }
  }

  // Dash puts the page into the document at a time of its own.
  const watch = new MutationObserver(() => {
    const root = byId("story");
    if (root && !root.dataset.asked) {
      root.dataset.asked = "yes";
      show(root);
    }
    if (shown) {
      shown.findRest();
    }
  });

  document.addEventListener("DOMContentLoaded", () => {
    watch.observe(document.body, { childList: true, subtree: true });
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
