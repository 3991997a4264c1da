"""`uptake kpis` and `uptake history`: the numbers of one account, on one day or over many."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import explanation, screen
from uptake_cli.ask import DAY, ask, data_option, form_of, json_option, list_option, show
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_HISTORY = (
    Column("day"),
    *(Column(name, right=True) for name in ("DAU", "WAU", "MAU")),
    *(Column(name) for name in ("usage", "", "adoption", "target", "", "data", "revision")),
)
_REVISIONS = (
    Column("day"),
    Column("revision", right=True),
    *(Column(name) for name in ("published", "made by", "what differs from the one before")),
)


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--as-of", type=DAY, help="The day to look at; default: the account's today, still open.")
@click.option("--explain", is_flag=True, help="Formula, inputs, window and source of every number.")
@data_option
@json_option
def kpis(account: str, as_of: datetime | None, explain: bool, data: Path | None, as_json: bool) -> None:
    """The numbers of ACCOUNT on one day, with what they are made of."""
    day = as_of.date().isoformat() if as_of else None
    answer = ask(data, lambda client: client.account(account, "explain" if explain else "kpis", as_of=day))
    if as_json:
        click.echo(answer)
    elif explain:
        click.echo("\n".join(explanation.lines(json.loads(answer))))
    else:
        screen.print_pairs(_pairs(json.loads(answer)))


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--from", "first", type=DAY, required=True, help="First day.")
@click.option("--to", "last", type=DAY, required=True, help="Last day, included.")
@click.option("--revisions", is_flag=True, help="Everything that was ever published of these days, and what made it.")
@data_option
@list_option
def history(
    account: str, first: datetime, last: datetime, revisions: bool, data: Path | None, form: str | None
) -> None:
    """The numbers of ACCOUNT, day by day."""
    if first > last:
        raise click.UsageError("--from is after --to.")
    query = form_of(form) | {"from": first.date().isoformat(), "to": last.date().isoformat()}
    query["revisions"] = "all" if revisions else None
    answer = ask(data, lambda client: client.account(account, "history", **query))
    if form:
        show(answer, form)
    elif revisions:
        screen.print_table(_REVISIONS, map(_revision, json.loads(answer)))
    else:
        screen.print_table(_HISTORY, map(_day, json.loads(answer)))


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


def _revision(one: dict[str, Any]) -> list[Text | str]:
    sources = [*([one["import_id"]] if one["import_id"] else []), *(fact["id"] for fact in one["facts"])]
    made_by = ", ".join(one["causes"]) + (f" ({', '.join(sources)})" if sources else "")
    differs = (
        f"{each['field'].removeprefix('kpis.')} {_plain(each['before'])} -> {_plain(each['after'])}"
        for each in one["differs"]
    )
    return [one["as_of"], str(one["revision"]), one["published_at"], made_by, "; ".join(differs)]


def _plain(value: Any) -> str:
    return screen.UNKNOWN if value is None else str(value)
