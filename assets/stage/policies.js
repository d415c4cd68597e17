// The compared policies, two to four: chosen in a pane's title, added, and removed.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});
  const FEWEST = 2;
  const MOST = 4;
  const SHORT = 9; // most letters of a name that fits on one large line at every size
  const options = () => [...document.querySelector(".policy-select").options].filter((option) => option.dataset.mode);
  const optionOf = (policy) => options().find((option) => option.value === policy);

  S.policyTitle = (policy) => optionOf(policy)?.dataset.title ?? "";

  // Dirty-log modes of the policies.
  S.modes = () => [...new Set(options().map((option) => option.dataset.mode))];

  // The same ways of splitting with another dirty-log mode; a duplicate is replaced by the other way.
  S.policiesOfMode = function (policies, mode) {
    const inMode = options().filter((option) => option.dataset.mode === mode);
    const eagerly = policies.map((policy) => optionOf(policy)?.dataset.eager);
    const found = eagerly.map((eager) => inMode.find((option) => option.dataset.eager === eager)?.value).filter(Boolean);
    const both = [...new Set([...found, ...inMode.map((option) => option.value)])];
    return both.slice(0, Math.max(FEWEST, new Set(found).size));
  };

  // Policies with another one at index `at`; if it is already in another pane, the two are swapped.
  function replaced(policies, at, policy) {
    const other = policies.indexOf(policy);
    return policies.map((each, index) => (index === at ? policy : index === other ? policies[at] : each));
  }

  class Policies {
    constructor(stage) {
      this.stage = stage;
      this.acts = { "add-pane": () => this.add(), "remove-pane": () => this.remove(stage.runs.length - 1) };
      stage.panes.forEach(({ section }, at) => {
        section.querySelector(".pane-remove").addEventListener("click", () => this.remove(at));
        section.querySelector(".pane-add").addEventListener("click", () => this.add());
      });
    }

    // Panes of a story may differ in other fields than the policy.
    get apart() {
      const policies = this.stage.asking.policies();
      return new Set(policies).size === policies.length && policies.every(optionOf);
    }

    choose(at, policy) {
      const { asking } = this.stage;
      const policies = replaced(asking.policies(), at, policy);
      asking.compare([...new Set(policies)].filter((each) => optionOf(each)));
    }

    add() {
      const policies = this.stage.asking.policies();
      const next = options().map((option) => option.value).find((policy) => !policies.includes(policy));
      if (this.apart && policies.length < MOST && next) {
        this.stage.asking.compare([...policies, next]);
      }
    }

    remove(at) {
      const policies = this.stage.asking.policies();
      if (this.apart && policies.length > FEWEST) {
        this.stage.asking.compare(policies.filter((_, index) => index !== at));
      }
    }

    shown(runs) {
      this.stage.panes.slice(0, runs.length).forEach(({ section, policy }, at) => {
        this.title(policy, runs[at]);
        section.querySelector(".pane-remove").hidden = !this.apart || runs.length <= FEWEST;
        section.querySelector(".pane-add").hidden = !this.apart || at !== runs.length - 1 || runs.length >= MOST;
      });
    }

    // The title distinguishes a pane, with the same name as in charts: its policy, or the other differing field.
    title(select, run) {
      select.querySelector("[data-own]")?.remove();
      for (const option of select.options) {
        option.textContent = option.dataset.title;
      }
      if (!S.policyTitle(run.policy) || !run.byPolicy) {
        const own = new Option("", run.policy, true, true);
        own.dataset.own = "";
        own.dataset.text = "";
        select.prepend(own);
        own.selected = true;
      } else {
        select.value = run.policy;
      }
      select.selectedOptions[0].textContent = run.label;
      select.title = run.byPolicy ? "" : run.full;
      const name = select.parentNode.querySelector(".policy-name");
      name.textContent = run.label.replace(/(\d) (?=\S)/g, "$1\u00a0"); // a number stays with its unit
      // All names have one size.
      name.classList.toggle("long", this.stage.runs.some(({ label }) => label.length > SHORT));
    }
  }

  (S.parts = S.parts || []).push((stage) => (stage.policies = new Policies(stage)));
})();
