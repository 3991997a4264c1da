"""`uptake instances`: every installation, whose it is, and what of it waits for an account."""

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, form_of, list_option, show
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = (
    *(Column(name) for name in ("instance", "account", "environment", "first seen", "last contact")),
    Column("waiting", right=True),
)


@click.command(epilog=EXIT_CODES)
@data_option
@list_option
def instances(data: Path | None, form: str | None) -> None:
    """All installations, those that nobody has mapped to an account first."""
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "instances", **form_of(form)))
    if form:
        show(answer, form)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    else:
        click.echo("No installation has sent anything, and none is mapped.")


def _row(line: dict[str, Any]) -> list[Text | str]:
    return [
        line["instance"],
        line["account"] or screen.unknown("not mapped"),
        line["environment"] or screen.UNKNOWN,
        *(line[name] or screen.UNKNOWN for name in ("first_seen", "last_contact")),
        screen.number(line["waiting_events"]),
    ]
