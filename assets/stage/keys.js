// What keys do. They are not taken from a control that needs them itself.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const OWN = "input, select, textarea, button, a, [contenteditable]";

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
    [["t"], "light or dark", "theme"],
    [["?"], "this help", "help"],
  ];

  // Other parts of the page add theirs here.
  S.moreKeys = S.moreKeys || [];
  const all = () => [...S.KEYS, ...S.moreKeys];

  S.listenToKeys = function (act) {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const found = all().find(([keys]) => keys.includes(event.key));
      const target = event.target instanceof Element ? event.target : null;
      // A focused control keeps its keys; the scrubber is the player's own.
      if (!found || (target && target.closest(OWN) !== null)) {
        return;
      }
      event.preventDefault();
      act(found[2]);
    });
  };

  function element(tag, text = "", className = "") {
    return Object.assign(document.createElement(tag), { textContent: text, className });
  }

  // The keys, and the words that a newcomer may not know.
  const WORDS = [
    ["stall", "time in which a vCPU stands still in KVM: a fault, a lock, a full buffer"],
    ["slower writes", "writes that the processor logs itself (PML); the vCPU does not stop"],
    ["split", "a huge page becomes a table of 512 smaller ones"],
    ["lazy", "huge pages are split when a vCPU writes to them, in its write fault"],
    ["eager", "huge pages are split before, by the thread that calls the ioctl"],
    ["drawn order", "a split is one instant; the map opens it over a moment, so that it can be seen"],
  ];

  S.showHelp = function (dialog) {
    const list = element("dl", "", "help-list");
    for (const [keys, says] of all()) {
      list.append(element("dt", keys.map((key) => (key === " " ? "Space" : key)).join(" or ")), element("dd", says));
    }
    for (const [word, says] of WORDS) {
      list.append(element("dt", word), element("dd", says));
    }
    const close = element("button", "Close", "tool");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(element("h2", "Keys and words"), list, close);
    dialog.showModal();
  };
})();
