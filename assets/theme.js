// Light, dark, or as the system has it. This file stands in the document's head, so that nothing is painted in colours
// that the visitor did not choose.
"use strict";

(function () {
  const KEY = "mmuviz-theme";
  const NAMES = { system: "as the system has it", light: "light", dark: "dark" };
  const THEMES = Object.keys(NAMES);
  const root = document.documentElement;

  // A browser may keep nothing, and then refuses to be asked.
  function remembered() {
    try {
      return window.localStorage.getItem(KEY);
    } catch {
      return null;
    }
  }

  function remember(theme) {
    try {
      window.localStorage.setItem(KEY, theme);
    } catch {
      // It holds until the page is left.
    }
  }

  function current() {
    return THEMES.includes(root.dataset.theme) ? root.dataset.theme : "system";
  }

  function nameButton() {
    const button = document.getElementById("theme");
    if (button) {
      const name = `Colours: ${NAMES[current()]}`;
      button.setAttribute("aria-label", name);
      button.title = name;
    }
    return button;
  }

  function apply(theme) {
    if (theme === "light" || theme === "dark") {
      root.dataset.theme = theme;
    } else {
      delete root.dataset.theme;
    }
    nameButton();
  }

  apply(remembered());

  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("#theme")) {
      const theme = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
      remember(theme);
      apply(theme);
    }
  });
  // Chosen in another tab.
  window.addEventListener("storage", (event) => event.key === KEY && apply(event.newValue));
  // Dash puts the button into the page at a time of its own.
  const watch = new MutationObserver(() => nameButton() && watch.disconnect());
  watch.observe(root, { childList: true, subtree: true });
})();
