// A Scenario's document as TOML; sizes and times are written as integers.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const BARE = /^[A-Za-z0-9_-]+$/;
  // DEL: JSON does not escape it, but TOML requires it.
  const DELETE = /\u007f/g;

  const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
  const isTables = (value) => Array.isArray(value) && value.length > 0 && value.every(isTable);
  const text = (value) => JSON.stringify(value.toWellFormed()).replace(DELETE, "\\u007F");
  const key = (name) => (BARE.test(name) ? name : text(name));
  // The usual order of a Scenario's parts; in a part, the field with its type comes first.
  const ORDER = ["title", "summary", "look_at", "vm", "memory", "workload", "driver", "host", "kind", "pattern"];
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) - ORDER.length : 0);
  const entriesOf = (table) =>
    Object.entries(table).filter(([, value]) => value !== null).sort(([a], [b]) => rank(a) - rank(b));

  function number(value) {
    const said = String(value);
    // 1e-7 and 1e21 are TOML floats; the plus sign of 1e+21 is removed.
    return Number.isInteger(value) && Math.abs(value) < 2 ** 53 ? String(BigInt(value)) : said.replace("e+", "e");
  }

  function inline(value) {
    if (typeof value === "number") {
      return number(value);
    }
    if (typeof value === "string") {
      return text(value);
    }
    if (Array.isArray(value)) {
      return `[${value.map(inline).join(", ")}]`;
    }
    if (isTable(value)) {
      const inside = entriesOf(value).map(([name, each]) => `${key(name)} = ${inline(each)}`);
      return inside.length ? `{ ${inside.join(", ")} }` : "{}";
    }
    return String(value);
  }

  // Plain values of a table come first, then its tables, since all lines after a header belong to that header.
  function lines(table, path) {
    const plain = entriesOf(table).filter(([, value]) => !isTable(value) && !isTables(value));
    const found = plain.map(([name, value]) => `${key(name)} = ${inline(value)}`);
    for (const [name, value] of entriesOf(table)) {
      const place = [...path, key(name)];
      if (isTables(value) && path.length === 0 && name === "memory") {
        value.forEach((each) => found.push("", `[[${place.join(".")}]]`, ...lines(each, place)));
      } else if (isTable(value)) {
        found.push("", `[${place.join(".")}]`, ...lines(value, place));
      } else if (isTables(value)) {
        found.splice(plain.length, 0, `${key(name)} = ${inline(value)}`);
      }
    }
    return found;
  }

  // `scenario` is a document as in header.scenario.
  S.tomlOf = (scenario) => `${lines(scenario, []).join("\n")}\n`;
})();
