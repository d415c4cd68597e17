// Terms of the glossary, shown at the place of their use. Their source is docs/glossary.md, which the page contains.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const GAP = 6;
  const byId = (id) => document.getElementById(id);

  // [{ term, description, first }], in the order of the glossary; `first`: whether the help lists the term.
  S.glossary = () => [...document.querySelectorAll("#details-glossary dt")].map((dt) => ({
    term: dt.dataset.term,
    description: dt.nextElementSibling.textContent,
    first: dt.dataset.first === "true",
  }));

  S.meaningOf = function (term) {
    const wanted = term.toLowerCase();
    return S.glossary().find((each) => each.term.toLowerCase() === wanted) || null;
  };

  function place(note, button) {
    const box = button.getBoundingClientRect();
    const left = Math.max(8, Math.min(box.left, window.innerWidth - note.offsetWidth - 8));
    const below = box.bottom + GAP;
    const fits = below + note.offsetHeight <= window.innerHeight - 8;
    note.style.left = `${left}px`;
    note.style.top = `${fits ? below : Math.max(8, box.top - GAP - note.offsetHeight)}px`;
  }

  function show(button) {
    const found = S.meaningOf(button.dataset.term);
    const note = byId("stage-meaning");
    if (!found) {
      return;
    }
    const all = S.el("button", { text: "Glossary", type: "button", class: "term", data: { all: found.term } });
    note.replaceChildren(S.el("b", { text: found.term }), S.el("p", { text: found.description }), all);
    note.showPopover({ source: button });
    place(note, button);
    button.setAttribute("aria-expanded", "true");
    note.addEventListener("toggle", () => button.removeAttribute("aria-expanded"), { once: true });
    byId("stage-live").textContent = `${found.term}: ${found.description}`;
  }

  (S.parts = S.parts || []).push((stage) => {
    const note = byId("stage-meaning");
    note.popover = "auto";
    document.addEventListener("click", (event) => {
      const button = event.target.closest?.(".term");
      if (button?.dataset.term) {
        show(button);
      } else if (button?.dataset.all) {
        note.hidePopover();
        stage.act("details-glossary");
        document.querySelector(`#details-glossary dt[data-term="${CSS.escape(button.dataset.all)}"]`)
          ?.scrollIntoView({ block: "center" });
      }
    });
    return {};
  });
})();
