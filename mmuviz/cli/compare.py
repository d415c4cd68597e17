"""``mmuviz compare``: run the variants of a Comparison side by side."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.baseline import add_baseline, baselines_of
from mmuviz.cli.ranges import add_range, ranges_of
from mmuviz.cli.recording_folder import check_folder, file_names, write_recordings
from mmuviz.cli.runs import run_side_by_side
from mmuviz.cli.sources import add_arguments, checked_costs, overrides_of, say_if_compiling, source_of
from mmuviz.cli.traces import trace_note
from mmuviz.core.errors import InputError, MmuvizError, one_line, short_repr

if TYPE_CHECKING:
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.comparison import Comparison
    from mmuviz.studies.sensitivity import Span


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    compare = commands.add_parser(
        "compare", help="run the variants of a scenario and print them beside each other", allow_abbrev=False
    )
    add_arguments(compare)
    compare.add_argument(
        "--policies",
        metavar="A,B,...",
        help="compare these policies instead of the file's variants, e.g. lazy,ring_lazy",
    )
    compare.add_argument(
        "--vary",
        metavar="FIELD=V1,V2,...",
        help="compare these values of a field, e.g. vm.kernel=6.1,6.12; with --policies every pair of both",
    )
    add_baseline(compare, "migrations")
    add_range(compare)
    compare.add_argument(
        "-o", "--output", metavar="DIR", type=path_argument, help="write the Recordings to this folder, a file each"
    )
    compare.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    out = output()
    comparison = comparison_of(arguments)
    costs = checked_costs(arguments, comparison.scenarios)
    names = file_names(comparison.labels)
    if arguments.output is not None:
        check_folder(arguments.output, names)
    say_if_compiling()
    recordings = run_side_by_side(arguments, comparison.scenarios, costs, "compare")
    if arguments.output is not None:
        write_recordings(arguments.output, dict(zip(names, recordings, strict=True)))
    plain = without_migration(arguments, comparison, recordings)
    spans, note = ranges_of(arguments, comparison.scenarios, recordings)
    note = " ".join(filter(None, (trace_note(comparison.scenarios, recordings), note)))
    runs = [Variant(*each) for each in zip(comparison.labels, recordings, plain, spans, strict=True)]
    out.write(json_of(runs) if arguments.json else text_of(comparison, runs, note))
    return 0


class Variant(NamedTuple):
    """A variant that was run.

    Attributes:
        label: its label.
        recording: its Recording.
        plain: its guest without a migration, if it was run.
        span: spread of its results over the ranges of the host's constants, if it was computed.
    """

    label: str
    recording: Recording
    plain: Recording | None
    span: Span | None


def without_migration(
    arguments: argparse.Namespace, comparison: Comparison, recordings: list[Recording]
) -> list[Recording | None]:
    """Run the guests of migrations without them; see baselines_of().

    Raises:
        InputError: --baseline was given, and nothing migrates.
    """
    if any(each.header.migration is None for each in recordings):
        if arguments.baseline:
            raise InputError("--baseline of compare needs migrations: driver.kind qemu_precopy or plain_precopy")
        return [None] * len(recordings)
    return baselines_of(arguments, comparison.scenarios, recordings)


def comparison_of(arguments: argparse.Namespace) -> Comparison:
    """The Comparison of a command line.

    Raises:
        InputError: it is refused, or nothing to compare is given.
    """
    from mmuviz.studies.comparison import FEWEST, MOST, Comparison
    from mmuviz.studies.policies import POLICIES, no_policy
    from mmuviz.studies.scenario_files import read_base

    if arguments.policies is None and arguments.vary is None:
        found = source_of(arguments)
        if isinstance(found, Comparison):
            return found
        raise InputError(
            f"{arguments.source} has no variants; say what to compare, e.g. --policies lazy,eager_at_enable or "
            "--vary vm.kernel=6.1,6.12"
        )
    policies = [] if arguments.policies is None else [each.strip() for each in arguments.policies.split(",")]
    for name in policies:
        if name not in POLICIES:
            raise InputError(no_policy("--policies", name))
    if policies and arguments.vary is None and not FEWEST <= len(policies) <= MOST:
        raise InputError(
            f"--policies={short_repr(arguments.policies)} names {len(policies)} of them; compare needs {FEWEST} "
            f"to {MOST}, e.g. lazy,eager_at_enable"
        )
    base, _ = read_base(arguments.source, overrides_of(arguments.set))
    try:
        return Comparison.of(base, policies, arguments.vary or "")
    except MmuvizError as error:
        raise InputError(f"{arguments.source}: {error}") from error


def text_of(comparison: Comparison, runs: list[Variant], note: str) -> str:
    """Return the question, the table, a description of each migration, and what to look at, as text."""
    from mmuviz.exports.comparison_table import comparison_table
    from mmuviz.exports.setup_text import common_text
    from mmuviz.exports.summary import COLUMNS, migration_block
    from mmuviz.studies.alignment import remark_on

    def wrapped(text: str) -> str:
        return "\n".join(textwrap.wrap(one_line(text), COLUMNS, break_on_hyphens=False))

    recordings = [each.recording for each in runs]
    parts = [wrapped(comparison.title)] if comparison.title else []
    parts.append(wrapped(", ".join(common_text(recordings))))
    if comparison.streams_differ:
        parts.append(wrapped("The guest does something else in each variant: what differs is not the policy alone."))
    parts.append(comparison_table(recordings, comparison.labels).rstrip("\n"))
    parts += [text for each in runs if (text := migration_block(*each))]
    parts += [wrapped(note)] if note else []
    notes = (text for each in recordings for text in (*each.header.notes, remark_on(each).text))
    parts += [wrapped(text) for text in dict.fromkeys(notes) if text]
    if comparison.base.look_at:
        parts.append(wrapped(f"Look at: {comparison.base.look_at}"))
    return "\n\n".join(parts) + "\n"


def json_of(runs: list[Variant]) -> str:
    """Return a list with the output of `run --json` for each variant, plus its label, as JSON."""
    from mmuviz.exports.json_document import json_document

    found = []
    for label, recording, plain, span in runs:
        document = {"label": label, **json_document(recording, span)}
        found.append(document if plain is None else {**document, "without_logging": json_document(plain)})
    return json.dumps(found) + "\n"
