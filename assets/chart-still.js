// A picture of a chart, which stands in its place while the story plays: the hundreds of elements of Plotly's drawing
// are gone through in every frame, one picture costs nothing. A chart that rests is the drawing itself.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  // Dash and Plotly draw more than once when a chart comes or the window changes.
  const SETTLED_MS = 400;
  const SVG = "http://www.w3.org/2000/svg";
  const whenIdle = window.requestIdleCallback ? (act) => window.requestIdleCallback(act, { timeout: 2000 }) : setTimeout;

  // The rules of assets/story-charts.css and of Plotly that a picture does not get from the page.
  function rules() {
    const style = getComputedStyle(document.documentElement);
    const [ink, line] = ["--ink-soft", "--line"].map((name) => style.getPropertyValue(name).trim());
    const lines = ".xgrid, .ygrid, .zerolinelayer path, .xlines-above, .ylines-above";
    return `text { fill: ${ink} !important } :is(${lines}) { stroke: ${line} !important } .crisp { shape-rendering: crispEdges }`;
  }

  // Plotly's drawing, which is several that lie upon each other, as the text of one.
  function textOf(drawings) {
    const whole = document.createElementNS(SVG, "svg");
    const style = document.createElementNS(SVG, "style");
    style.textContent = rules();
    for (const name of ["width", "height"]) {
      whole.setAttribute(name, drawings[0].getAttribute(name));
    }
    whole.append(style, ...drawings.map((drawing) => drawing.cloneNode(true)));
    return new XMLSerializer().serializeToString(whole);
  }

  class ChartStill {
    // `frame` holds Dash's graph.
    constructor(frame) {
      this.frame = frame;
      this.picture = null;
      this.wanted = false;
      this.timer = 0;
      this.onResize = () => this.renew();
      // Before Plotly, which cannot measure a drawing that is not shown.
      window.addEventListener("resize", this.onResize);
    }

    // The chart is, or will be, drawn anew or in other colours.
    renew() {
      clearTimeout(this.timer);
      this.drop();
      this.timer = setTimeout(() => whenIdle(() => this.make()), SETTLED_MS);
    }

    drop() {
      this.frame.removeAttribute("data-still");
      if (this.picture) {
        this.picture.remove();
        this.picture = null;
      }
    }

    async make() {
      const drawings = [...this.frame.querySelectorAll(".main-svg")];
      if (this.picture || drawings.length === 0) {
        return;
      }
      const [box, at] = [this.frame, drawings[0]].map((element) => element.getBoundingClientRect());
      const picture = new Image();
      this.picture = picture;
      Object.assign(picture, { className: "still", alt: "" });
      Object.assign(picture.style, { left: `${at.left - box.left}px`, top: `${at.top - box.top}px` });
      // Not a blob: one that is given up while it loads is a failed request.
      picture.src = `data:image/svg+xml,${encodeURIComponent(textOf(drawings))}`;
      await picture.decode().catch(() => {});
      if (this.picture === picture && picture.naturalWidth > 0) {
        this.frame.append(picture);
        this.show(this.wanted);
      }
    }

    // Lets the picture stand for the chart, or not.
    show(wanted) {
      this.wanted = wanted;
      this.frame.toggleAttribute("data-still", wanted && this.picture !== null && this.picture.isConnected);
    }

    stop() {
      clearTimeout(this.timer);
      this.drop();
      window.removeEventListener("resize", this.onResize);
    }
  }

  window.mmuviz.ChartStill = ChartStill;
})();
