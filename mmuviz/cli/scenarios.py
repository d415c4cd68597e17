"""``mmuviz scenarios``: the entries of the catalogue, and the fields of scenario files."""

from __future__ import annotations

import argparse
import json
from typing import Any


def add_commands(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to the parser.

    Args:
        commands: subcommands of the program's parser.
    """
    scenarios = commands.add_parser(
        "scenarios", help="list the packaged scenarios, or every field that a file may have", allow_abbrev=False
    )
    scenarios.add_argument("--fields", action="store_true", help="print every field: values, unit, default, what it is")
    scenarios.add_argument("--json", action="store_true", help="print a JSON list")
    scenarios.set_defaults(run=scenarios_command)


def scenarios_command(arguments: argparse.Namespace) -> int:
    """Print the catalogue or the fields.

    Args:
        arguments: parsed arguments `fields` and `json`.

    Returns:
        0.
    """
    from mmuviz.studies.fields import field_rows, fields_table
    from mmuviz.studies.packaged_scenarios import entries

    rows = field_rows() if arguments.fields else entries()
    if arguments.json:
        print(json.dumps([row._asdict() for row in rows], indent=1, ensure_ascii=False))
    elif arguments.fields:
        print(fields_table(), end="")
    else:
        for entry in entries():
            print(f"{entry.name}\n  {entry.title}\n  {entry.summary}\n  Look at: {entry.look_at}")
    return 0
