"""`uptake kpis` and `uptake history`: the numbers of one account, on one day or over many."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_HISTORY = (
    Column("day"),
    *(Column(name, right=True) for name in ("DAU", "WAU", "MAU")),
    *(Column(name) for name in ("usage", "", "adoption", "target", "", "data", "revision")),
)


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--as-of", type=DAY, help="The day to look at; default: the account's today, still open.")
@data_option
@json_option
def kpis(account: str, as_of: datetime | None, data: Path | None, as_json: bool) -> None:
    """The numbers of ACCOUNT on one day, with what they are made of."""
    day = as_of.date().isoformat() if as_of else None
    answer = ask(data, lambda client: client.account(account, "kpis", as_of=day))
    click.echo(answer) if as_json else screen.print_pairs(_pairs(json.loads(answer)))


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--from", "first", type=DAY, required=True, help="First day.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@data_option
@json_option
def history(account: str, first: datetime, last: datetime, data: Path | None, as_json: bool) -> None:
    """The numbers of ACCOUNT, day by day."""
    if first > last:
        raise click.UsageError("--from is after --to.")
    days = {"from": first.date().isoformat(), "to": last.date().isoformat()}
    answer = ask(data, lambda client: client.account(account, "history", **days))
    click.echo(answer) if as_json else screen.print_table(_HISTORY, map(_day, json.loads(answer)))


def _pairs(kpis: dict[str, Any]) -> list[tuple[str, Text | str]]:
    usage, adoption = kpis["usage"], kpis["adoption"]
    partial = ", still open" if kpis["partial"] else ""
    provisional = " (provisional: fewer than 28 closed days)" if usage["provisional"] else ""
    return [
        ("account", kpis["account"]),
        ("day", f"{kpis['as_of']} {kpis['time_zone']}{partial}, revision {kpis['revision']}"),
        (
            "data",
            Text.assemble(screen.word(kpis["data_health"]), f", last contact {kpis['last_contact'] or screen.UNKNOWN}"),
        ),
        *((name.upper(), screen.number(kpis[name], kpis["reason"])) for name in ("dau", "wau", "mau")),
        ("usage", Text.assemble(screen.ratio(usage), "  ", screen.word(usage["status"]), provisional)),
        ("adoption", Text.assemble(screen.ratio(adoption), "  ", screen.word(adoption["status"]))),
        ("target", Text.assemble(screen.percent(adoption["target"]), f"  {_position(adoption)}")),
    ]


def _position(adoption: dict[str, Any]) -> str:
    """Where on the ladder the account stands, and what comes next."""
    day = "no anchor date" if adoption["n"] is None else f"day {adoption['n']}"
    upcoming = adoption.get("next_target")
    step = f", {screen.percent(upcoming)} after day {adoption['band_end']}" if upcoming is not None else ""
    return f"{day} of {adoption['policy']}{step}"


def _day(kpis: dict[str, Any]) -> list[Text | str]:
    usage, adoption = kpis["usage"], kpis["adoption"]
    return [
        kpis["as_of"],
        *(screen.number(kpis[count], kpis["reason"]) for count in ("dau", "wau", "mau")),
        screen.ratio(usage),
        screen.word(usage["status"]),
        screen.ratio(adoption),
        screen.percent(adoption["target"]),
        screen.word(adoption["status"]),
        screen.word(kpis["data_health"]),
        str(kpis["revision"]),
    ]
