"""`sarathictl schema`: the shape of what every command prints as JSON."""

from typing import Annotated

import typer

from sarathictl.answers import ANSWERS, json_schema
from sarathictl.output import print_json
from sarathid.errors import ConfigError


def schema(
    command: Annotated[
        str | None, typer.Argument(metavar="COMMAND", help="Only of this command, set-budget say.")
    ] = None,
) -> None:
    """Print the JSON Schema of what the commands print with --json.

    Within one schema_version fields are only added.
    """
    if command is not None and command not in ANSWERS:
        raise ConfigError(f"there is no schema of {command!r}; there is one of {', '.join(ANSWERS)}")
    print_json(json_schema(command))
