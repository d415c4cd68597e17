// On small screens and in presenter type the controls are a sheet that a button opens.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  // Parts that do not fit into the panes' titles.
  function paneTools() {
    const tools = [["add-pane", "One policy more"], ["remove-pane", "One policy less"], ["next-figure", "Next chart or walk"]].map(([act, text]) => {
      const tool = Object.assign(document.createElement("button"), { type: "button", className: "tool", textContent: text });
      tool.dataset.act = act;
      return tool;
    });
    const place = Object.assign(document.createElement("div"), { className: "sheet-panes" });
    place.append(...tools);
    return place;
  }

  // The tools that do not fit into a phone's bar, with their full names.
  function otherTools(root) {
    const place = Object.assign(document.createElement("div"), { className: "sheet-tools" });
    for (const tool of root.querySelectorAll(".tools [data-act]")) {
      if (tool.dataset.act !== "controls") { // Share is in the bar, but for presenter type
        const copy = Object.assign(document.createElement("button"), { type: "button", className: "tool" });
        copy.dataset.act = tool.dataset.act;
        copy.textContent = (tool.getAttribute("aria-label") || tool.textContent).split(":")[0];
        place.append(copy);
      }
    }
    return place;
  }

  const narrow = window.matchMedia("(max-width: 999px)");

  // Called before layout is measured: decides whether the controls are a row or a sheet.
  S.fitControls = function (root) {
    const wanted = narrow.matches || document.body.classList.contains("presenter");
    document.body.classList.toggle("sheet", wanted);
    root.querySelector(".controls").classList.toggle("floats", wanted);
  };

  (S.parts = S.parts || []).push((stage) => {
    const button = document.getElementById("stage-change");
    const sheet = stage.root.querySelector(".controls");
    sheet.id ||= "stage-controls";
    button.setAttribute("aria-controls", sheet.id);
    sheet.append(paneTools(), otherTools(stage.root));
    S.fitControls(stage.root);
    narrow.addEventListener("change", () => S.fitControls(stage.root));

    function open(wanted) {
      document.body.classList.toggle("controls-open", wanted);
      button.setAttribute("aria-expanded", String(wanted));
      if (wanted) {
        sheet.querySelector("select, button")?.focus();
      }
    }

    open(false);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && document.body.classList.contains("controls-open")) {
        open(false);
        button.focus();
      }
    });
    document.addEventListener("pointerdown", (event) => {
      if (!sheet.contains(event.target) && !button.contains(event.target)) {
        open(false);
      }
    });
    return { acts: { controls: () => open(!document.body.classList.contains("controls-open")) } };
  });
})();
