"""Validation of requests from the page or an API client: they become labelled Scenarios, or are refused at a field."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from mmuviz.core.errors import InputError, MmuvizError, one_line, short_repr
from mmuviz.engine.choices.recorded import packaged_recordings
from mmuviz.engine.choices.scenario import LONGEST_TEXT, TEXTS, Focus, Scenario
from mmuviz.engine.choices.units import size_text, time_text
from mmuviz.engine.run import check_focus, spans_of
from mmuviz.studies.comparison import FEWEST, MOST, POLICY_FIELDS, Comparison, flat
from mmuviz.studies.estimate import MOST_BYTES, NS_PER_S, RunCost, cost_of
from mmuviz.studies.overrides import apply_overrides, overridden, steps_of
from mmuviz.studies.packaged_scenarios import DEFAULT, ORDER
from mmuviz.studies.policies import POLICIES, no_policy, policy_name, policy_overrides
from mmuviz.studies.scenario_files import scenario_document
from mmuviz.studies.short_labels import short_labels

FIELDS: Final = ("base", "document", "set", "policies", "focus")
MOST_SET: Final = 200
"""Most overrides in one request; a Scenario of 32 memslots has fewer fields."""
LONGEST_NAME: Final = 200
LONGEST_VALUE: Final = 200
"""Most characters of a value: a number, size, time or name."""
MOST_DEPTH: Final = 12
"""Deepest nesting of values; ops of a list are nested 6 deep."""
MOST_SECONDS: Final = 300
"""Limit of time for a requested run, s."""
DEFAULT_POLICY: Final = "lazy"
_LEADING: Final = re.compile(r"[a-z_]+(?:\[\d+\])?(?:\.[A-Za-z0-9_]+(?:\[\d+\])?)*")
_VARIANT: Final = re.compile(r"variants\[(\d+)\]:? ?")


class RequestError(InputError):
    """A request that is refused.

    Attributes:
        field: dotted name of the Scenario's field to which the message belongs, or one of FIELDS; empty if it
            belongs to the whole request.
    """

    def __init__(self, field: str, message: str) -> None:
        """Store the message, as one line, and its field.

        Args:
            field: dotted name, or empty.
            message: a sentence with value, rule and remedy.
        """
        super().__init__(message)
        self.field = one_line(field[:LONGEST_NAME])


class Request(NamedTuple):
    """A valid request.

    Attributes:
        base: the fields that all runs share, as a Scenario.
        comparison: the Comparison of two to four runs; None for a single run.
        scenarios: Scenarios of the runs, one to four.
        labels: labels that distinguish the runs; for a single run its policy.
        short: short labels of at most sixteen letters.
        policies: the policy of each run.
        focus: pages whose events are all kept; None for the default of run().
    """

    base: Scenario
    comparison: Comparison | None
    scenarios: tuple[Scenario, ...]
    labels: tuple[str, ...]
    short: tuple[str, ...]
    policies: tuple[str, ...]
    focus: Focus | None


def request_of(body: object) -> Request:
    """Validate a request.

    Args:
        body: a parsed JSON value: {"base": name of a packaged entry, "set": overrides by dotted
            name, "policies": one to four names or None, "focus": fields of a Focus or None}. If policies are None, the
            entry's own variants are run, or the entry itself if it has none. "document" in place of base has
            fields of a Scenario, and variants, as in a file.

    Returns:
        The valid request; nothing is run.

    Raises:
        RequestError: the request is invalid; the message is about the first error, at its field.
    """
    fields = _fields(body)
    document = _requested_document(fields)
    given = document.pop("variants", [])
    _check_variants(given)
    overrides = _overrides(fields.get("set"))
    names = _policies(fields.get("policies"))
    variants = list(given) if names is None else [{"policy": name} for name in names]
    _check_effect(overrides, variants)
    try:
        document = apply_overrides(document, overrides)
        _check_files(document)
        base, comparison, scenarios = _runs(document, overrides, variants)
    except RequestError:
        raise
    except (MmuvizError, ValueError, RecursionError) as error:
        raise _located(error, overrides, variants) from error
    policies = tuple(policy_name(each.vm) for each in scenarios)
    labels = policies if comparison is None else comparison.labels
    short = short_labels(scenarios)
    return Request(base, comparison, scenarios, labels, short, policies, _focus(fields.get("focus"), scenarios))


def _fields(body: object) -> dict[str, Any]:
    """Return the request's fields, after checking for text and numbers that cannot be printed or compared."""
    if not isinstance(body, dict):
        raise RequestError("", f"{short_repr(body)} is no request; send an object with {', '.join(FIELDS)}")
    for name in body:
        if name not in FIELDS:
            near = difflib.get_close_matches(str(name)[:60], FIELDS, 1, 0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise RequestError("", f"{short_repr(name)} is no field of a request; {hint}Fields are {', '.join(FIELDS)}")
    for name, value in body.items():
        for each in _values(name, value):
            if isinstance(each, str) and (len(each) > LONGEST_TEXT or not _is_text(each)):
                raise RequestError(name, f"{name} has {short_repr(each)}; text must be UTF-8 of at most {LONGEST_TEXT}")
            if isinstance(each, float) and not math.isfinite(each):
                raise RequestError(name, f"{name} has {each}; numbers must be finite")
    return body


def _values(name: str, value: object) -> Iterator[object]:
    """Yield names and values at every depth, without recursion."""
    left = [(value, 0)]
    while left:
        each, depth = left.pop()
        if depth > MOST_DEPTH:
            raise RequestError(name, f"{name} is nested deeper than {MOST_DEPTH}; give dotted names instead")
        yield each
        inner = [*each.keys(), *each.values()] if isinstance(each, dict) else each if isinstance(each, list) else []
        left += [(item, depth + 1) for item in inner]


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _requested_document(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the requested document: that of a catalogue entry, or the one in the request."""
    given = fields.get("document")
    if given is None:
        return _document(fields.get("base"))
    if fields.get("base") is not None:
        raise RequestError("document", "document stands in place of base; give one of them")
    if not isinstance(given, dict):
        raise RequestError("document", f"document={short_repr(given)} must be an object with the fields of a Scenario")
    return dict(given)


def _check_variants(given: object) -> None:
    """Check the variants of a document in a request."""
    if not isinstance(given, list) or len(given) > MOST or not all(isinstance(each, dict) for each in given):
        raise RequestError("variants", f"variants={short_repr(given)} must be at most {MOST} sets of overrides")
    for index, each in enumerate(given):
        name = each.get("policy", DEFAULT_POLICY)
        if not isinstance(name, str) or name not in POLICIES:
            raise RequestError("variants", no_policy(f"variants[{index}].policy", name))
        named = flat(each)
        _check_files(
            {
                "driver": {"recording": named.get("driver.recording")},
                "workload": {"pattern": named.get("workload.pattern")},
            }
        )


def _document(base: object) -> dict[str, Any]:
    """Return the document of a packaged entry or KVM recording; other files are never read."""
    names = (*ORDER, *packaged_recordings())
    if base is None:
        raise RequestError("base", f"base is missing; name an entry of the catalogue, e.g. {DEFAULT}")
    if not isinstance(base, str) or base not in names:
        wanted = base[:80] if isinstance(base, str) else ""
        near = difflib.get_close_matches(wanted, ORDER, 1, 0.5) or difflib.get_close_matches(wanted, names, 1, 0)
        raise RequestError(
            "base",
            f"base={short_repr(base)} is no entry of the catalogue; did you mean {near[0] if wanted else DEFAULT}?",
        )
    return scenario_document(base)


def _overrides(given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict) or len(given) > MOST_SET:
        many = f"of {len(given)} fields" if isinstance(given, dict) else short_repr(given)
        raise RequestError("set", f"set={many} must be an object of at most {MOST_SET} fields, e.g. vm.kernel")
    for name, value in given.items():
        if name == "variants" or name.startswith(("variants.", "variants[")):
            raise RequestError(name, "variants is no field of set; policies says what is compared")
        longest = LONGEST_TEXT if name in TEXTS else LONGEST_VALUE
        if isinstance(value, str) and len(value) > longest:
            raise RequestError(name, f"{short_repr(name)} has {len(value)} characters; give at most {longest}")
        if name == "policy" and (not isinstance(value, str) or value not in POLICIES):
            raise RequestError(name, no_policy(name, value))
        try:
            steps_of(name)
        except InputError as error:
            raise RequestError(name, str(error)) from error
    return given


def _policies(given: object) -> list[str] | None:
    if given is None:
        return None
    if not isinstance(given, list) or not 1 <= len(given) <= MOST:
        many = f"has {len(given)} names; it" if isinstance(given, list) else f"is {short_repr(given)}; it"
        raise RequestError("policies", f"policies {many} must be a list of 1 to {MOST} names, or null")
    for index, name in enumerate(given):
        if not isinstance(name, str) or name not in POLICIES:
            raise RequestError("policies", no_policy(f"policies[{index}]", name))
        if name in given[:index]:
            raise RequestError("policies", f"policies[{index}]={short_repr(name)} is there before; choose another one")
    return given


def _set_by(variant: Mapping[str, Any]) -> set[str]:
    """Return the fields that a variant sets, regardless of the base."""
    decided = set(flat({name: value for name, value in variant.items() if name != "policy"}))
    return decided | ({"policy", *POLICY_FIELDS} if "policy" in variant else set())


def _check_effect(overrides: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> None:
    """Refuse an override that changes no run because every variant sets the same field."""
    if not variants:
        return
    decided = set.intersection(*(_set_by(each) for each in variants))
    for name, value in flat(overrides).items():
        if name in decided and value is not None:
            by_policy = all("policy" in each for each in variants)
            given = [str(each["policy"]) if by_policy else short_repr(flat(each).get(name)) for each in variants]
            by, remedy = ("policies", "choose others") if by_policy else ("variants", "give policies in their place")
            raise RequestError(
                name, f"{name} would change nothing: the {by} decide it ({', '.join(given)}); {remedy}, or leave it out"
            )


def _check_files(document: Mapping[str, Any]) -> None:
    """Refuse a KVM recording or a trace that is a file: a request must not read files of the server."""
    workload = document.get("workload")
    if isinstance(workload, dict) and (workload.get("pattern") == "trace" or "file" in workload):
        raise RequestError(
            "workload.pattern",
            "workload.pattern=trace reads a file of the machine that runs it; use mmuviz run, or choose another",
        )
    driver = document.get("driver")
    name = driver.get("recording") if isinstance(driver, dict) else None
    if isinstance(name, str) and name and name not in packaged_recordings():
        near = difflib.get_close_matches(name[:80], packaged_recordings(), 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"e.g. {packaged_recordings()[0]}"
        raise RequestError(
            "driver.recording", f"driver.recording={short_repr(name)} must be the name of a packaged recording; {hint}"
        )


def _runs(
    document: dict[str, Any], overrides: Mapping[str, Any], variants: list[Mapping[str, Any]]
) -> tuple[Scenario, Comparison | None, tuple[Scenario, ...]]:
    if len(variants) >= FEWEST:
        comparison = Comparison(_base(document, overrides, variants), tuple(variants))
        return comparison.base, comparison, comparison.scenarios
    if variants:
        document = overridden(document, variants[0])
    base = Scenario.model_validate(document)
    return base, None, (base,)


def _base(document: dict[str, Any], overrides: Mapping[str, Any], variants: list[Mapping[str, Any]]) -> Scenario:
    """Make the base Scenario of a document; if it is invalid by itself, with the overrides of one of the variants.

    E.g. ring_entries are refused without rings, but are valid if one of the policies has rings.
    """
    try:
        return Scenario.model_validate(document)
    except MmuvizError:
        wanted = [name for name, value in flat(overrides).items() if value is not None]
        for variant in variants:
            under = overridden(document, variant)
            if all(name in flat(under) for name in wanted):
                try:
                    return Scenario.model_validate(under)
                except MmuvizError:
                    continue
        raise


def _located(error: Exception, overrides: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> RequestError:
    """Find the field of a refusal: of the fields that the message names, one that the request sets, else the first."""
    if isinstance(error, RecursionError):
        return RequestError("set", f"set is nested deeper than {MOST_DEPTH}; give dotted names instead")
    message = str(error)
    variant = _VARIANT.match(message)
    if variant is not None and int(variant[1]) < len(variants):
        rest, policy = message[variant.end() :], variants[int(variant[1])].get("policy")
        message = f"{policy}: {rest}" if policy and _LEADING.match(rest) else message
    else:
        rest, policy = message, None
    found = _LEADING.match(rest)
    leading = found[0] if found and found[0].partition(".")[0].partition("[")[0] in Scenario.model_fields else ""
    inside = [name for name in overrides if leading and name.startswith((f"{leading}.", f"{leading}["))]
    named = inside + [name for name in overrides if re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", rest)]
    by_policy = policy is not None and leading in policy_overrides(policy, {})
    if leading in overrides or (leading and not named and not by_policy):
        return RequestError(leading, message)
    if named:
        return RequestError(named[0], message)
    if variant is not None:
        return RequestError("policies", message)
    return RequestError(next(iter(overrides)) if len(overrides) == 1 else leading or "set", message)


def _focus(given: object, scenarios: Sequence[Scenario]) -> Focus | None:
    if given is None:
        return None
    if not isinstance(given, dict):
        raise RequestError("focus", f"focus={short_repr(given)} must be an object with first_gfn and pages, or null")
    try:
        focus = Focus.model_validate(given)
        for each in scenarios:
            check_focus(focus, spans_of(each))
    except (MmuvizError, ValueError) as error:
        name = str(error).partition("=")[0].partition(" ")[0]
        raise RequestError(f"focus.{name}" if name in Focus.model_fields else "focus", str(error)) from error
    return focus


def costs_of(request: Request, *, most_seconds: float = MOST_SECONDS, most_bytes: int = MOST_BYTES) -> list[RunCost]:
    """Estimate each run of a request, and refuse it if one is over a limit.

    Args:
        request: the request.
        most_seconds: limit of time of a run, s.
        most_bytes: limit of memory of a run, bytes.

    Returns:
        The estimates, in the order of the runs.

    Raises:
        RequestError: a run is over a limit; the message has its estimate, and no field.
    """
    costs = [cost_of(each) for each in request.scenarios]
    for label, cost in zip(request.labels, costs, strict=True):
        limit = f"{size_text(most_bytes)} of memory" if cost.memory_bytes > most_bytes else ""
        if cost.seconds > most_seconds:
            limit = time_text(math.ceil(most_seconds * NS_PER_S))
        if limit:
            raise RequestError(
                "",
                f"{label} needs {cost.description}, over the limit of {limit}; give less memory, time or rate_hz, or "
                "use mmuviz compare --limit-seconds",
            )
    return costs
