// The messages in the bar: a button shows all of one that is cut, since the bar has few lines.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  class Notice {
    constructor(place) {
      this.place = place;
      this.text = place.querySelector(".notice-text");
      this.button = S.el("button", { type: "button", class: "tool", on: { click: () => this.unfold(!this.whole) } });
      new ResizeObserver(() => this.fit()).observe(this.text);
      new MutationObserver(() => this.begin()).observe(this.text, { childList: true, characterData: true });
      new MutationObserver(() => this.begin()).observe(place, { attributeFilter: ["hidden"] });
      place.addEventListener("keydown", (event) => this.typed(event));
    }

    begin() {
      this.unfold(false);
      this.fit();
    }

    unfold(whole) {
      this.whole = whole;
      this.place.classList.toggle("whole", whole);
      this.button.textContent = whole ? "Less" : "All";
      this.button.setAttribute("aria-label", whole ? "Show less of the message" : "Show all of the message");
      this.button.setAttribute("aria-expanded", String(whole));
    }

    fit() {
      if (this.whole || this.place.hidden) {
        return;
      }
      const { text, place, button } = this;
      place.classList.toggle("tall", text.clientHeight > 1.5 * Number.parseFloat(getComputedStyle(text).lineHeight));
      const left = [...place.querySelectorAll("button:not([hidden])")].some((each) => each.getClientRects().length === 0);
      const cut = text.scrollHeight > text.clientHeight + 1 || (left && text.clientHeight > 0);
      if (cut && !button.isConnected) {
        text.after(button);
      } else if (!cut) {
        button.remove();
      }
    }

    typed(event) {
      if (event.key === "Escape" && this.whole) {
        event.preventDefault();
        this.unfold(false);
      }
    }
  }

  (S.parts = S.parts || []).push((stage) => {
    stage.root.querySelectorAll(".notice").forEach((place) => new Notice(place));
    return {};
  });
})();
