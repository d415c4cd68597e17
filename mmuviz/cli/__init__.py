"""The command line of mmuviz.

Anything that a user can get wrong is answered with one line on standard error and exit status 2, never with a
traceback. Handlers import the rooms below, so that a command loads only what it uses.
"""

import argparse
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from mmuviz.cli import advise, compare, export, import_perf_test, run, scenarios, show
from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.compiling import Compiling
from mmuviz.core.errors import InputError, MmuvizError, one_line
from mmuviz.core.version import __version__

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = "8050"

NEGATIVE = re.compile(r"-\.?[0-9]")
OPTION = re.compile(r"--[a-z][a-z-]*")

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


class _Parser(argparse.ArgumentParser):
    """A parser that reports an error in one line, without the usage text before it."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Args:
            message: argparse's message.

        Raises:
            InputError: always.
        """
        raise InputError(f"{message}; see {self.prog} --help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments after the program's name; None for those of the process.

    Returns:
        The exit status: 0 done, 1 the command found differences or bad files, 2 it could not be started as asked.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A file name may have characters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            arguments = _parser().parse_args(joined_values(sys.argv[1:] if argv is None else argv))
            return int(arguments.run(arguments))
        finally:
            # Here and not at exit, where Python could only report a closed reader or a full disk as a traceback.
            if sys.stdout is not None:
                sys.stdout.flush()
    except MmuvizError as error:
        return _complain(str(error))
    except BrokenPipeError:
        _dropoutput()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _dropoutput()
        return _complain(f"cannot write the output: {error.strerror}; make room there, or send it elsewhere")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def joined_values(argv: Sequence[str]) -> list[str]:
    """Join a long option and a value that begins with a minus and a digit, which argparse takes for an option.

    Args:
        argv: arguments, e.g. --bandwidth -1Gbit.

    Returns:
        The same, e.g. with --bandwidth=-1Gbit, so that whoever reads the value can say what is wrong with it.
    """
    found: list[str] = []
    for each in argv:
        if found and NEGATIVE.match(each) and OPTION.fullmatch(found[-1]):
            found[-1] += f"={each}"
        else:
            found.append(each)
    return found


def _complain(message: str) -> int:
    print(f"mmuviz: {one_line(message)}", file=sys.stderr)
    return EXIT_USAGE


def _dropoutput() -> None:
    """Send unwritten output to /dev/null: Python would try to write it at exit, and report an error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mmuviz",
        description="Shows what a KVM MMU does to huge pages while dirty logging is on.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mmuviz {__version__}")
    # Not required here, since a missing command would hide a misspelt option.
    commands = parser.add_subparsers(metavar="COMMAND")
    parser.set_defaults(run=_refuse_nothing)

    serve = commands.add_parser("serve", help="serve the page", allow_abbrev=False)
    serve.add_argument("--host", help=f"address to listen on (default: HOST, else {DEFAULT_HOST})")
    serve.add_argument("--port", help=f"port to listen on, 0 for a free one (default: PORT, else {DEFAULT_PORT})")
    serve.set_defaults(run=_serve)

    for each in (run, compare, advise, scenarios, show, export, import_perf_test):
        each.add_commands(commands)

    warm = commands.add_parser("warm", help="compile the simulation now, so that nothing waits for it later")
    warm.set_defaults(run=_warm)

    replay = commands.add_parser("replay", help="replay recordings and print what the model answers, a JSON line each")
    replay.add_argument("paths", metavar="FILE", nargs="+", type=path_argument, help="a recording, .json or .json.gz")
    replay.set_defaults(run=_replay)

    verify = commands.add_parser("verify", help="compare the model with recordings of real KVM, field by field")
    verify.add_argument("paths", metavar="PATH", nargs="+", type=path_argument, help="a recording, or a folder of them")
    verify.add_argument("--json", action="store_true", help="print a JSON object: counts, and each file's differences")
    verify.set_defaults(run=_verify)
    _add_cost_commands(commands)
    return parser


def _add_cost_commands(commands: "argparse._SubParsersAction[_Parser]") -> None:
    costs = commands.add_parser("costs", help="print the ledger: every constant of the cost model", allow_abbrev=False)
    costs.add_argument("--json", action="store_true", help="print a JSON list of entries")
    costs.add_argument(
        "--mitigations", choices=("off", "auto"), default="off", help="of the kernels counted (default: off)"
    )
    costs.set_defaults(run=_costs)

    instructions = commands.add_parser(
        "instructions", help="print the instructions that each op of a recording costs, a JSON line each"
    )
    instructions.add_argument(
        "paths", metavar="FILE", nargs="+", type=path_argument, help="a recording, .json or .json.gz"
    )
    instructions.set_defaults(run=_instructions)

    validate = commands.add_parser(
        "validate", help="run published experiments and print measured beside modelled", allow_abbrev=False
    )
    validate.add_argument(
        "path", metavar="FILE", nargs="?", type=path_argument, help="measurements (default: those shipped)"
    )
    validate.add_argument("--json", action="store_true", help="print a JSON list of points")
    validate.set_defaults(run=_validate)


def _refuse_nothing(_: argparse.Namespace) -> int:
    raise InputError(
        "a command is required: serve, run, compare, advise, scenarios, show, export, warm, replay, verify, costs, "
        "instructions or validate; see mmuviz --help"
    )


def _serve(arguments: argparse.Namespace) -> int:
    host = arguments.host or os.environ.get("HOST") or DEFAULT_HOST
    if arguments.port is not None:
        port = parse_port(arguments.port, name="--port")
    else:
        port = parse_port(os.environ.get("PORT") or DEFAULT_PORT, name="PORT")

    from mmuviz.web.serving import serve

    return serve(host, port)


def _warm(_: argparse.Namespace) -> int:
    from mmuviz.engine.warm import warm

    with Compiling():
        warm()
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from mmuviz.studies.replay import replay_command

    return replay_command(arguments.paths, output())


def _verify(arguments: argparse.Namespace) -> int:
    from mmuviz.studies.verify import verify_command

    return verify_command(arguments.paths, output(), json_form=arguments.json)


def _costs(arguments: argparse.Namespace) -> int:
    from mmuviz.costs.listing import costs_command

    return costs_command(output(), mitigations=arguments.mitigations, json_form=arguments.json)


def _instructions(arguments: argparse.Namespace) -> int:
    from mmuviz.studies.instructions import instructions_command

    return instructions_command(arguments.paths, output())


def _validate(arguments: argparse.Namespace) -> int:
    from mmuviz.cli.status_line import StatusLine
    from mmuviz.studies.validate import validate_command

    with StatusLine() as status:
        return validate_command(arguments.path, output(), json_form=arguments.json, say=status.say)


def parse_port(value: str, *, name: str) -> int:
    """Read a TCP port.

    Args:
        value: the user's text.
        name: the option or variable that holds it, for the message.

    Returns:
        The port, 0 to 65535.

    Raises:
        InputError: value is anything else.
    """
    if len(value) <= 5 and value.isascii() and value.isdigit() and int(value) <= 65535:
        return int(value)
    raise InputError(
        f"{name}={value} must be a whole number from 0 to 65535 (0 takes a free port); the usual one is {DEFAULT_PORT}"
    )
