"""``mmuviz export``: write a Recording in a format of other programs."""

from __future__ import annotations

import argparse
from typing import Any

from mmuviz.cli.arguments import path_argument


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command.

    Args:
        commands: subcommands of the program's parser.
    """
    export = commands.add_parser("export", help="write a Recording for other programs", allow_abbrev=False)
    export.add_argument("path", metavar="OUT", type=path_argument, help="a file that `mmuviz run -o` wrote")
    form = export.add_mutually_exclusive_group(required=True)
    form.add_argument("--csv", metavar="DIR", type=path_argument, help="a folder with a CSV file a table")
    form.add_argument("--parquet", metavar="DIR", type=path_argument, help="the same as Parquet; needs pyarrow")
    form.add_argument("--perfetto", metavar="FILE", type=path_argument, help="a trace that Perfetto opens")
    export.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> int:
    from mmuviz.exports.csv_tables import write_csv
    from mmuviz.exports.parquet_tables import write_parquet
    from mmuviz.exports.perfetto import write_perfetto
    from mmuviz.recording.file import load

    recording = load(arguments.path)
    if arguments.csv is not None:
        write_csv(recording, arguments.csv)
    elif arguments.parquet is not None:
        write_parquet(recording, arguments.parquet)
    else:
        write_perfetto(recording, arguments.perfetto)
    return 0
