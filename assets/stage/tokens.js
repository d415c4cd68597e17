// The theme, and the colours of the style sheet as scripts need them. This file sorts behind others that only define
// functions, and before any of them is called.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const KEY = "mmuviz-theme";
  const NAMES = [
    ..."ground panel ink ink2 line hair g1 g1b g2 g4 map dirty dirtyt stall run runf slowf ioctl on plate hole".split(" "),
    "focus",
  ];
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

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

  S.theme = () => root.dataset.theme || "light";

  function apply() {
    const chosen = remembered();
    root.dataset.theme = chosen === "light" || chosen === "dark" ? chosen : dark.matches ? "dark" : "light";
  }

  S.nextTheme = function () {
    remember(S.theme() === "dark" ? "light" : "dark");
    apply();
  };

  // Each colour by its name in the style sheet, without the hyphens.
  S.tokens = function () {
    const style = window.getComputedStyle(root);
    return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };

  apply();
  dark.addEventListener("change", apply);
})();
