// What keys do. They are not taken from a control that needs them itself.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const OWN = "input, select, textarea, [contenteditable]";
  const PRESSED = "button, a, summary";

  const SCROLLING = [" ", "Home", "End"];

  // Whether a key scrolls what has the focus, as it does outside of the player.
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
    [[",", "ArrowLeft"], "last event", "back"],
    [["]"], "next call", "next-call"],
    [["["], "last call", "last-call"],
    [["Home"], "to the beginning", "first"],
    [["End"], "to the end", "last"],
    [["p"], "presenter type", "presenter"],
    [["t"], "theme: system, light, dark, projector", "theme"],
    [["?"], "this help", "help"],
  ];

  // Other parts of the page add theirs here; a fourth entry says when a key is theirs.
  S.moreKeys = S.moreKeys || [];
  const all = () => [...S.KEYS, ...S.moreKeys];

  S.listenToKeys = function (act) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const found = all().find(([keys, , , when]) => keys.includes(event.key) && (!when || when()));
      const target = event.target instanceof Element ? event.target : null;
      // A focused control keeps its keys, of which a button has only one here; the scrubber is the player's own.
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

  // The keys, and the words of the glossary that a newcomer needs first.
  S.showHelp = function (dialog) {
    const list = element("dl", "", "help-list");
    for (const [keys, description] of all()) {
      list.append(element("dt", keys.map((key) => (key === " " ? "Space" : key)).join(" or ")), element("dd", description));
    }
    for (const { term, description } of S.glossary().filter(({ first }) => first)) {
      list.append(element("dt", term), element("dd", description));
    }
    const words = element("button", "All words", "tool");
    words.dataset.act = "details-glossary";
    words.addEventListener("click", () => dialog.close());
    const close = element("button", "Close", "tool");
    close.addEventListener("click", () => dialog.close());
    // First, since a dialog opens where its first button is.
    const head = element("div", "", "dialog-head");
    const buttons = element("div", "", "tools");
    buttons.append(words, close);
    head.append(element("h2", "Keys and words"), buttons);
    dialog.replaceChildren(head, list);
    dialog.showModal();
  };
})();
