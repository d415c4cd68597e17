// The question in the bar: the story that is shown with its facts, and the menu of all stories.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  class Stories {
    constructor(stage) {
      this.stage = stage;
      this.panel = document.getElementById("stage-stories");
      this.items = [...this.panel.querySelectorAll("[data-story]")];
      this.facts = document.getElementById("stage-facts");
      this.question = document.getElementById("stage-question");
      this.popup = new S.Popup(document.getElementById("stage-story"), this.panel, { opening: () => this.opening() });
      this.panel.addEventListener("click", (event) => {
        const item = event.target.closest("[data-story]");
        if (item) {
          this.popup.open(false);
          stage.chooseStory(item.dataset.story);
        }
      });
    }

    // The facts of each story, made on first opening; and the mark of the current one.
    opening() {
      for (const item of this.items) {
        const shown = item.dataset.story === this.stage.state.base && !this.stage.state.file;
        item.setAttribute("aria-current", String(shown));
        if (shown && item.closest("details")) {
          item.closest("details").open = true;
        }
        if (item.childElementCount === 1) {
          const facts = S.el("span", { class: "fact-line" }, ...S.chips(JSON.parse(item.dataset.facts)));
          item.append(facts);
        }
      }
    }

    shown(runs) {
      this.facts.replaceChildren(...S.chips(runs.map((run) => run.header.scenario)));
      this.resize();
    }

    // A long question is set smaller, so that the facts fit on the line below; one of three lines would leave the bar.
    resize() {
      const { classList } = this.question;
      classList.remove("long", "longer", "longest");
      const lines = this.question.scrollHeight / Number.parseFloat(getComputedStyle(this.question).lineHeight);
      classList.toggle("long", lines > 1.5);
      classList.toggle("longer", lines > 2.5);
      classList.toggle("longest", lines > 3.5);
    }
  }

  // The title of a catalogue entry.
  const inMenu = (name) => document.querySelector(`#stage-stories [data-story="${name}"]`);
  S.storyTitle = (name) => inMenu(name)?.querySelector(".story-title").textContent ?? "";
  // Recordings of real KVM are stories too, and only some are in the menu; their names end in "__" and a kernel.
  S.isStory = (name) => Boolean(inMenu(name)) || name.includes("__");

  (S.parts = S.parts || []).push((stage) => new Stories(stage));
})();
