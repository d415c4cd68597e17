// The theme, and the colours of the style sheet for scripts. Other files only define functions before this one is loaded,
// and call them later.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const KEY = "mmuviz-theme";
  const NAMES = [
    ..."ground panel ink ink2 line hair g1 g1b g2 g4 map dirty dirtyt stall run runf slowf ioctl on plate hole".split(" "),
    "focus", "sent", "resent",
  ];
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  let untilLeft = null;

  // A browser may forbid storage; then any access throws.
  function remembered() {
    try {
      return untilLeft ?? window.localStorage.getItem(KEY);
    } catch {
      return untilLeft;
    }
  }

  function remember(theme) {
    try {
      window.localStorage.setItem(KEY, theme);
    } catch {
      untilLeft = theme;
    }
  }

  // The themes and their labels; "system" is light or dark, as in the system's settings.
  S.THEMES = { system: "as the system", light: "light", dark: "dark", projector: "projector" };

  // The theme in effect.
  S.theme = () => root.dataset.theme || "light";

  // The chosen theme.
  S.chosenTheme = () => (Object.hasOwn(S.THEMES, remembered() ?? "") ? remembered() : "system");

  function apply() {
    const chosen = S.chosenTheme();
    root.dataset.theme = chosen !== "system" ? chosen : dark.matches ? "dark" : "light";
  }

  S.chooseTheme = function (theme) {
    untilLeft = null;
    remember(theme);
    apply();
  };

  // A theme from a link is used until the page is left.
  S.showTheme = function (theme) {
    untilLeft = theme;
    apply();
  };

  S.nextTheme = function () {
    const names = Object.keys(S.THEMES);
    S.chooseTheme(names[(names.indexOf(S.chosenTheme()) + 1) % names.length]);
  };

  // Colours by their name in the style sheet, without the hyphens.
  S.tokens = function () {
    const style = window.getComputedStyle(root);
    return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };

  // The type size, 1 is normal; large screens and presenter type have more.
  S.typeScale = () => Number.parseFloat(window.getComputedStyle(document.body).getPropertyValue("--k")) || 1;

  apply();
  dark.addEventListener("change", apply);
  // Print uses the light theme.
  window.addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    S.stage?.resize();
  });
  window.addEventListener("afterprint", apply);
})();
