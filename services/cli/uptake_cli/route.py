"""`uptake route test`: whom an alert would reach, and why. Nobody is told anything."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.acting import INSTANT, instant
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = tuple(map(Column, ("level", "person", "channel", "when", "why")))


@click.group()
def route() -> None:
    """Where alerts go."""


@route.command(epilog=EXIT_CODES)
@click.option("--rule", required=True, help="The rule, as `uptake rules list` names it.")
@click.option("--account", help="Of this account.")
@click.option("--trial", help="Of this trial, by its opportunity.")
@click.option("--severity", type=click.Choice(["info", "warning", "critical"]), help="Default: that of the rule.")
@click.option("--at", type=INSTANT, help="If it fired at this instant. Default: now.")
@data_option
@json_option
def test(
    rule: str,
    account: str | None,
    trial: str | None,
    severity: str | None,
    at: datetime | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Who would be told of an alert of RULE, when, and why: first, and at each level if nobody acts."""
    asked = {"rule": rule, "account": account, "trial": trial, "severity": severity, "at": instant(at)}
    answer = ask(data, lambda client: client.get("alerting", "api", "v1", "route", **asked))
    if as_json:
        return click.echo(answer)
    found = json.loads(answer)
    screen.print_table(_COLUMNS, [row for step in found["steps"] for row in _rows(step)])
    for step in found["steps"]:
        for line in step["looked_at"]:
            click.echo(f"level {step['level']}: {line}")


def _rows(step: dict[str, Any]) -> list[list[Text | str]]:
    level = str(step["level"])
    if not step["told"]:
        why = "nobody can be told" if step["level"] == 0 else "nobody who does not know of it by then"
        return [[level, Text("nobody", style="red"), "", "", why]]
    return [
        [
            level,
            one["person"] or screen.UNKNOWN,
            one["channel"],
            f"{one['at']}{' (digest)' if one['digest'] else ''}",
            one["why"],
        ]
        for one in step["told"]
    ]
