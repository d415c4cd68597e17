"""Arguments that `run` and `compare` share: the scenario, overrides of its fields, and limits."""

from __future__ import annotations

import argparse
import math
import sys
from typing import TYPE_CHECKING, Final

from mmuviz.core.errors import InputError, short_repr

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.studies.comparison import Comparison
    from mmuviz.studies.estimate import RunCost

LONGEST_SECONDS: Final = 10**7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of both commands.

    Args:
        parser: parser of one of them.
    """
    parser.add_argument(
        "source",
        metavar="FILE_OR_NAME",
        help="a scenario in TOML or JSON, a recording of KVM, or a name that `mmuviz scenarios` lists",
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a field, e.g. --set vm.kernel=6.1 or --set policy=lazy; may be given again and again",
    )
    parser.add_argument("--limit-seconds", metavar="S", help="refuse what is estimated to take longer (default: 120)")
    parser.add_argument(
        "--limit-memory", metavar="SIZE", help="refuse what is estimated to need more memory (default: 4GiB)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def overrides_of(given: list[str]) -> dict[str, str]:
    """The values of --set, by field.

    Raises:
        InputError: one of them has no equals sign.
    """
    found = {}
    for each in given:
        field, equals, value = each.partition("=")
        if not equals or not field:
            raise InputError(f"--set {short_repr(each)} must be FIELD=VALUE, e.g. --set vm.kernel=6.1")
        found[field.strip()] = value
    return found


def source_of(arguments: argparse.Namespace) -> Scenario | Comparison:
    """The Scenario or Comparison that the command line names, with its overrides.

    Raises:
        InputError: it is refused.
    """
    from mmuviz.studies.scenario_files import read_scenario

    return read_scenario(arguments.source, overrides_of(arguments.set))


def checked_costs(arguments: argparse.Namespace, scenarios: tuple[Scenario, ...]) -> list[RunCost]:
    """Estimated costs of runs, each within the limits.

    Raises:
        InputError: one is over a limit.
    """
    from mmuviz.studies.estimate import MOST_SECONDS, check_cost

    seconds = arguments.limit_seconds
    most_seconds, most_bytes = MOST_SECONDS if seconds is None else _seconds(seconds), most_memory(arguments)
    try:
        return [check_cost(each, most_seconds=most_seconds, most_bytes=most_bytes) for each in scenarios]
    except InputError as error:
        raise InputError(f"{arguments.source}: {error}") from error


def most_memory(arguments: argparse.Namespace) -> int:
    """The limit of memory, in bytes.

    Raises:
        InputError: the text is not a size.
    """
    from mmuviz.studies.estimate import MOST_BYTES

    return MOST_BYTES if arguments.limit_memory is None else _size(arguments.limit_memory)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= LONGEST_SECONDS:
        raise InputError(f"--limit-seconds={short_repr(text)} must be a number above 0, at most {LONGEST_SECONDS}")
    return seconds


def _size(text: str) -> int:
    from mmuviz.engine.choices.units import limit_of

    try:
        return limit_of(int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text)
    except ValueError as error:
        raise InputError(f"--limit-memory={short_repr(text)} {error}") from error


def say_if_compiling() -> None:
    """Print, on a terminal before the first run, that it compiles the simulation."""
    from mmuviz.core.jit import cache_folder

    if sys.stderr is not None and sys.stderr.isatty() and not cache_folder().exists():
        print(
            "mmuviz: compiling the simulation, once, which takes some minutes; `mmuviz warm` does only that",
            file=sys.stderr,
        )
