"""A Comparison: a base Scenario and two to four variants of it, labelled by the fields that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, Self

from mmuviz.core.errors import InputError, MmuvizError, short_repr
from mmuviz.engine.choices.annotations import field_at
from mmuviz.engine.choices.scenario import TEXTS, Scenario
from mmuviz.engine.choices.units import rate_text, size_text, time_text
from mmuviz.studies.overrides import overridden, steps_of, value_of
from mmuviz.studies.policies import policy_name

FEWEST: Final = 2
MOST: Final = 4
POLICY_FIELDS: Final = ("vm.dirty_log_mode", "vm.eager_page_split")
STREAM_FIELDS: Final = ("vm.vcpus", "workload", "memory.size", "memory.read_only")
SHORT: Final = {
    "vm.pml": ("PML", "no PML"),
    "vm.vendor": ("{}", ""),
    "vm.mmu": ("{}", ""),
    "driver.kind": ("{}", ""),
    "workload.pattern": ("{}", ""),
}
"""Labels of fields whose value is clear without a name, or whose two values have labels of their own."""


@dataclass(frozen=True)
class Comparison:
    """The same guest under two to four sets of options.

    Attributes:
        base: the Scenario that the variants override.
        variants: two to four sets of overrides: `policy` = a name, dotted names, or tables.
        other_streams: whether variants may change the guest's accesses; if not, all have the same accesses.
        scenarios: the variants, each a complete Scenario.
        labels: a label for each, derived from the fields that differ.
    """

    base: Scenario
    variants: tuple[Mapping[str, Any], ...]
    other_streams: bool = False
    scenarios: tuple[Scenario, ...] = field(init=False)
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Create the variants.

        Raises:
            InputError: there are too few or too many variants, one is refused, two are equal, or their accesses differ.
        """
        variants: object = self.variants
        if not isinstance(variants, list | tuple) or not FEWEST <= len(variants) <= MOST:
            many = len(variants) if isinstance(variants, list | tuple) else short_repr(variants)
            raise InputError(f"variants={many} must be {FEWEST} to {MOST} sets of overrides")
        given = self.base.given()
        scenarios = tuple(_variant(given, index, each) for index, each in enumerate(self.variants))
        documents = [flat(each.as_document()) for each in scenarios]
        for index, one in enumerate(scenarios):
            twin = next((at for at in range(index) if scenarios[at].digest() == one.digest()), None)
            if twin is not None:
                raise InputError(f"variants[{index}] is the same as variants[{twin}]; change one, or leave it out")
        object.__setattr__(self, "variants", tuple(self.variants))
        object.__setattr__(self, "scenarios", scenarios)
        object.__setattr__(self, "labels", labels_of(scenarios, self.base))
        changed = [name for name in differing(documents) if is_of_stream(name)]
        if any(each.ops() != scenarios[0].ops() for each in scenarios):
            changed.append("driver.ops")
        if changed and not self.other_streams:
            raise InputError(
                f"variants change {changed[0]}, so that the guest does something else in each; leave it out, or "
                f"compare with --vary {changed[0]}=…, which says so"
            )

    @property
    def title(self) -> str:
        """The question, from the base."""
        return self.base.title

    @property
    def streams_differ(self) -> bool:
        """Whether the guest's accesses differ between variants."""
        return any(is_of_stream(name) for name in differing([flat(each.as_document()) for each in self.scenarios]))

    @classmethod
    def of(cls, base: Scenario, policies: Sequence[str] = (), vary: str = "") -> Self:
        """Create a Comparison from a command line.

        Args:
            base: the Scenario that the variants override.
            policies: names of policies.
            vary: "field=v1,v2,…", or empty; with policies, every pair of both.

        Returns:
            The Comparison.

        Raises:
            InputError: see Comparison; or `vary` has another form.
        """
        sets: list[dict[str, Any]] = [{"policy": name} for name in policies] or [{}]
        if vary:
            name, equals, values = vary.partition("=")
            steps_of(name)
            if not equals or not values:
                raise InputError(f"vary={short_repr(vary)} must be FIELD=VALUE,VALUE,…, e.g. vm.kernel=6.1,6.12")
            others = [{name: value_of(name, each)} for each in values.split(",")]
            sets = [{**one, **other} for one, other in product(sets, others)]
        return cls(base, tuple(sets), other_streams=bool(vary))

    def as_document(self) -> dict[str, Any]:
        """Return base and variants as a document."""
        return {**self.base.as_document(), "variants": [dict(each) for each in self.variants]}


def _variant(given: Mapping[str, Any], index: int, overrides: object) -> Scenario:
    if not isinstance(overrides, Mapping):
        raise InputError(
            f'variants[{index}]={short_repr(overrides)} must be a table of overrides, e.g. policy = "lazy"'
        )
    texts = [name for name in (*TEXTS, "variants", "label") if name in overrides]
    if texts:
        raise InputError(f"variants[{index}].{texts[0]} is none: what differs names a variant; leave it out")
    try:
        return Scenario.model_validate(overridden(given, overrides))
    except MmuvizError as error:
        raise InputError(f"variants[{index}]: {error}") from error


def flat(value: object, name: str = "") -> dict[str, Any]:
    """Return a document's values by dotted name, without its texts."""
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for each, inner in value.items():
            path = f"{name}.{each}" if name else str(each)
            if path not in TEXTS:
                found |= flat(inner, path)
        return found
    if isinstance(value, list) and name != "driver.ops":
        return {path: leaf for at, each in enumerate(value) for path, leaf in flat(each, f"{name}[{at}]").items()}
    return {name: value}


def differing(documents: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the names whose values differ between documents, in the order of their first occurrence."""
    names = dict.fromkeys(name for document in documents for name in document)
    return [name for name in names if any(each.get(name) != documents[0].get(name) for each in documents)]


def is_of_stream(name: str) -> bool:
    """Whether a field decides the guest's accesses."""
    part, _, rest = name.partition(".")
    if part.startswith("memory["):
        return f"memory.{rest}" in STREAM_FIELDS
    return part in STREAM_FIELDS or name in STREAM_FIELDS


def labels_of(scenarios: Sequence[Scenario], base: Scenario) -> tuple[str, ...]:
    """Make labels that distinguish scenarios, e.g. "eager_in_clear, clear_chunk 64 GiB".

    Args:
        scenarios: Scenarios, all different.
        base: a label has only the fields in which its Scenario differs from the base.

    Returns:
        A label for each Scenario, all different: the policy, if the modes or the ways of splitting differ,
        then the other fields that differ.
    """
    documents, start = [flat(each.as_document()) for each in scenarios], flat(base.as_document())
    names = [name for name in differing(documents) if not depends_on_another(name, scenarios, documents)]
    by_policy = len({policy_name(each.vm) for each in scenarios}) > 1
    rest = [name for name in names if not (by_policy and name in POLICY_FIELDS)]
    full, short = [], []
    for scenario, document in zip(scenarios, documents, strict=True):
        parts = [policy_name(scenario.vm)] if by_policy else []
        texts = {name: part_text(name, document.get(name)) for name in rest}
        full.append(", ".join([*parts, *texts.values()]))
        short.append(
            ", ".join([*parts, *(text for name, text in texts.items() if document.get(name) != start.get(name))])
        )
    return tuple(short) if all(short) and len(set(short)) == len(short) else tuple(full)


def depends_on_another(name: str, scenarios: Sequence[Scenario], documents: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a field differs only because another differing field determines it."""
    if name.startswith(("workload.", "driver.")) and not all(name in document for document in documents):
        return True
    if name == "vm.split_chunk":
        return len({each.vm.split_chunk for each in scenarios if each.vm.split_chunk}) < 2
    vendors = len({each.vm.vendor for each in scenarios})
    return {
        "driver.recording": len({each.vm for each in scenarios}) == len(scenarios),
        "vm.ring_entries": len({each.vm.dirty_log_mode.ring for each in scenarios}) > 1,
        "vm.mmu": len({each.vm.mmu for each in scenarios}) == vendors > 1,
        "host.profile": vendors > 1,
    }.get(name, False)


def part_text(name: str, value: object) -> str:
    """Format a field and its value for a label."""
    if value is None:
        return f"no {name.rpartition('.')[2]}"
    if isinstance(value, bool):
        texts = SHORT.get(name, (name.rpartition(".")[2], f"no {name.rpartition('.')[2]}"))
        return texts[0] if value else texts[1]
    unit = field_at(Scenario, _location(name)).unit
    text = str(value)
    if isinstance(value, int) and unit in ("size", "time", "rate"):
        text = {"size": size_text, "time": time_text, "rate": rate_text}[unit](value)
    if name in SHORT:
        return SHORT[name][0].format(text)
    short = name if name.startswith("memory[") else name.rpartition(".")[2]
    return f"{short} {text}"


def _location(name: str) -> list[str | int]:
    try:
        return steps_of(name)
    except InputError:
        return []
