// The keyboard shortcuts. A control that handles a key itself keeps it.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const OWN = "input, select, textarea, [contenteditable]";
  const PRESSED = "button, a, summary";

  const SCROLLING = [" ", "Home", "End"];

  // Whether a key scrolls the focused element.
  function scrolls(target, key) {
    if (!SCROLLING.includes(key)) {
      return false;
    }
    for (let node = target; node && node !== document.body; node = node.parentElement) {
      if (node.scrollHeight > node.clientHeight + 1 && /auto|scroll/.test(getComputedStyle(node).overflowY)) {
        return true;
      }
    }
    return false;
  }

  // One table for the keys and for the help: keys, what they do, the name of the action.
  S.KEYS = [
    [[" "], "play or pause", "play"],
    [[".", "ArrowRight"], "next event", "step"],
    [[",", "ArrowLeft"], "previous event", "back"],
    [["]"], "next call", "next-call"],
    [["["], "previous call", "last-call"],
    [["Home"], "to the beginning", "first"],
    [["End"], "to the end", "last"],
    [["p"], "presenter type", "presenter"],
    [["t"], "theme: system, light, dark, projector", "theme"],
    [["?"], "this help", "help"],
  ];

  // Other parts of the page add keys here; a fourth entry is a function that tells whether the key is active.
  S.moreKeys = S.moreKeys || [];
  const all = () => [...S.KEYS, ...S.moreKeys];

  S.listenToKeys = function (act) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const found = all().find(([keys, , , when]) => keys.includes(event.key) && (!when || when()));
      const target = event.target instanceof Element ? event.target : null;
      // A focused control keeps its keys; a button only the space key; the scrubber keeps none.
      const own = event.key === " " ? `${OWN}, ${PRESSED}` : OWN;
      if (!found || (target && (target.closest(own) !== null || scrolls(target, event.key)))) {
        return;
      }
      event.preventDefault();
      act(found[2]);
    });
  };

  function element(tag, text = "", className = "") {
    return Object.assign(document.createElement(tag), { textContent: text, className });
  }

  // Fills the help: the keys, and the terms that a newcomer needs first.
  S.showHelp = function (dialog) {
    const list = element("dl", "", "help-list");
    for (const [keys, description] of all()) {
      list.append(element("dt", keys.map((key) => (key === " " ? "Space" : key)).join(" or ")), element("dd", description));
    }
    for (const { term, description } of S.glossary().filter(({ first }) => first)) {
      list.append(element("dt", term), element("dd", description));
    }
    const terms = element("button", "All terms", "tool");
    terms.dataset.act = "details-glossary";
    terms.addEventListener("click", () => dialog.close());
    const close = element("button", "Close", "tool");
    close.addEventListener("click", () => dialog.close());
    // First, since a dialog scrolls to its first button when it opens.
    const head = element("div", "", "dialog-head");
    const buttons = element("div", "", "tools");
    buttons.append(terms, close);
    head.append(element("h2", "Keys and terms"), buttons);
    dialog.replaceChildren(head, list);
    dialog.showModal();
  };
})();
