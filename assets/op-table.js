// The table of ops, from the figures that Dash put into its place: as hundreds of Dash components it would hold up the
// browser for longer than all else below the story.
"use strict";

window.mmuviz = window.mmuviz || {};

(function () {
  const SIDES = ["left", "right"];
  const text = (value) => (value === null ? "" : value.toLocaleString("en"));

  function element(name, properties, children = []) {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  }

  function head(headings) {
    const upper = headings.map(([name, title]) =>
      element("th", { colSpan: 2, scope: "colgroup" }, [element("abbr", { title, textContent: name })]),
    );
    const lower = headings.flatMap(() => SIDES.map((side) => element("th", { scope: "col", textContent: side })));
    const op = element("th", { rowSpan: 2, scope: "col", textContent: "Op" });
    return element("thead", {}, [element("tr", {}, [op, ...upper]), element("tr", {}, lower)]);
  }

  function cell(name, value, side, differs) {
    const looks = [value ? "" : "zero", differs ? "differs" : "", `of-${side}`].filter(Boolean);
    const made = element("td", { textContent: text(value), className: looks.join(" ") });
    made.dataset.label = `${name} ${side}`;
    return made;
  }

  function row([label, ...figures], index, headings) {
    const number = element("span", { className: "op-number", textContent: String(index + 1) });
    const button = element("button", { className: "op-button" }, [number, label]);
    const cells = figures.flatMap((values, column) =>
      SIDES.map((side, at) => cell(headings[column][0], values[at], side, values[0] !== values[1])),
    );
    const made = element("tr", {}, [element("th", { scope: "row" }, [button]), ...cells]);
    made.dataset.op = String(index);
    return made;
  }

  // `table` holds its headings and rows as data; see mmuviz/components/op_table.py.
  window.mmuviz.fillOps = function (table) {
    const { headings, rows } = JSON.parse(table.dataset.figures);
    table.replaceChildren(
      head(headings),
      element("tbody", {}, rows.map((each, index) => row(each, index, headings))),
    );
  };
})();
