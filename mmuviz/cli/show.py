"""``mmuviz show``: print the summary of a Recording."""

from __future__ import annotations

import argparse
import json
from typing import Any

from mmuviz.cli.arguments import output, path_argument


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    show = commands.add_parser("show", help="print the summary of a Recording that a run wrote", allow_abbrev=False)
    show.add_argument("path", metavar="OUT", type=path_argument, help="a file that `mmuviz run -o` wrote")
    show.add_argument("--json", action="store_true", help="print hash, scenario, totals and calls as a JSON object")
    show.set_defaults(run=_show)


def _show(arguments: argparse.Namespace) -> int:
    from mmuviz.exports.json_document import json_document
    from mmuviz.exports.summary import summary_of
    from mmuviz.recording.file import load

    out, recording = output(), load(arguments.path)
    out.write(json.dumps(json_document(recording)) + "\n" if arguments.json else summary_of(recording))
    return 0
