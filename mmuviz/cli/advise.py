"""``mmuviz advise``: which policy a migration should have, and what would make it converge."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic_core import PydanticCustomError

from mmuviz.cli.arguments import output
from mmuviz.cli.run import watched
from mmuviz.cli.runs import run_side_by_side
from mmuviz.cli.sources import add_arguments, checked_costs, overrides_of, say_if_compiling
from mmuviz.core.errors import InputError, MmuvizError, short_repr

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.recording.recording import Recording


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    advise = commands.add_parser(
        "advise",
        help="migrate a guest under every policy: which is best at what, and what would make it converge",
        allow_abbrev=False,
    )
    add_arguments(advise)
    advise.add_argument("--bandwidth", metavar="RATE", help="of the link and of what userspace sends, e.g. 25Gbit")
    advise.add_argument("--downtime", metavar="TIME", help="the downtime limit, e.g. 300ms")
    advise.set_defaults(run=_advise)


def _advise(arguments: argparse.Namespace) -> int:
    from mmuviz.exports.advice_text import advice_document, advice_table
    from mmuviz.studies.advice import candidates, remedies
    from mmuviz.studies.convergence import converges

    out = output()
    scenario = migration_asked(arguments)
    chosen, refused = candidates(scenario)
    scenarios = tuple(each.scenario for each in chosen)
    costs = checked_costs(arguments, scenarios)
    say_if_compiling()
    tried = list(zip(chosen, run_side_by_side(arguments, scenarios, costs, "advise"), strict=True))
    own = next(recording for candidate, recording in tried if candidate.own)

    def run_one(changed: Scenario) -> Recording:
        (cost,) = checked_costs(arguments, (changed,))
        return watched("advise, what would help", changed, cost, None, arguments.source)

    helps = [] if converges(own) else remedies(scenario, own, run_one)
    if arguments.json:
        out.write(json.dumps(advice_document(tried, refused, helps)) + "\n")
    else:
        out.write(advice_table(scenario.title, tried, refused, helps))
    return 0


def migration_asked(arguments: argparse.Namespace) -> Scenario:
    """Return the migration that a command line names; for a Comparison that of its base.

    Raises:
        InputError: it is refused.
    """
    from mmuviz.engine.choices.units import rate_of, time_of
    from mmuviz.studies.advice import migration_of
    from mmuviz.studies.scenario_files import read_base

    base, _ = read_base(arguments.source, overrides_of(arguments.set))
    try:
        bandwidth = _value("--bandwidth", arguments.bandwidth, lambda text: rate_of(_a_second(text)))
        return migration_of(base, bandwidth, _value("--downtime", arguments.downtime, time_of))
    except MmuvizError as error:
        raise InputError(f"{arguments.source}: {error}") from error


def _a_second(text: object) -> object:
    """A rate as people say it, e.g. "25Gbit", with what it is a share of."""
    return f"{text}/s" if isinstance(text, str) and not text.endswith("/s") else text


def _value(option: str, text: str | None, read: Callable[[object], Any]) -> int | None:
    if text is None:
        return None
    try:
        return int(read(int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text))
    except PydanticCustomError as error:
        raise InputError(f"{option}={short_repr(text)} {error}") from error
