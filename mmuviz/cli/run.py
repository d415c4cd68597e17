"""``mmuviz run``: run one Scenario."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO

from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.baseline import add_baseline, baseline_of, baselines_of
from mmuviz.cli.compiling import Compiling
from mmuviz.cli.progress import Progress
from mmuviz.cli.ranges import add_range, ranges_of
from mmuviz.cli.sources import add_arguments, checked_costs, overrides_of, say_if_compiling
from mmuviz.cli.traces import trace_note
from mmuviz.core.errors import InputError, MmuvizError
from mmuviz.recording.quantities import time_text

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Focus, Scenario
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.estimate import RunCost
    from mmuviz.studies.sensitivity import Span

PS_PER_NS: Final = 10**3


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    run = commands.add_parser("run", help="run a scenario and print what it did to the guest", allow_abbrev=False)
    add_arguments(run)
    run.add_argument(
        "--focus",
        metavar="FIRST:PAGES[@FROM..TO]",
        help="keep every event of these pages, at most 16384, in this time, e.g. 0x100000:512@10ms..20ms",
    )
    run.add_argument("-o", "--output", metavar="OUT", type=path_argument, help="write the Recording to this file")
    add_baseline(run, "a guest that runs on while it is logged")
    add_range(run)
    run.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    out = output()
    scenario, notice = requested_scenario(arguments)
    focus = focus_of(arguments, scenario)
    cost = checked_costs(arguments, (scenario,))[0]
    if arguments.output is not None:
        check_output(arguments.output, arguments.source)
    if arguments.baseline and baseline_of(scenario, 1) is None:
        kinds = "driver.kind enable_only, live_rounds, calc_dirty_rate, or one that migrates"
        raise InputError(f"--baseline needs a guest that runs on: {kinds}; leave it out")
    if notice and sys.stderr is not None:
        print(f"mmuviz: {notice}", file=sys.stderr)
    say_if_compiling()
    recording = watched("run", scenario, cost, focus, arguments.source)
    if focus is not None and focus.start * PS_PER_NS >= recording.header.end_ps and sys.stderr is not None:
        end = time_text(recording.totals["end_ns"])
        print(f"mmuviz: --focus begins later than the run ends ({end}): no event is kept", file=sys.stderr)
    if arguments.output is not None:
        recording.save(arguments.output)
    (plain,) = baselines_of(arguments, (scenario,), (recording,))
    (span,), note = ranges_of(arguments, (scenario,), (recording,))
    note = " ".join(filter(None, (trace_note((scenario,), (recording,)), note)))
    print_recording(arguments, recording, plain, Ranged(span, note), out)
    return 0


def requested_scenario(arguments: argparse.Namespace) -> tuple[Scenario, str]:
    """The Scenario of a command line; for a Comparison its base.

    Returns:
        The Scenario, and a notice about the variants. The notice is empty if there are none, or if --set has chosen a
        policy or exactly one of the variants.

    Raises:
        InputError: it is refused.
    """
    from mmuviz.studies.policies import POLICIES
    from mmuviz.studies.scenario_files import is_one_of, read_base

    chosen = overrides_of(arguments.set)
    base, variants = read_base(arguments.source, chosen)
    if not variants or "policy" in chosen or (chosen and is_one_of(base, variants)):
        return base, ""
    first = next((each["policy"] for each in variants if each.get("policy") in list(POLICIES)), None)
    remedy = f"; --set policy={first} runs one of them" if first else ""
    return base, (
        f"{arguments.source} has {len(variants)} variants; this runs what they have in common, "
        f"mmuviz compare runs them all{remedy}"
    )


def focus_of(arguments: argparse.Namespace, scenario: Scenario) -> Focus | None:
    """The Focus of a command line; None if it names none.

    Raises:
        InputError: it is refused, or contains no page of the guest.
    """
    from mmuviz.engine.choices.scenario import Focus
    from mmuviz.engine.run import check_focus, spans_of

    if arguments.focus is None:
        return None
    focus = Focus.parse(arguments.focus)
    try:
        check_focus(focus, spans_of(scenario))
    except MmuvizError as error:
        raise InputError(f"{arguments.source}: {error}") from error
    return focus


def check_output(path: Path, source: str) -> None:
    """Refuse an unsuitable path for a Recording before the run, which may take long.

    Args:
        path: the path.
        source: the user's name of the Scenario.

    Raises:
        InputError: nothing can be written there, or an existing file must not be replaced.
    """
    from mmuviz.recording import gzip_file, whole_file

    whole_file.check_place(path)
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        is_recording = file.read(len(gzip_file.GZIP_MAGIC)) == gzip_file.GZIP_MAGIC
    if not is_recording or (Path(source).exists() and path.samefile(source)):
        raise InputError(f"will not write {path}: a file stands there that is no Recording; name another file")


def watched(label: str, scenario: Scenario, cost: RunCost, focus: Focus | None, source: str) -> Recording:
    """Run with a progress bar.

    Args:
        label: text before the bar.
        scenario: the input of the run.
        cost: its estimate.
        focus: see run().
        source: the user's name of the Scenario, for messages.

    Raises:
        InputError: the run is refused.
    """
    from mmuviz.engine.run import run
    from mmuviz.studies.estimate import share_done

    with Compiling() as compiling, Progress(label) as progress:

        def report_progress(time_ns: int, accesses: int) -> None:
            compiling.end()
            progress.update(share_done(cost, time_ns, accesses), time_ns)

        try:
            return run(scenario, focus, progress=report_progress)
        except MmuvizError as error:
            raise InputError(f"{source}: {error}") from error


class Ranged(NamedTuple):
    """The spread of a run's results over the ranges of the host's constants, or the reason why it is unknown."""

    span: Span | None = None
    note: str = ""


def print_recording(
    arguments: argparse.Namespace, recording: Recording, plain: Recording | None, ranged: Ranged, out: TextIO
) -> None:
    """Print the summary, or the Recording as a JSON object."""
    from mmuviz.exports.json_document import json_document
    from mmuviz.exports.summary import summary_of

    if not arguments.json:
        out.write(summary_of(recording, plain, *ranged))
        return
    document = json_document(recording, ranged.span)
    if plain is not None:
        document["without_logging"] = json_document(plain)
    out.write(json.dumps(document) + "\n")
