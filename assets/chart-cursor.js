// A line over each chart that says where the story is. The chart itself is drawn once: moving a shape of Plotly costs
// a whole frame, moving an element costs nothing.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  class ChartCursor {
    // `frame` holds Dash's graph and an empty .cursor; `seek` is told the x of a click.
    constructor(frame, seek) {
      this.frame = frame;
      this.cursor = frame.querySelector(".cursor");
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
      if (this.place) {
        const { left, width, from, to } = this.place;
        const share = Math.min(1, Math.max(0, (x - from) / (to - from)));
        this.cursor.style.transform = `translateX(${(left + share * width).toFixed(2)}px)`;
      }
    }

    click(event, seek) {
      const at = event.clientX - this.frame.getBoundingClientRect().left - (this.place ? this.place.left : 0);
      if (this.place && at >= 0 && at <= this.place.width) {
        seek(this.place.from + (at / this.place.width) * (this.place.to - this.place.from));
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
