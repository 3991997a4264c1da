"""`uptake growth` and `uptake time-to-value`: how the people of an account came, and how long it took."""

import json
import re
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, form_of, list_option, show
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_PARTS = ("active", "new", "retained", "resurrected", "churned")
_GROWTH = (Column("month"), *(Column(name, right=True) for name in _PARTS))
_STEPS = ("production", "first_user", "adoption_25", "adoption_50", "adoption_75")


def month(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not re.fullmatch("[0-9]{4}-(0[1-9]|1[0-2])", value):
        raise click.BadParameter(f"{value!r} is not a month such as 2026-05.")
    return value


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--from", "first", callback=month, help="First month, such as 2026-05. Default: eleven before --to.")
@click.option("--to", "last", callback=month, help="Last month, included. Default: the one that is running.")
@click.option("--list", "part", type=click.Choice(_PARTS), help="Also the people behind this number.")
@data_option
@list_option
def growth(
    account: str, first: str | None, last: str | None, part: str | None, data: Path | None, form: str | None
) -> None:
    """Who of ACCOUNT came, stayed, came back and went away, month by month."""
    query = {"from": first, "to": last, "list": part, **form_of(form)}
    answer = ask(data, lambda client: client.account(account, "growth", **query))
    if form:
        return show(answer, form)
    columns = (*_GROWTH, Column(f"{part} users")) if part else _GROWTH
    screen.print_table(columns, [_movement(month, part) for month in json.loads(answer)])


def _movement(month: dict[str, Any], part: str | None) -> list[Text | str]:
    name = f"{month['month']}, still open" if month["partial"] else month["month"]
    numbers = [screen.number(month[one]) for one in _PARTS]
    return [name, *numbers, ", ".join(month["users"])] if part else [name, *numbers]


@click.command("time-to-value", epilog=EXIT_CODES)
@click.argument("account", required=False)
@data_option
@list_option
def time_to_value(account: str | None, data: Path | None, form: str | None) -> None:
    """Days from the contract of ACCOUNT to production, to the first user and to 25, 50 and 75 % of the seats.

    Without ACCOUNT: of every account.
    """
    if account is None:
        answer = ask(data, lambda client: client.get("metrics", "api", "v1", "time-to-value", **form_of(form)))
    else:
        answer = ask(data, lambda client: client.account(account, "time-to-value", **form_of(form)))
    if form:
        return show(answer, form)
    found = json.loads(answer)
    columns = [
        Column(name) for name in ("account", "contract", "in 30 days", *(step.replace("_", " ") for step in _STEPS))
    ]
    screen.print_table(columns, map(_line, found if account is None else [found]))


def _line(one: dict[str, Any]) -> list[Text | str]:
    return [
        one["account"],
        screen.number(one["contract_start"]),
        screen.word(one["status"]),
        *(_step(one[step]) for step in _STEPS),
    ]


def _step(milestone: dict[str, Any]) -> Text:
    """`day 31 (2026-02-10)`; without a contract only the day, and why there is no number."""
    if milestone["on"] is None:
        return screen.unknown(milestone["reason"])
    if milestone["days"] is None:
        return Text.assemble(f"{milestone['on']} ", screen.unknown(milestone["reason"]))
    return Text(f"day {milestone['days']} ({milestone['on']})")
