// The state of the page in its address: a catalogue entry, what was changed, the policies, the instant and the speed.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  S.LONGEST_LINK = 2000;
  const NAME = /^[A-Za-z0-9_.-]{1,80}$/; // entries of the catalogue, and recordings of real KVM
  const FIELD = /^[a-z0-9_.[\]]{1,80}$/;
  const INSTANT = /^[0-9]{1,16}$/;
  const RATE = /^0*[1-9][0-9]*$/;
  const UNSEEN = /[\p{C}\p{Zl}\p{Zp}]/gu;
  // Also marks that turn the direction of text: a forged line could hide behind them.
  const GAPS = /[\s\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;
  S.DEFAULT_STORY = "running-guest";

  // Text on one line: titles and notes also go into reports, where a line break would forge a line.
  S.oneLine = (text) => text.replace(GAPS, " ").trim();

  const escaped = (text) => text.slice(0, 40).replace(UNSEEN, (each) => `\\u{${each.codePointAt(0).toString(16)}}`);

  // The rules of fields, for a value that breaks one.
  const RULES = {
    story: "is no story of this page",
    policies: "must be one to four names of policies, with commas between them",
    ps: "must be a time in ps from 0, of at most 16 digits",
    speed: "must be auto, event, or ps a second from 1, of at most 16 digits",
  };

  // Fields of other parts of the page: name, then { initial, read(text) -> value or throws, write(value) -> text or null
  // for nothing, settle(state), which changes fields that depend on it }.
  S.linkFields = S.linkFields || {};

  // A message on what cannot be shown, and what is shown instead.
  S.instead = (message) => (/[.?]$/.test(message) ? `${message} Here is the default story.` : `${message}; here is the default story.`);

  // The state of an address; an invalid field has its default, and a complaint is set.
  S.readLink = function (search) {
    const state = { base: S.DEFAULT_STORY, set: {}, policies: null, ps: null, speed: "auto", complaint: "" };
    for (const [name, { initial }] of Object.entries(S.linkFields)) {
      state[name] = initial;
    }
    if (search.length > S.LONGEST_LINK) {
      return { ...state, complaint: S.instead("This address is too long to be one of ours") };
    }
    const query = new URLSearchParams(search);
    try {
      for (const [name, value] of query) {
        readPart(state, name, value);
      }
    } catch (error) {
      return { ...S.readLink(""), complaint: S.instead(error.message) };
    }
    for (const { settle } of Object.values(S.linkFields)) {
      settle?.(state);
    }
    return state;
  };

  function readPart(state, name, value) {
    const wrong = (rule) => new Error(`${escaped(name)}=${escaped(value)} ${rule}`);
    if (name === "story" && NAME.test(value) && S.isStory(value)) {
      state.base = value;
    } else if (name === "policies" && value.split(",").length <= 4 && value.split(",").every((each) => NAME.test(each))) {
      state.policies = value.split(",");
    } else if (name === "ps" && INSTANT.test(value)) {
      state.ps = Number(value);
    } else if (name === "speed" && (value === "auto" || value === "event" || (INSTANT.test(value) && RATE.test(value)))) {
      state.speed = value;
    } else if (Object.hasOwn(S.linkFields, name)) {
      state[name] = S.linkFields[name].read(value, wrong);
    } else if (FIELD.test(name) && name.includes(".")) {
      state.set[name] = jsonOf(value, wrong);
    } else {
      throw wrong(Object.hasOwn(RULES, name) ? RULES[name] : "is nothing that this page knows");
    }
  }

  function jsonOf(value, wrong) {
    let found;
    try {
      found = JSON.parse(value);
    } catch {
      throw wrong("must be a number, true, false, or text in quotes");
    }
    if (found === Infinity || found === -Infinity) { // JSON has no such number: it would become null
      throw wrong("is too large a number");
    }
    return found;
  }

  // The address of a state, without the host.
  S.linkOf = function (state) {
    const { base, set, policies, ps, speed } = state;
    const query = new URLSearchParams();
    if (base !== S.DEFAULT_STORY) {
      query.set("story", base);
    }
    for (const [field, value] of Object.entries(set)) {
      query.set(field, JSON.stringify(value));
    }
    if (policies) {
      query.set("policies", policies.join(","));
    }
    if (ps !== null) {
      query.set("ps", String(Math.round(ps)));
    }
    if (speed !== "auto") {
      query.set("speed", speed);
    }
    for (const [name, { write }] of Object.entries(S.linkFields)) {
      const text = write(state[name]);
      if (text !== null) {
        query.set(name, text);
      }
    }
    const text = query.toString();
    return text ? `?${text}` : window.location.pathname;
  };
})();
