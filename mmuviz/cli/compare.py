"""``mmuviz compare``: run the variants of a Comparison side by side."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.ranges import add_range, ranges_of
from mmuviz.cli.recording_folder import check_folder, file_names, write_recordings
from mmuviz.cli.runs import run_side_by_side
from mmuviz.cli.sources import add_arguments, checked_costs, overrides_of, say_if_compiling, source_of
from mmuviz.cli.traces import trace_note
from mmuviz.core.errors import InputError, MmuvizError, one_line

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
    spans, note = ranges_of(arguments, comparison.scenarios, recordings)
    note = " ".join(filter(None, (trace_note(comparison.scenarios, recordings), note)))
    as_text = json_of if arguments.json else text_of
    out.write(as_text(comparison, recordings, spans, note))
    return 0


def comparison_of(arguments: argparse.Namespace) -> Comparison:
    """The Comparison of a command line.

    Raises:
        InputError: it is refused, or nothing to compare is given.
    """
    from mmuviz.studies.comparison import Comparison
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
    base, _ = read_base(arguments.source, overrides_of(arguments.set))
    try:
        return Comparison.of(base, policies, arguments.vary or "")
    except MmuvizError as error:
        raise InputError(f"{arguments.source}: {error}") from error


def text_of(comparison: Comparison, recordings: list[Recording], spans: list[Span | None], note: str) -> str:
    """Return the question, the table, a description of each migration, and what to look at, as text."""
    from mmuviz.exports.comparison_table import comparison_table
    from mmuviz.exports.setup_text import common_text
    from mmuviz.exports.summary import COLUMNS, migration_block

    def wrapped(text: str) -> str:
        return "\n".join(textwrap.wrap(one_line(text), COLUMNS, break_on_hyphens=False))

    parts = [wrapped(comparison.title)] if comparison.title else []
    parts.append(wrapped(", ".join(common_text(recordings))))
    if comparison.streams_differ:
        parts.append(wrapped("The guest does something else in each variant: what differs is not the policy alone."))
    parts.append(comparison_table(recordings, comparison.labels).rstrip("\n"))
    runs = zip(comparison.labels, recordings, spans, strict=True)
    parts += [text for label, recording, span in runs if (text := migration_block(label, recording, span))]
    parts += [wrapped(note)] if note else []
    notes = dict.fromkeys(note for recording in recordings for note in recording.header.notes)
    parts += [wrapped(note) for note in notes]
    if comparison.base.look_at:
        parts.append(wrapped(f"Look at: {comparison.base.look_at}"))
    return "\n\n".join(parts) + "\n"


def json_of(comparison: Comparison, recordings: list[Recording], spans: list[Span | None], _: str) -> str:
    """Return a list with the output of `run --json` for each variant, plus its label, as JSON."""
    from mmuviz.exports.json_document import json_document

    runs = zip(comparison.labels, recordings, spans, strict=True)
    return json.dumps([{"label": label, **json_document(recording, span)} for label, recording, span in runs]) + "\n"
