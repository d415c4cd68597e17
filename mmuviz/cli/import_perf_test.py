"""``mmuviz import-perf-test``: output of dirty_log_perf_test as measurements that ``mmuviz validate`` reads."""

from __future__ import annotations

import argparse
import json
from typing import Any

from mmuviz.cli.arguments import output, path_argument
from mmuviz.cli.sources import overrides_of
from mmuviz.core.errors import InputError


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    parser = commands.add_parser(
        "import-perf-test",
        help="read the output of dirty_log_perf_test and print measurements for `mmuviz validate`",
        allow_abbrev=False,
    )
    parser.add_argument(
        "path", metavar="FILE", type=path_argument, help="its output: plain, quoted in a mail, or in a kselftest log"
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="what the output does not say, e.g. --set kernel=6.12 --set strategy=eager",
    )
    parser.set_defaults(run=_import)


def _import(arguments: argparse.Namespace) -> int:
    from mmuviz.studies.measurements import text_of
    from mmuviz.studies.perf_test_output import rows_of

    try:
        text = text_of(arguments.path).decode("utf-8", "replace")
        rows = rows_of(text, overrides_of(arguments.set))
    except OSError as error:
        raise InputError(f"{arguments.path}: {error.strerror or error}") from error
    except InputError as error:
        raise InputError(f"{arguments.path}: {error}") from error
    output().write(json.dumps(rows, indent=1) + "\n")
    return 0
