"""``mmuviz advise``: which policy a migration should have, and what would make it converge."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from pydantic_core import PydanticCustomError

from mmuviz.cli.arguments import output
from mmuviz.cli.ranges import SECONDS_A_RUN
from mmuviz.cli.runs import at_once, run_side_by_side
from mmuviz.cli.sources import add_arguments, checked_costs, overrides_of, say_if_compiling
from mmuviz.core.errors import InputError, MmuvizError, short_repr
from mmuviz.core.pages import PAGE_BYTES

if TYPE_CHECKING:
    from mmuviz.engine.choices.scenario import Scenario
    from mmuviz.exports.advice_text import Advice
    from mmuviz.recording.recording import Recording
    from mmuviz.studies.advice import Candidate, Patient
    from mmuviz.studies.estimate import RunCost
    from mmuviz.studies.remedies import Answer, Remedy

LONG_S: Final = 60.0
"""Estimate of a run, s, from which only the scenario's own chunk size is run, unless --chunks names others."""
LEAST_SHIFT: Final = 6
MOST_SHIFT: Final = 31
"""Limits of x-clear-bitmap-shift: 256 KiB and 8 TiB."""
GIB: Final = 1 << 30
MINUTES_FROM_S: Final = 100
STOPPED: Final = "Ctrl-C ended the command before"
OPTION_FIELDS: Final = {"bandwidth": ("driver.link", "driver.bandwidth"), "downtime": ("driver.downtime_limit",)}
"""Fields that an option sets."""
_NEAR_RATE: Final = re.compile(
    r"-?([0-9]{1,20}(?:\.[0-9]{1,12})?) ?([kmgt])(i?)(b|bits?|)(?:/s|ps)?", re.ASCII | re.IGNORECASE
)
"""A number with a prefix, and what may have been meant as a unit of a rate."""


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
    advise.add_argument(
        "--chunks",
        metavar="SIZE,...",
        help="sizes of CLEAR that are tried beside the scenario's own (default: 2MiB,64MiB,1GiB; none beside it if a "
        f"run is estimated to take {LONG_S:g} s or more)",
    )
    advise.set_defaults(run=_advise)


def _advise(arguments: argparse.Namespace) -> int:
    from mmuviz.exports.advice_document import advice_document
    from mmuviz.exports.advice_text import Advice, last_text

    out = output()
    scenario, notice = migration_asked(arguments)
    advice = Advice(scenario, notes=[notice] if notice else [])
    chosen, costs = _chosen(arguments, advice)
    lines = None if arguments.json else out

    def end() -> None:
        out.write(json.dumps(advice_document(advice)) + "\n" if lines is None else last_text(advice))

    try:
        _run_candidates(arguments, advice, list(zip(chosen, costs, strict=True)), lines)
        _run_remedies(arguments, advice, lines)
    except KeyboardInterrupt:
        end()
        raise
    end()
    return 0


def _chosen(arguments: argparse.Namespace, advice: Advice) -> tuple[list[Candidate], list[RunCost]]:
    """Choose the candidates that are run, with their costs; all others are noted in the advice, with the reason.

    Raises:
        InputError: none of them is within the limits.
    """
    from mmuviz.engine.choices.units import size_text
    from mmuviz.studies.advice import SHIFTS, NotRun, candidates
    from mmuviz.studies.estimate import cost_of

    shifts: Sequence[int] = SHIFTS
    seconds = cost_of(advice.scenario).seconds
    if arguments.chunks is not None:
        shifts = _shifts(arguments.chunks)
    elif seconds >= LONG_S:
        shifts = ()
        left_out = ",".join(size_text(PAGE_BYTES << each).replace(" ", "") for each in SHIFTS)
        advice.notes.append(
            f"A run is estimated to take {duration_text(seconds)}, so that only the scenario's own size of CLEAR was "
            f"run; --chunks {left_out} runs others too."
        )
    found, advice.refused = candidates(advice.scenario, shifts)
    chosen, costs = [], []
    errors = []
    for each in found:
        try:
            costs += checked_costs(arguments, (each.scenario,))
        except InputError as error:
            errors.append(error)
            advice.not_run.append(NotRun(each, _reason(arguments, error)))
        else:
            chosen.append(each)
    if not chosen:
        raise errors[0]
    return chosen, costs


def _reason(arguments: argparse.Namespace, error: InputError) -> str:
    """A message without the name of the source, which the command line has already."""
    return str(error).removeprefix(f"{arguments.source}: ")


def _run_candidates(
    arguments: argparse.Namespace, advice: Advice, chosen: list[tuple[Candidate, RunCost]], lines: TextIO | None
) -> None:
    """Run candidates; the row of each is printed as soon as it and those before it have ended.

    Args:
        arguments: parsed arguments of the command.
        advice: what is known.
        chosen: candidates and their costs.
        lines: receives text; None for none.
    """
    from mmuviz.exports.advice_text import end_text, head_text, row_text
    from mmuviz.studies.advice import NotRun
    from mmuviz.studies.convergence import converges
    from mmuviz.studies.remedies import searches_of

    candidates, costs = [each for each, _ in chosen], [cost for _, cost in chosen]
    _announce(arguments, costs, len(advice.not_run))
    _print(lines, head_text(advice, [*candidates, *(each.candidate for each in advice.not_run)]))

    def finished(index: int, recording: Recording) -> None:
        advice.tried.append((candidates[index], recording))
        _print(lines, row_text(candidates[index], recording))

    def end() -> None:
        own = advice.own
        if own is not None and not converges(own):
            advice.open_kinds = list(searches_of(advice.scenario, own))
        _print(lines, end_text(advice))

    try:
        run_side_by_side(arguments, tuple(each.scenario for each in candidates), costs, "advise", finished)
    except KeyboardInterrupt:
        tried = [candidate for candidate, _ in advice.tried]
        advice.not_run += [NotRun(each, STOPPED) for each in candidates if each not in tried]
        end()
        raise
    end()


def _run_remedies(arguments: argparse.Namespace, advice: Advice, lines: TextIO | None) -> None:
    """Run changes of a scenario that does not converge; each is printed as soon as it is known whether it helps."""
    from mmuviz.exports.advice_text import remedy_block
    from mmuviz.studies.remedies import remedies, searches_of

    own = advice.own
    if own is None or not advice.open_kinds:
        return

    def run_some(scenarios: Sequence[Scenario], answered: Callable[[int, Answer], None]) -> None:
        places, costs = [], []
        for index, each in enumerate(scenarios):
            try:
                costs += checked_costs(arguments, (each,))
            except InputError as error:
                answered(index, InputError(_reason(arguments, error)))
            else:
                places.append(index)
        within = tuple(scenarios[index] for index in places)
        if within:
            run_side_by_side(
                arguments, within, costs, "what would help", lambda index, recording: answered(places[index], recording)
            )

    def tell(name: str, found: list[Remedy]) -> None:
        advice.open_kinds.remove(name)
        advice.remedies += found
        for each in found:
            _print(lines, remedy_block(each))

    say(f"{len(advice.open_kinds)} or more runs follow, to find what would make it converge")
    remedies(searches_of(advice.scenario, own), run_some, tell)


def _announce(arguments: argparse.Namespace, costs: list[RunCost], over: int) -> None:
    """Print the number of runs and their estimated time before the first of them; `over`: runs over a limit."""
    from mmuviz.studies.side_by_side import AT_ONCE

    seconds = sum(each.seconds + SECONDS_A_RUN for each in costs)
    together = "two at a time"
    if len(costs) == 1:
        together = "alone"
    elif at_once(arguments, costs) == 1:
        needed = math.ceil(sum(sorted(each.memory_bytes for each in costs)[-AT_ONCE:]) / GIB)
        together = f"one after the other (--limit-memory {needed}GiB: two at a time)"
    say_if_compiling()
    say(
        f"{len(costs)} runs, estimated to take {duration_text(seconds)} of one core in all, {together}; "
        f"{f'{over} more are over a limit; ' if over else ''}Ctrl-C prints what is known by then"
    )


def say(text: str) -> None:
    """Print a line on standard error."""
    if sys.stderr is not None:
        print(f"mmuviz: {text}", file=sys.stderr, flush=True)


def duration_text(seconds: float) -> str:
    """Format an estimate of time: "less than 1 s", "45 s", "12 min"."""
    if seconds < 1:
        return "less than 1 s"
    return f"{seconds:.0f} s" if seconds < MINUTES_FROM_S else f"{seconds / 60:.0f} min"


def _print(lines: TextIO | None, text: str) -> None:
    """Print at once, as the next line may be minutes away."""
    if lines is not None:
        lines.write(text)
        lines.flush()


def migration_asked(arguments: argparse.Namespace) -> Patient:
    """Return the migration that a command line names, for a Comparison that of its base; with enough time for a pass.

    Raises:
        InputError: it is refused.
    """
    from mmuviz.engine.choices.units import time_of
    from mmuviz.studies.advice import migration_of, patient
    from mmuviz.studies.scenario_files import read_base

    base, _ = read_base(arguments.source, overrides_of(arguments.set))
    if arguments.bandwidth is not None:
        bandwidth_of(arguments.bandwidth)
    _value("--downtime", arguments.downtime, time_of)
    try:
        # Text, not its value: a refusal states what was typed.
        return patient(migration_of(base, _number_or_text(arguments.bandwidth), _number_or_text(arguments.downtime)))
    except MmuvizError as error:
        raise InputError(_of_option(arguments, str(error)) or f"{arguments.source}: {error}") from error


def _of_option(arguments: argparse.Namespace, message: str) -> str:
    """The refusal of a value that an option has set, with the option's name; empty if it is another's."""
    for option, fields in OPTION_FIELDS.items():
        text = getattr(arguments, option)
        if text is None:
            continue
        for field in fields:
            given = f"{field}={short_repr(_number_or_text(text))} "
            if message.startswith(given):
                return f"--{option}={short_repr(text)} {message.removeprefix(given)}"
    return ""


def bandwidth_of(text: str) -> int:
    """Parse a rate as people say it, e.g. "25Gbit", in bytes per second; "/s" may be left out.

    Raises:
        InputError: it is another text; the message has the nearest rate in bits, unless bytes are named.
    """
    from mmuviz.engine.choices.units import RATE_UNITS, rate_of

    wrong, rate = None, 0
    try:
        rate = int(_value("--bandwidth", text, rate_of) or 0)
    except InputError as error:
        if " must be a whole number of " in str(error):
            raise
        wrong = error
    if wrong or rate < 0:
        bits = ", ".join(each.removesuffix("/s") for each in RATE_UNITS if "bit" in each)
        others = ", ".join(each for each in RATE_UNITS if "bit" not in each)
        raise InputError(
            f"--bandwidth={short_repr(text)} must be a number above 0 with a unit of bits ({bits}) or bytes "
            f"({others}); {_near_rate(text)}"
        ) from wrong
    return rate


def _near_rate(text: str) -> str:
    """Return the rate that was probably meant: in bits, as networks have it, unless bytes are named."""
    near = _NEAR_RATE.fullmatch(text)
    if near is None:
        return "e.g. 25Gbit"
    number, prefix, binary, unit = near[1], near[2].upper(), near[3], near[4]
    if unit == "B" or (binary and "it" not in unit.lower()):
        return f"did you mean {number}{prefix}iB/s?"
    return f"did you mean {number}{'k' if prefix == 'K' else prefix}bit?"


def _shifts(text: str) -> tuple[int, ...]:
    """Parse the sizes of --chunks to values of x-clear-bitmap-shift.

    Raises:
        InputError: one of them is no such size.
    """
    from mmuviz.engine.choices.units import size_of, size_text

    found = []
    for each in text.split(","):
        size = _value("--chunks", each.strip(), size_of) or 0
        shift = (size // PAGE_BYTES).bit_length() - 1
        if not LEAST_SHIFT <= shift <= MOST_SHIFT or size != PAGE_BYTES << shift:
            limits = " to ".join(size_text(PAGE_BYTES << each) for each in (LEAST_SHIFT, MOST_SHIFT))
            raise InputError(f"--chunks={short_repr(each)} must be a power of two, {limits}; e.g. 2MiB,64MiB")
        found.append(shift)
    return tuple(found)


def _number_or_text(text: str | None) -> int | str | None:
    """A whole number without a unit, as a number, which is of the smallest unit; else the text."""
    if text is None:
        return None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else text


def _value(option: str, text: str | None, read: Callable[[object], Any]) -> int | None:
    if text is None:
        return None
    try:
        return int(read(_number_or_text(text)))
    except PydanticCustomError as error:
        raise InputError(f"{option}={short_repr(text)} {error}") from error
