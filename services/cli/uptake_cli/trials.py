"""`uptake trials`: every trial on its clock."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, form_of, limit_option, list_option, show, sort_option
from uptake_cli.client import Client
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = (
    *(Column(name) for name in ("opportunity", "account", "complexity", "engineer", "state", "outcome")),
    *(Column(name) for name in ("started", "stopped")),
    *(Column(name, right=True) for name in ("days", "target")),
    *(Column(name) for name in ("within", "flags")),
    *(Column(name, right=True) for name in ("DAU", "WAU", "MAU")),
)
_FLAGS = ("paused", "reclassified", "stage_skipped", "approaching", "breached", "overlong", "policy")


@click.command(epilog=EXIT_CODES)
@click.option("--as-of", type=DAY, help="The day to look at, in the vendor's zone; default: today.")
@click.option("--state", type=click.Choice(["running", "stopped"]), help="Only trials in this state.")
@click.option("--complexity", type=click.Choice(["standard", "complex"]), help="Only trials of this complexity.")
@click.option("--engineer", help="Only trials of this engineer.")
@click.option("--owner", help="Only trials of this engineer's accounts.")
@click.option("--region", help="Only trials of this region's accounts.")
@click.option("--account", help="Only trials of this account.")
@click.option("--flag", type=click.Choice(_FLAGS), help="Only trials with this flag.")
@sort_option(
    "state, opportunity, account, engineer, owner, region, complexity, started, stopped, cycle_days, wall_days."
)
@limit_option
@data_option
@list_option
def trials(as_of: datetime | None, data: Path | None, form: str | None, limit: int | None, **only: str | None) -> None:
    """Trials: their days in the trial stage against their target, and who uses the product in them."""
    query = only | form_of(form) | {"as_of": as_of.date().isoformat() if as_of else None}
    query["limit"] = str(limit) if limit else None
    account = only["account"]

    async def question(client: Client) -> str:
        if account is None:
            return await client.get("metrics", "api", "v1", "trials", **query)
        return await client.about(account, "trials", **query)

    answer = ask(data, question)
    if form:
        show(answer, form)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    elif any(only.values()):
        click.echo("No trial is so.")
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
        *(screen.number(trial["usage"][count], trial["usage"]["reason"]) for count in ("dau", "wau", "mau")),
    ]
