// The keyboard: one table says what each key does, and the handler, the help sheet and the buttons' titles all read it.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  // `act` names a function of the actions that bindKeys() is given; `keys` are KeyboardEvent.key, "Shift+" only before
  // keys with a name: where a character needs Shift depends on the keyboard.
  const KEYS = [
    { act: "toggle", keys: [" ", "."], shown: ["Space", "."], does: "Play or pause (. for presenter remotes)" },
    { act: "next", keys: ["ArrowRight"], shown: ["→"], does: "Next step: one kernel event of each pane" },
    { act: "back", keys: ["ArrowLeft"], shown: ["←"], does: "Step back" },
    { act: "nextAccess", keys: ["Shift+ArrowRight"], shown: ["Shift →"], does: "End of this or the next guest access" },
    { act: "backAccess", keys: ["Shift+ArrowLeft"], shown: ["Shift ←"], does: "Back to the end of an access" },
    { act: "nextOp", keys: ["PageDown", "]"], shown: ["Page Down", "]"], does: "End of this or the next op" },
    { act: "backOp", keys: ["PageUp", "["], shown: ["Page Up", "["], does: "Back to the end of an op" },
    { act: "first", keys: ["Home"], shown: ["Home"], does: "Beginning" },
    { act: "last", keys: ["End"], shown: ["End"], does: "End" },
    { act: "slower", keys: ["<"], shown: ["<"], does: "Slower" },
    { act: "faster", keys: [">"], shown: [">"], does: "Faster" },
    { act: "zoomIn", keys: ["+", "="], shown: ["+"], does: "Zoom in on what happens now; on a focused map, Enter" },
    { act: "zoomOut", keys: ["-", "Escape"], shown: ["−", "Esc"], does: "Zoom out" },
    { act: "help", keys: ["?"], shown: ["?"], does: "This list" },
  ];
  const TYPED_IN = "input:not([type='range']), textarea, select, [contenteditable]";
  // What these do with Space and Enter, the browser does.
  const PRESSED = "button, a, summary";
  const HELP_ID = "keys-help";

  const byName = new Map(KEYS.flatMap((entry) => entry.keys.map((key) => [key, entry])));

  function entryOf(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.target.closest(TYPED_IN)) {
      return null;
    }
    if ((event.key === " " || event.key === "Enter") && event.target.closest(PRESSED)) {
      return null;
    }
    return byName.get(event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key) || null;
  }

  function element(name, text, ...children) {
    const made = document.createElement(name);
    made.textContent = text;
    made.append(...children);
    return made;
  }

  function makeHelp() {
    const dialog = element("dialog", "");
    dialog.id = HELP_ID;
    dialog.className = "keys-help";
    const title = element("h2", "Keys");
    title.id = `${HELP_ID}-title`;
    dialog.setAttribute("aria-labelledby", title.id);
    const list = element("dl", "");
    for (const { shown, does } of KEYS) {
      list.append(element("dt", "", ...shown.map((key) => element("kbd", key))), element("dd", does));
    }
    const close = element("button", "Close");
    close.type = "button";
    close.className = "button";
    close.addEventListener("click", () => dialog.close());
    dialog.append(title, list, close);
    // A click beside the sheet lands on the dialog itself.
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    document.body.append(dialog);
    return dialog;
  }

  function toggleHelp() {
    const dialog = document.getElementById(HELP_ID) || makeHelp();
    if (dialog.open) {
      dialog.close();
    } else {
      dialog.showModal();
    }
  }

  function nameButton(button) {
    const entry = KEYS.find(({ act }) => act === button.dataset.act);
    button.title = `${button.getAttribute("aria-label") || button.textContent} (${entry.shown.join(" or ")})`;
  }

  // Lets keys, and buttons that name an act, do the actions. Gives a function that undoes it.
  function bindKeys(actions) {
    const all = { ...actions, help: toggleHelp };
    const onKey = (event) => {
      const entry = entryOf(event);
      const dialog = document.getElementById(HELP_ID);
      if (!entry || (dialog && dialog.open && entry.act !== "help")) {
        return;
      }
      const menu = document.querySelector("details.menu[open]");
      event.preventDefault();
      if (event.key === "Escape" && menu) {
        menu.open = false;
        menu.querySelector("summary").focus();
      } else {
        all[entry.act]();
      }
    };
    const onClick = (event) => {
      const button = event.target.closest("button[data-act]");
      if (button) {
        all[button.dataset.act]();
      }
    };
    document.querySelectorAll("button[data-act]").forEach(nameButton);
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", onClick);
    return () => {
      document.removeEventListener("keydown", onKey);
      document.removeEventListener("click", onClick);
    };
  }

  Object.assign(window.mmuviz, { KEYS, bindKeys, nameButton });
})();
