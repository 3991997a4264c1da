"""`uptake trials`: every trial on its clock."""

import json
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = (
    *(Column(name) for name in ("opportunity", "account", "complexity", "engineer", "state", "outcome")),
    *(Column(name) for name in ("started", "stopped")),
    *(Column(name, right=True) for name in ("days", "target")),
    *(Column(name) for name in ("within", "flags")),
)


@click.command(epilog=EXIT_CODES)
@data_option
@json_option
def trials(data: Path | None, as_json: bool) -> None:
    """All trials: their days in the trial stage against their target."""
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "trials"))
    if as_json:
        click.echo(answer)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    else:
        click.echo("No trials. One begins when an opportunity reaches stage 4.")


def _row(trial: dict[str, Any]) -> list[Text | str]:
    return [
        trial["opportunity"],
        trial["account"],
        trial["complexity"],
        trial["engineer"] or screen.UNKNOWN,
        screen.word(trial["state"]),
        screen.word(trial["outcome"]),
        trial["started"],
        trial["stopped"] or screen.UNKNOWN,
        screen.number(trial["cycle_days"]),
        screen.number(trial["target_days"]),
        Text("yes", style="green") if trial["within"] else Text("no", style="red"),
        ", ".join(trial["flags"]),
    ]
