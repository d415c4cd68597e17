// The expert view: a timeline below the maps in place of loupes and charts. Key E; the address has a field for it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const LOWER_SHARE = { 2: 0.335, 3: 0.35, 4: 0.31 }; // by the number of panes
  const SEGMENTS = 30; // CSS px of the phases of a migration

  (S.moreKeys = S.moreKeys || []).push([["e"], "expert view: a lane for each vCPU", "expert"]);
  (S.linkFields = S.linkFields || {}).view = {
    initial: "",
    read(text, wrong) {
      if (text !== "expert") {
        throw wrong("must be expert, or left out");
      }
      return text;
    },
    write: (value) => value || null,
  };

  const made = (tag, properties, data = {}) => {
    const node = Object.assign(document.createElement(tag), properties);
    Object.assign(node.dataset, data);
    return node;
  };

  class LaneView {
    constructor(stage) {
      this.stage = stage;
      this.place = made("section", { className: "timeline", hidden: true });
      this.place.setAttribute("aria-label", "Timeline: vCPUs, ioctl thread, charts");
      this.canvas = made("canvas", { className: "timeline-canvas" });
      this.canvas.setAttribute("aria-hidden", "true");
      this.lanes = made("div", { className: "timeline-lanes", tabIndex: 0 });
      this.lanes.setAttribute("role", "listbox");
      this.lanes.setAttribute("aria-label", "Lanes: arrows choose one, Enter says why");
      this.chosen = 0;
      this.card = made("div", { className: "why-card", hidden: true });
      this.card.setAttribute("role", "status");
      this.place.append(this.canvas, this.lanes, this.card);
      stage.root.querySelector(".lower").after(this.place);
      this.lanes.addEventListener("click", (event) => this.clicked(event));
      this.canvas.addEventListener("click", (event) => this.clicked(event));
      this.lanes.addEventListener("pointermove", (event) => this.hovered(event));
      this.lanes.addEventListener("keydown", (event) => this.typed(event));
      this.card.addEventListener("click", (event) => event.target.closest("button") && this.close());
      document.addEventListener("keydown", (event) => event.key === "Escape" && this.close());
      this.acts = { expert: () => this.toggle() };
    }

    get open() {
      return document.body.classList.contains("expert");
    }

    get lowerShare() {
      const phases = this.stage.root.classList.contains("has-segments") ? SEGMENTS / window.innerHeight : 0;
      return this.open ? (LOWER_SHARE[this.runs?.length] ?? LOWER_SHARE[2]) + phases : 0;
    }

    toggle(wanted = !this.open) {
      this.stage.state.view = wanted ? "expert" : "";
      this.show(wanted);
      this.stage.resize();
      this.stage.changed();
    }

    show(wanted) {
      document.body.classList.toggle("expert", wanted);
      this.place.hidden = !wanted;
      this.close();
      for (const button of this.stage.root.querySelectorAll('[data-act="expert"]')) {
        button.setAttribute("aria-pressed", String(wanted));
      }
    }

    shown(runs, state) {
      this.runs = runs;
      document.body.dataset.panes = String(runs.length);
      this.chart = null;
      this.show(state.view === "expert");
    }

    resize() {
      if (!this.open || !this.runs) {
        return;
      }
      if (this.chart === null) {
        this.chart = new S.Lanes(this.canvas, this.runs);
      }
      this.chart.resize();
      this.placeLanes();
    }

    // A box over each lane, for pointer, keyboard and screen readers.
    placeLanes() {
      const { rows } = this.chart;
      const boxes = this.runs.flatMap((run, at) => {
        const lanes = rows.runs[at].lanes.map((row, lane) => ({ ...row, lane, name: this.chart.shares[at].name(lane) }));
        return [...lanes, { ...rows.runs[at].ioctl, lane: -1, name: "ioctl thread" }].map((each) => ({ ...each, at }));
      });
      while (this.lanes.children.length > boxes.length) {
        this.lanes.lastChild.remove();
      }
      boxes.forEach(({ y, height, lane, at, name }, index) => {
        const box = this.lanes.children[index] || this.lanes.appendChild(made("div", { className: "lane" }));
        Object.assign(box.dataset, { mmuviz: "lane", run: at, lane, name });
        box.id = `lane-${index}`;
        box.setAttribute("role", "option");
        Object.assign(box.style, {
          top: `${y}px`, height: `${height}px`, left: `${rows.left}px`, width: `${rows.right - rows.left}px`,
        });
      });
      this.choose(Math.min(this.chosen, boxes.length - 1));
    }

    draw(ps) {
      if (this.open && this.chart) {
        this.chart.draw(ps);
      }
    }

    read(ps) {
      this.draw(ps);
    }

    tell(ps) {
      if (!this.open || !this.chart) {
        return;
      }
      for (const box of this.lanes.children) {
        const { run, lane, name } = box.dataset;
        const each = this.runs[run];
        box.setAttribute("aria-label", `${each.label}, ${name}: ${S.laneSays(this.chart, run, Number(lane), ps)}`);
      }
    }

    hitOf(event) {
      const box = this.canvas.getBoundingClientRect();
      return this.chart.hit(event.clientX - box.left, event.clientY - box.top);
    }

    // A click on a slice shows its cause, one on a call seeks to its begin, one elsewhere in the plot to that time.
    clicked(event) {
      const hit = this.hitOf(event);
      if (hit && hit.run !== undefined) {
        this.explain(hit);
      } else if (hit) {
        this.close();
        this.stage.goTo(hit.calls ? S.lastBeginning(this.runs, hit.ps) : Math.min(hit.ps, this.stage.clock.endPs));
      }
    }

    // A short text as the tooltip.
    hovered(event) {
      const box = event.target.closest(".lane");
      const hit = this.hitOf(event);
      if (box && hit && hit.run !== undefined) {
        const lane = hit.lane ?? -1;
        box.title = hit.ps <= this.stage.clock.now ? S.laneHint(this.chart, hit.run, lane, hit.ps) : "";
      }
    }

    // One tab stop for all lanes, which are too low for one each.
    typed(event) {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      const lanes = this.lanes.children;
      if (step && lanes.length) {
        this.choose((this.chosen + step + lanes.length) % lanes.length);
      } else if ((event.key === "Enter" || event.key === " ") && lanes[this.chosen]) {
        const { run, lane } = lanes[this.chosen].dataset;
        this.explain({ run: Number(run), lane: lane === "-1" ? null : Number(lane), ps: this.stage.clock.now });
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    }

    choose(chosen) {
      this.chosen = chosen;
      [...this.lanes.children].forEach((box, at) => box.setAttribute("aria-selected", String(at === chosen)));
      this.lanes.setAttribute("aria-activedescendant", `lane-${chosen}`);
    }

    explain(hit) {
      const run = this.runs[hit.run];
      const ps = Math.min(hit.ps, run.endPs);
      this.stage.goTo(ps);
      const close = made("button", { type: "button", className: "tool", textContent: "Close" });
      this.card.replaceChildren(...S.whyNodes(this.chart, hit, ps), close);
      Object.assign(this.card.dataset, { run: hit.run, lane: hit.lane ?? -1, bin: run.binAt(Math.min(ps, run.endPs - 1)) });
      this.card.hidden = false;
      const { rows } = this.chart;
      const left = Math.max(8, Math.min(this.chart.xAt(ps) + 12, this.chart.width - 348));
      const below = rows.runs[hit.run].bottom + 6;
      this.card.style.left = `${left}px`;
      this.card.style.top = `${Math.min(below, this.chart.height - this.card.offsetHeight - 4)}px`;
    }

    close() {
      this.card.hidden = true;
    }
  }

  (S.parts = S.parts || []).push((stage) => new LaneView(stage));
})();
