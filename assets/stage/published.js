// Published measurements of exactly the experiment that is shown: dots on the charts and at the ends of calls.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  // Kinds that a run has once; their iteration is ignored.
  const ONCE = new Set(["enable", "disable", "populate", "pre_split"]);
  const REACH = 8;
  const BESIDE = 9;
  const APART = 9;
  // A label may stand over the caption's lower edge.
  const LABEL_OVER = 6;
  const UNITS = { percent: "%", us: "µs" };
  const amount = ({ value, unit }) => `${Number(value.toPrecision(3))} ${UNITS[unit] || unit}`;
  // In the unit of the adjacent times, unless it would begin with zeros.
  const textOf = (match) => (match.ps && match.value < 1 ? S.timeText(match.ps) : amount(match));

  const spansOf = (run) => [...run.calls, ...run.phases];
  const isOf = (match, { kind, iteration }) => match.call === kind && (ONCE.has(kind) || match.iteration === iteration);

  // A published value at its call or pass: the end that the call would have with this value, and its description.
  function dotOf(run, index, match) {
    const span = spansOf(run).find((each) => isOf(match, each));
    if (!span) {
      return null;
    }
    const tookPs = span.endPs - span.startPs;
    const here = match.percent === undefined ? S.timeText(tookPs)
      : `${Math.round((100 * (run.stallPs(span.endPs) - run.stallPs(span.startPs))) / (tookPs || 1))} %`;
    const what = S.callName(span.kind === "dirty" ? "a pass of writing" : span.kind);
    return {
      run: index, id: match.id, span, url: match.url, percent: match.percent,
      ps: span.startPs + (match.percent === undefined ? match.ps : tookPs), text: textOf(match),
      description: `Published: ${what} ${match.percent === undefined ? "took" : "stalled"} ${textOf(match)}; here ${here}. ${match.source}`,
    };
  }

  // All of a run: [{run, id, span, ps, text, description, url}].
  S.publishedOf = (run, index = 0) => (run.published || []).map((match) => dotOf(run, index, match)).filter(Boolean);

  // The dots of one call, for a table of calls.
  S.publishedAt = (run, kind, iteration, nth) =>
    (nth > 0 ? [] : S.publishedOf(run).filter(({ span }) => span.kind === kind && span.iteration === iteration));

  // The value of a dot on a chart of a measure; null if it does not apply to it.
  const VALUES = {
    tables: (run, { percent, span }) => (percent === undefined && span.tablesAdded > 0 ? run.tablesAdded(span.endPs) : null),
    stall: (run, { percent, span }) => (percent === undefined ? null
      : run.stallPs(span.startPs) + ((span.endPs - span.startPs) * percent) / 100),
  };

  S.chartDots = function (runs, measure) {
    const valueOf = VALUES[measure];
    const dots = valueOf ? runs.flatMap((run, index) => S.publishedOf(run, index)) : [];
    return dots.map((dot) => ({ ...dot, value: valueOf(runs[dot.run], dot) })).filter(({ value }) => value !== null);
  };

  // ---- dots on a chart are buttons over it, for pointer and keyboard

  class ChartDots {
    constructor(chart, act) {
      this.chart = chart;
      this.box = chart.canvas.parentElement;
      this.box.querySelectorAll(".published-dot").forEach((each) => each.remove());
      this.marks = chart.dots.map((dot) => {
        const label = S.el("span", { class: "published-label", text: `published ${dot.text}` });
        const mark = S.el("button", {
          type: "button", class: "published-dot", title: dot.description, "aria-label": `${dot.description} Opens the evidence.`,
          data: { published: dot.id, ps: dot.ps, value: dot.value },
        }, label);
        mark.addEventListener("click", () => act("details-evidence"));
        this.box.append(mark);
        return mark;
      });
      this.sizes = this.marks.map(({ firstChild }) => ({ width: firstChild.offsetWidth, height: firstChild.offsetHeight }));
    }

    // Position of a label at its dot that avoids the chart's labels, e.g. "above right"; or none.
    placeOf({ x, y }, { width, height }) {
      const { labels, plot } = this.chart;
      const sides = x > this.chart.width / 2 ? ["left", "right"] : ["right", "left"];
      for (const side of sides) {
        for (const [row, top] of [["above", y - height - APART], ["below", y + APART], ["beside", y - height / 2]]) {
          const left = side === "right" ? x + BESIDE : x - BESIDE - width;
          const fits = left >= plot.left && left + width <= this.chart.width && top >= -LABEL_OVER && top + height <= plot.bottom;
          const free = labels.every((each) => left > each.x + each.width || left + width < each.x ||
            top > each.y + each.height || top + height < each.y);
          if (fits && free) {
            return `published-dot ${row} ${side}`;
          }
        }
      }
      return "published-dot";
    }

    draw() {
      this.chart.dotPlaces().forEach(({ x, y, inside }, at) => {
        const mark = this.marks[at];
        const place = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
        if (mark.hidden === inside) {
          mark.hidden = !inside;
        }
        if (inside && mark.placed !== place) {
          mark.placed = mark.style.transform = place;
        }
        const name = inside ? this.placeOf({ x, y }, this.sizes[at]) : mark.className;
        if (mark.className !== name) {
          mark.className = name;
        }
      });
    }
  }

  (S.parts = S.parts || []).push((stage) => {
    const scrubber = stage.root.querySelector("[data-mmuviz=scrubber]");

    scrubber.addEventListener("pointermove", (event) => {
      const x = event.clientX - scrubber.getBoundingClientRect().left;
      const near = (stage.ribbon?.dots || []).filter((dot) => Math.abs(stage.ribbon.dotX(dot) - x) < REACH);
      const title = near.map(({ description }) => description).join("\n");
      if (scrubber.title !== title) {
        scrubber.title = title;
      }
    });

    return {
      shown(runs) {
        stage.ribbon.dots = runs.flatMap((run, index) => S.publishedOf(run, index));
        const dotsOf = stage.charts.map(({ options }) => S.chartDots(runs, options.measure));
        const latest = Math.max(0, ...dotsOf.flat().map(({ ps }) => ps));
        for (const [at, chart] of stage.charts.entries()) {
          chart.setDots(dotsOf[at], latest);
          const dots = new ChartDots(chart, (name) => stage.act(name));
          chart.after = () => dots.draw();
        }
      },
    };
  });
})();
