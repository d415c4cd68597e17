// A panel that opens under its button, inside the window at every size; Esc, a press elsewhere or a choice closes it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const MARGIN = 8;
  const REACHED = "button:not([disabled]), summary, select";

  class Popup {
    // `opening` is called before the panel is shown; `wide` is its preferred width.
    constructor(button, panel, { opening = () => {} } = {}) {
      Object.assign(this, { button, panel, opening });
      button.setAttribute("aria-expanded", "false");
      button.setAttribute("aria-controls", panel.id);
      button.addEventListener("click", () => this.open(panel.hidden));
      panel.addEventListener("keydown", (event) => this.typed(event));
      document.addEventListener("pointerdown", (event) => {
        if (!panel.contains(event.target) && !button.contains(event.target)) {
          this.open(false);
        }
      });
      window.addEventListener("resize", () => !panel.hidden && this.place());
    }

    open(wanted) {
      const { button, panel } = this;
      if (wanted === !panel.hidden) {
        return;
      }
      if (wanted) {
        this.opening();
      }
      const inside = panel.contains(document.activeElement);
      panel.hidden = !wanted;
      button.setAttribute("aria-expanded", String(wanted));
      if (wanted) {
        this.place();
        (panel.querySelector("[aria-current=true]") || panel.querySelector(REACHED))?.focus();
      } else {
        panel.dispatchEvent(new Event("close")); // as a dialog does
        if (inside) {
          button.focus();
        }
      }
    }

    place() {
      const { button, panel } = this;
      const at = button.getBoundingClientRect();
      const top = Math.max(MARGIN, Math.min(at.bottom + 4, window.innerHeight / 2));
      panel.style.top = `${top}px`;
      panel.style.maxHeight = `${window.innerHeight - top - MARGIN}px`;
      const most = window.innerWidth - panel.getBoundingClientRect().width - MARGIN;
      panel.style.left = `${Math.max(MARGIN, Math.min(at.left, most))}px`;
    }

    // Arrows go from one choice to the next, skipping folded ones.
    typed(event) {
      const steps = { ArrowDown: 1, ArrowUp: -1 };
      if (event.key === "Escape") {
        this.open(false);
      } else if (event.key in steps) {
        const all = [...this.panel.querySelectorAll(REACHED)].filter((each) => each.getClientRects().length > 0);
        all[(all.indexOf(document.activeElement) + steps[event.key] + all.length) % all.length]?.focus();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    }
  }

  S.Popup = Popup;
})();
