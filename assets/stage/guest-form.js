// The operator's form: a guest and its link make a migration, whose answer is one sentence on a card, with a report for
// a mail. The page's address records that the answer is shown.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const byId = (id) => document.getElementById(id);
  const SIZE = "memory[0].size";
  const LARGEST_TIB = 8; // a memslot has fewer than 2^31 pages
  const OTHER_SLOT = /^memory\[1\]\./;

  (S.linkFields = S.linkFields || {}).answer = {
    initial: false,
    read(text, wrong) {
      if (text !== "on") {
        throw wrong("must be on, or left out");
      }
      return true;
    },
    write: (answer) => (answer ? "on" : null),
  };

  // A guest that is larger than a memslot may be has two memslots of half its size.
  S.slotsOfSize = function (size, backing) {
    const found = /^([0-9]+) ?TiB$/.exec(size);
    const tib = found ? Number(found[1]) : 0;
    if (tib < LARGEST_TIB) {
      return { [SIZE]: size };
    }
    const half = `${tib * 512} GiB`;
    return { [SIZE]: half, "memory[1].size": half, "memory[1].backing": backing };
  };

  class GuestForm {
    constructor(stage) {
      this.stage = stage;
      this.panel = byId("stage-guests");
      this.fields = [...this.panel.querySelectorAll("[data-mmuviz=guest-field]")];
      this.presets = [...this.panel.querySelectorAll("[data-guest]")];
      this.card = byId("stage-answer");
      this.acts = {
        "guest-answer": () => this.answer(),
        "guest-cancel": () => this.stage.asking.cancel(),
        "copy-answer": () => this.copy(),
        "close-answer": () => this.close(),
      };
      this.panel.addEventListener("click", (event) => {
        const preset = event.target.closest("[data-guest]");
        if (preset) {
          this.fill(preset);
        }
      });
      this.panel.addEventListener("keydown", (event) => this.typed(event), true);
      if (this.presets.length > 0) {
        this.fill(this.presets[0]);
      }
    }

    typed(event) {
      if (!event.target.closest(".field-input")) {
        return;
      }
      if (event.key === "Enter") {
        event.preventDefault();
        this.answer();
      }
      if (event.key !== "Escape" && event.key !== "Tab") {
        event.stopPropagation();
      }
    }

    // ---- the request

    fill(preset) {
      const { set, policies } = JSON.parse(preset.dataset.guest);
      this.rest = set;
      const sizes = Object.keys(set).filter((name) => /^memory\[\d+\]\.size$/.test(name)).map((name) => set[name]);
      const texts = { ...set, policies: policies.join(","), "memory[0].backing": set["memory[1].backing"] ?? "hugetlb_1g" };
      texts[SIZE] = sizes.length > 1 ? sizes[0].replace(/^[0-9]+/, (each) => String(sizes.length * Number(each))) : sizes[0];
      for (const field of this.fields) {
        const text = String(texts[field.dataset.field] ?? "");
        field.tagName === "SELECT" ? (field.value = text) : (field.textContent = text);
      }
      this.presets.forEach((each) => each.setAttribute("aria-pressed", String(each === preset)));
      byId("stage-guest-says").textContent = preset.title;
    }

    // {set, policies} from the fields of the form.
    wanted() {
      const set = Object.fromEntries(Object.entries(this.rest).filter(([name]) => !OTHER_SLOT.test(name)));
      let policies = null;
      for (const field of this.fields) {
        const name = field.dataset.field;
        if (name === "policies") {
          policies = field.value.split(",");
        } else {
          set[name] = field.tagName === "SELECT" ? field.value : S.valueOf(field.textContent.trim());
        }
      }
      set["driver.bandwidth"] = set["driver.link"];
      return { set: { ...set, ...S.slotsOfSize(String(set[SIZE]), set["memory[0].backing"]) }, policies };
    }

    async answer() {
      const { asking, state } = this.stage;
      const { set, policies } = this.wanted();
      const wanted = { ...S.readLink(""), theme: state.theme, set, policies, answer: true };
      byId("stage-guest-said").textContent = "Migrating this guest …";
      asking.field = null;
      await asking.ask(wanted);
      const shown = this.stage.state.set === set;
      if (!asking.wanted) { // otherwise its line says more
        byId("stage-guest-said").textContent = shown ? "" : this.refusal();
      }
      if (shown) {
        this.panel.hidden = true;
        byId("stage-guest").setAttribute("aria-expanded", "false");
        byId("stage-guest").focus();
      }
    }

    // A refusal that belongs to no field of the form, which is said in the form only; "" if its field says it.
    refusal() {
      const text = byId("stage-refused").firstChild.textContent;
      if (text) {
        this.stage.controls.refuse(null, "");
      }
      return text;
    }

    // The form covers the bar with the progress: its own line says the same, and can cancel too.
    progress(text) {
      byId("stage-guest-said").textContent = text;
      this.panel.querySelector("[data-act=guest-cancel]").hidden = text === "";
    }

    // ---- the answer

    shown(runs, state) {
      this.runs = runs;
      this.card.hidden = true;
      byId("stage-answer-text").hidden = true;
      byId("stage-answer-said").textContent = "";
      if (runs.some(S.migrates)) {
        this.fetch(runs, state);
      }
    }

    // Fetches the server's sentences on each migration that is shown.
    async fetch(runs, state) {
      const some = runs.filter((run) => S.migrates(run) && run.hash);
      await Promise.all(some.map(async (run) => {
        const response = await fetch(`/api/migration/${run.hash}.json`).catch(() => null);
        run.answer = response?.ok ? await response.json() : null;
      }));
      const answer = runs.find((run) => run.answer?.sentence)?.answer;
      if (this.runs === runs && answer && this.stage.state.answer && state.answer) {
        byId("stage-answer-sentence").textContent = answer.sentence;
        this.card.hidden = false;
      }
    }

    close() {
      this.card.hidden = true;
      this.stage.state.answer = false;
      this.stage.changed();
    }

    async copy() {
      const text = S.report(this.stage);
      try {
        await navigator.clipboard.writeText(text);
        byId("stage-answer-said").textContent = "The report is copied.";
      } catch {
        const box = byId("stage-answer-text");
        box.hidden = false;
        box.value = text;
        box.select();
        byId("stage-answer-said").textContent = "Copy the selected text.";
      }
    }
  }

  // The report's lines on each migration, before wrapping.
  S.migrationLines = (runs) => runs.filter((run) => run.answer?.sentence).flatMap((run) => [
    `${run.label}: ${run.answer.sentence}`,
    ...run.answer.lines.map(([name, text]) => `  ${name}: ${text}`),
  ]);

  (S.parts = S.parts || []).push((stage) => (S.guestForm = new GuestForm(stage)));
})();
