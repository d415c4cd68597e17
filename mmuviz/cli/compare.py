"""``mmuviz compare``: run the variants of a Comparison side by side."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.compiling import Compiling
from mmuviz.cli.progress import Progress
from mmuviz.cli.recording_folder import check_folder, file_names, write_recordings
from mmuviz.cli.sources import (
    add_arguments,
    checked_costs,
    most_memory,
    overrides_of,
    say_if_compiling,
    source_of,
)
from mmuviz.core.errors import InputError, MmuvizError, one_line

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.comparison import Comparison
    from mmuviz.studies.estimate import RunCost


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
    out.write(json_of(comparison, recordings) if arguments.json else text_of(comparison, recordings))
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


def run_side_by_side(
    arguments: argparse.Namespace, scenarios: tuple[Scenario, ...], costs: list[RunCost], label: str
) -> list[Recording]:
    """Run Scenarios with a progress bar, two at a time where both fit into memory.

    Args:
        arguments: of the command: its source, for messages, and its limit of memory.
        scenarios: what to run.
        costs: the estimate of each.
        label: before the bar.

    Raises:
        InputError: a run is refused.
    """
    from mmuviz.studies.estimate import share_done
    from mmuviz.studies.side_by_side import AT_ONCE, run_all

    seconds = [max(each.seconds, 1e-3) for each in costs]
    done, simulated_ns = [0.0] * len(costs), [0] * len(costs)
    largest = sorted(each.memory_bytes for each in costs)[-AT_ONCE:]
    fits = sum(largest) <= most_memory(arguments)
    with Compiling() as compiling, Progress(label) as progress:

        def report_progress(index: int, time_ns: int, accesses: int) -> None:
            compiling.end()
            done[index], simulated_ns[index] = share_done(costs[index], time_ns, accesses), time_ns
            share = sum(part * took for part, took in zip(done, seconds, strict=True)) / sum(seconds)
            progress.update(share, sum(simulated_ns))  # the time of one variant would jump back and forth

        try:
            return run_all(scenarios, at_once=AT_ONCE if fits else 1, progress=report_progress)
        except MmuvizError as error:
            raise InputError(f"{arguments.source}: {error}") from error


def text_of(comparison: Comparison, recordings: list[Recording]) -> str:
    """The question, the table, and the hint on what to look at."""
    from mmuviz.exports.comparison_table import comparison_table
    from mmuviz.exports.setup_text import common_text
    from mmuviz.exports.summary import COLUMNS

    def wrapped(text: str) -> str:
        return "\n".join(textwrap.wrap(one_line(text), COLUMNS, break_on_hyphens=False))

    parts = [wrapped(comparison.title)] if comparison.title else []
    parts.append(wrapped(", ".join(common_text(recordings))))
    if comparison.streams_differ:
        parts.append(wrapped("The guest does something else in each variant: what differs is not the policy alone."))
    parts.append(comparison_table(recordings, comparison.labels).rstrip("\n"))
    notes = dict.fromkeys(note for recording in recordings for note in recording.header.notes)
    parts += [wrapped(note) for note in notes]
    if comparison.base.look_at:
        parts.append(wrapped(f"Look at: {comparison.base.look_at}"))
    return "\n\n".join(parts) + "\n"


def json_of(comparison: Comparison, recordings: list[Recording]) -> str:
    """A list of the objects that `run --json` prints, one per variant, each with its label."""
    from mmuviz.exports.json_document import json_document

    pairs = zip(comparison.labels, recordings, strict=True)
    return json.dumps([{"label": label, **json_document(recording)} for label, recording in pairs]) + "\n"
