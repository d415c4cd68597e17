// Parts of the drawer's tabs: elements, tables, and terms with links to the glossary. Text is never parsed as HTML.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const ADDRESS = /^https?:\/\/[^\s()]+/;
  const SVG_FREE = new Set(["text", "data", "class", "on"]);

  // An element with attributes, `text`, `data` (attributes data-…), `class`, `on` (listeners), and children.
  S.el = function (tag, given = {}, ...children) {
    const made = document.createElement(tag);
    const { text, data = {}, on = {} } = given;
    if (given.class) {
      made.className = given.class;
    }
    if (text !== undefined) {
      made.textContent = text;
    }
    for (const [name, value] of Object.entries(data)) {
      made.dataset[name] = String(value);
    }
    for (const [name, listener] of Object.entries(on)) {
      made.addEventListener(name, listener);
    }
    for (const [name, value] of Object.entries(given)) {
      if (!SVG_FREE.has(name) && value !== null && value !== undefined) {
        made.setAttribute(name, value);
      }
    }
    made.append(...children.filter((child) => child !== null && child !== undefined));
    return made;
  };

  // A row of cells: text, a node, or { text, … } for S.el. With `head` the first cell is the row's header.
  S.row = function (cells, { head = false, ...given } = {}) {
    return S.el("tr", given, ...cells.map((cell, at) => {
      const tag = head && at === 0 ? "th" : "td";
      const scope = tag === "th" ? { scope: "row" } : {};
      if (cell instanceof Node) {
        return S.el(tag, scope, cell);
      }
      return typeof cell === "object" ? S.el(tag, { ...scope, ...cell }) : S.el(tag, { ...scope, text: cell });
    }));
  };

  // A table with heads [{ text, class }] or text, and a visible caption.
  S.table = function ({ caption = "", heads, rows, ...given }) {
    const cells = heads.map((head) => (head instanceof Node
      ? S.el("th", { scope: "col" }, head)
      : S.el("th", { scope: "col", ...(typeof head === "object" ? head : { text: head }) })));
    return S.el("table", { ...given, class: `details-table ${given.class || ""}`.trim() },
      caption ? S.el("caption", {}, ...[caption].flat()) : null,
      S.el("thead", {}, S.el("tr", {}, ...cells)),
      S.el("tbody", {}, ...rows));
  };

  // A scroller for a table that may be wider than the drawer; it also scrolls by keys.
  S.wide = (label, table) =>
    S.el("div", { class: "details-wide", tabindex: 0, role: "group", "aria-label": label }, table);

  // A link to a source; text if it is not an address.
  S.sourceLink = function (text, address) {
    const [href] = ADDRESS.exec(address || "") || [""];
    return href
      ? S.el("a", { text, href, target: "_blank", rel: "noopener noreferrer", class: "details-link" })
      : S.el("span", { text });
  };

  // A term of the glossary as a button that shows its meaning.
  S.term = (text, term = text) =>
    S.el("button", { text, type: "button", class: "term", data: { term }, "aria-haspopup": "dialog" });

  S.plural = (count, one, many = `${one}s`) => `${S.count(count)} ${count === 1 ? one : many}`;

  S.number = (text, given = {}) => ({ text, ...given, class: `number-cell ${given.class || ""}`.trim() });

  // A share as percent: "0" only for nothing, "100" only for all.
  S.percentText = function (share) {
    if (share <= 0) {
      return "0 %";
    }
    if (share >= 1) {
      return "100 %";
    }
    const percent = 100 * share;
    return percent < 1 ? "<1 %" : percent > 99 ? ">99 %" : `${Math.round(percent)} %`;
  };
})();
