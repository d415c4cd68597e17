// The theme, and the colours of the style sheet as scripts need them. This file sorts behind others that only define
// functions, and before any of them is called.
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

  // A browser may keep nothing, and then refuses to be asked.
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

  // What can be chosen, and what it is called; "system" is light or dark, as the system has it.
  S.THEMES = { system: "as the system", light: "light", dark: "dark", projector: "projector" };

  // The theme that is seen.
  S.theme = () => root.dataset.theme || "light";

  // What was chosen.
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

  // A theme that came with a link holds until the page is left.
  S.showTheme = function (theme) {
    untilLeft = theme;
    apply();
  };

  S.nextTheme = function () {
    const names = Object.keys(S.THEMES);
    S.chooseTheme(names[(names.indexOf(S.chosenTheme()) + 1) % names.length]);
  };

  // Each colour by its name in the style sheet, without the hyphens.
  S.tokens = function () {
    const style = window.getComputedStyle(root);
    return Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  };

  // How large type is, 1 at the usual size: large screens and presenter type have more.
  S.typeScale = () => Number.parseFloat(window.getComputedStyle(document.body).getPropertyValue("--k")) || 1;

  apply();
  dark.addEventListener("change", apply);
  // Paper is light.
  window.addEventListener("beforeprint", () => {
    root.dataset.theme = "light";
    S.stage?.resize();
  });
  window.addEventListener("afterprint", apply);
})();
