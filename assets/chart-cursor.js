// A line over each chart that says where the story is. The chart itself is drawn once: moving a shape of Plotly costs
// a whole frame, moving an element costs nothing.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  // Where `value` lies between the numbers of `from`, which rise, said in the numbers of `to`.
  function between(value, from, to) {
    let at = 1;
    while (at < from.length - 1 && from[at] <= value) {
      at += 1;
    }
    const span = from[at] - from[at - 1];
    const share = span > 0 ? Math.min(1, Math.max(0, (value - from[at - 1]) / span)) : 1;
    return to[at - 1] + share * (to[at] - to[at - 1]);
  }

  class ChartCursor {
    // `frame` holds Dash's graph and an empty .cursor, or none where the axis is no clock; `seek` is told the second of
    // the story that a click is at; `seconds` are those at which ops begin, and the last one ends.
    constructor(frame, seek, seconds) {
      this.frame = frame;
      this.cursor = frame.querySelector(".cursor");
      this.seconds = seconds;
      // A chart of simulated time says when its ops end.
      this.ends = frame.dataset.opEnds ? [0, ...JSON.parse(frame.dataset.opEnds)] : null;
      this.place = null;
      this.x = 0;
      this.chart = null;
      this.still = new window.mmuviz.ChartStill(frame);
      this.onDrawn = () => this.measure();
      this.onClick = (event) => this.click(event, seek);
      frame.addEventListener("click", this.onClick);
      this.sizes = new ResizeObserver(this.onDrawn);
      this.sizes.observe(frame);
      // Dash draws the chart at a time of its own.
      this.watch = new MutationObserver(() => this.find());
      this.watch.observe(frame, { childList: true, subtree: true });
      this.find();
    }

    find() {
      const chart = this.frame.querySelector(".js-plotly-plot");
      if (chart && chart !== this.chart && typeof chart.on === "function") {
        this.chart = chart;
        chart.on("plotly_afterplot", this.onDrawn);
        this.watch.disconnect();
        this.measure();
      }
    }

    // _offset and _length are Plotly's own, without a public name; a browser test holds them.
    measure() {
      const layout = this.chart && this.chart._fullLayout;
      if (!layout || !layout.xaxis || !layout.xaxis._length) {
        return;
      }
      if (!this.cursor) {
        this.place = {};
        this.still.renew();
        return;
      }
      const { _offset: left, _length: width, range } = layout.xaxis;
      const inset = this.chart.getBoundingClientRect().left - this.frame.getBoundingClientRect().left;
      const size = layout._size;
      this.place = { left: left + inset, width, from: Number(range[0]), to: Number(range[1]) };
      this.cursor.style.top = `${size.t}px`;
      this.cursor.style.height = `${size.h}px`;
      this.cursor.hidden = false;
      this.move(this.x);
      this.still.renew();
    }

    move(x) {
      this.x = x;
      if (this.place && this.cursor) {
        const { left, width, from, to } = this.place;
        const at = this.ends ? between(x, this.seconds, this.ends) : x;
        const share = Math.min(1, Math.max(0, (at - from) / (to - from)));
        this.cursor.style.transform = `translateX(${(left + share * width).toFixed(2)}px)`;
      }
    }

    click(event, seek) {
      if (!this.place || !this.cursor) {
        return;
      }
      const { left, width, from, to } = this.place;
      const at = event.clientX - this.frame.getBoundingClientRect().left - left;
      if (at >= 0 && at <= width) {
        const x = from + (at / width) * (to - from);
        seek(this.ends ? between(x, this.ends, this.seconds) : x);
      }
    }

    stop() {
      this.frame.removeEventListener("click", this.onClick);
      this.sizes.disconnect();
      this.watch.disconnect();
      this.still.stop();
    }
  }

  window.mmuviz.ChartCursor = ChartCursor;
})();
