// Refusals: one line at the field that was typed into, if it can be seen, else in the bar; the refused text stays there.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const FRAMES = ".control-frame, .field-row";
  const LISTED = /^(.*?)(?:(choose|must be) one of|The profiles are) (.+)$/i;
  const LONG = 160; // letters of a line in the dialog
  const BOX = ".field-input";
  const seen = (element) => element.getClientRects().length > 0;
  const has = (frame, field) => [...frame.querySelectorAll("[data-field]")].some((each) => each.dataset.field === field);

  const QUOTES = /, without quotes| in quotes$/; // of a value in a file
  const COUNTS = /about [^,]+ accesses, at most [^,]+ faults, /; // of a run's estimate, besides memory and time

  // Without what the row has too, the name and the list of values, so that it fits on a line of the dialog.
  function shortened(frame, message) {
    const name = frame.querySelector(".field-name");
    if (!name) {
      return message;
    }
    const text = (message.startsWith(`${name.textContent}=`) ? message.slice(name.textContent.length + 1) : message)
      .replace(QUOTES, "").replace(COUNTS, "about ");
    const [, before, verb = "Choose", list] = LISTED.exec(text) || [];
    if (list && frame.querySelector(".field-rule").textContent.includes(list)) {
      return `${before}${verb} one of the values beside it`;
    }
    const parts = text.split(", ");
    const first = parts.findIndex((each) => each.includes("; ")) + 1; // after the remedy's first value
    const more = parts.length - first - 2;
    return text.length > LONG && first > 0 && more > 1 ? `${parts.slice(0, first + 2).join(", ")} or ${more} more` : text;
  }

  class Refusals {
    constructor(root) {
      this.root = root;
      this.sent = null; // the text box whose text was requested last
      this.line = document.getElementById("stage-refused");
      this.line.querySelector("button").addEventListener("click", () => this.show(null, ""));
      root.querySelectorAll(".field-refused").forEach((line, at) => (line.id = `stage-refused-${at}`));
      root.addEventListener("input", (event) => this.changed(event.target));
      root.addEventListener("click", (event) => this.chosen(event.target.closest(".migration-value")));
      // Dialogs and panels; these events do not bubble.
      root.addEventListener("close", (event) => this.closed(event.target), true);
    }

    // A message for a field, or for none; "" removes it. `asked` is the field that was changed.
    show(field, message, asked = null) {
      const frames = [...this.root.querySelectorAll(FRAMES)];
      const box = this.sent && this.sent.dataset.field === asked && seen(this.sent) ? this.sent : null;
      const of = frames.some((each) => field !== null && has(each, field) && seen(each)) ? field : asked;
      const at = frames.filter((each) => message !== "" && (box ? each.contains(box) : of !== null && has(each, of)));
      const lines = at.filter((each) => each.querySelector(".field-refused") && seen(each));
      const wrong = lines.length > 0 ? lines : at.filter((each) => !each.querySelector(".field-refused"));
      for (const frame of frames) {
        if (wrong.includes(frame)) {
          this.mark(frame, message);
        } else if (!this.stays(frame)) {
          this.mark(frame, "");
        }
      }
      this.line.firstChild.textContent = lines.length > 0 ? "" : message;
      this.line.hidden = lines.length > 0 || message === "";
      this.pointAt(wrong.flatMap((frame) => [...frame.querySelectorAll("[data-field]")]).find((each) => each.dataset.field === of && seen(each)));
    }

    // The line in the bar points at the control below it.
    pointAt(control) {
      const line = this.line.getBoundingClientRect();
      const box = control?.getBoundingClientRect();
      const below = Boolean(box) && box.top >= line.bottom && box.left >= line.left - 8 && box.right <= line.right;
      this.line.classList.toggle("points", below);
      if (below) {
        this.line.style.setProperty("--control", `${Math.max(10, box.left + box.width / 2 - line.left)}px`);
      }
    }

    // Another refusal leaves a refused text, and its message, as they are.
    stays(frame) {
      const box = frame.querySelector(`${BOX}[aria-invalid=true]`);
      return box !== null && seen(box);
    }

    mark(frame, message) {
      const line = frame.querySelector(".field-refused");
      frame.classList.toggle("wrong", message !== "");
      if (!line) {
        return;
      }
      line.textContent = shortened(frame, message);
      for (const box of frame.querySelectorAll(BOX)) {
        if (message) {
          box.setAttribute("aria-invalid", "true");
          box.setAttribute("aria-describedby", line.id);
        } else {
          box.removeAttribute("aria-invalid");
          box.removeAttribute("aria-describedby");
        }
      }
    }

    forget(box) {
      const frame = box.closest(FRAMES);
      if (frame.classList.contains("wrong")) {
        this.mark(frame, "");
      }
    }

    changed(target) {
      const frame = target.closest(".field-row.wrong");
      if (frame) {
        this.mark(frame, "");
      }
    }

    // An offered value replaces the text of its field, or of the whole form.
    chosen(value) {
      const frame = value?.closest(FRAMES);
      if (frame) {
        this.restore(frame);
      } else if (value) {
        this.closed(value.closest(".popup"));
      }
    }

    // The box shows the Scenario's value again.
    restore(frame) {
      const box = frame.querySelector(`${BOX}[data-shown]`);
      this.mark(frame, "");
      if (box && box.textContent !== box.dataset.shown) {
        box.textContent = box.dataset.shown;
      }
    }

    closed(panel) {
      panel.querySelectorAll(".field-row").forEach((frame) => this.restore(frame));
    }
  }

  S.Refusals = Refusals;
})();
