"""`uptake features`, `uptake calendar` and `uptake correlation`: what is used, by how many, and what goes with it."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, form_of, list_option, show
from uptake_cli.growth import month
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_OF_ACCOUNT = (
    Column("use case or feature"),
    *(Column(name, right=True) for name in ("DAU", "WAU", "MAU")),
    *(Column(name) for name in ("saturation", "first used")),
)
_OVERALL = (
    Column("use case or feature"),
    *(Column(name, right=True) for name in ("accounts", "users")),
    *(Column(name) for name in ("mean saturation", "of accounts")),
)
_CALENDAR = (Column("month"), Column("users", right=True))
_CORRELATION = (
    Column("use case or feature"),
    *(Column(name, right=True) for name in ("Pearson", "Spearman", "accounts", "left out")),
)


@click.command(epilog=EXIT_CODES)
@click.argument("account", required=False)
@click.option("--as-of", type=DAY, help="The day to look at; default: the account's today, still open.")
@click.option("--environment", help="Of ACCOUNT: production (the default) or trial.")
@data_option
@list_option
def features(
    account: str | None, as_of: datetime | None, environment: str | None, data: Path | None, form: str | None
) -> None:
    """Use cases and features of ACCOUNT, with their share of its active users. Without ACCOUNT: over all accounts."""
    day = as_of.date().isoformat() if as_of else None
    query = {"as_of": day, **form_of(form)}
    if account is None:
        if environment is not None:
            raise click.UsageError("--environment needs an ACCOUNT.")
        answer = ask(data, lambda client: client.get("metrics", "api", "v1", "features", **query))
    else:
        name = account
        answer = ask(data, lambda client: client.account(name, "features", environment=environment, **query))
    _print(answer, form, _print_overall if account is None else _print_account)


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--from", "first", callback=month, help="First month, such as 2026-05. Default: eleven before --to.")
@click.option("--to", "last", callback=month, help="Last month, included. Default: the one that is running.")
@data_option
@list_option
def calendar(account: str, first: str | None, last: str | None, data: Path | None, form: str | None) -> None:
    """How many people of ACCOUNT were active in each calendar month: for invoices and reviews."""
    query = {"from": first, "to": last, **form_of(form)}
    answer = ask(data, lambda client: client.account(account, "calendar", **query))
    _print(answer, form, lambda found: screen.print_table(_CALENDAR, map(_month, found)))


@click.command(epilog=EXIT_CODES)
@click.option("--as-of", type=DAY, help="The day of usage; default: the last closed day.")
@data_option
@list_option
def correlation(as_of: datetime | None, data: Path | None, form: str | None) -> None:
    """Which use cases and features go together with usage four weeks later, over all accounts."""
    day = as_of.date().isoformat() if as_of else None
    query = {"as_of": day, **form_of(form)}
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "correlation", **query))
    _print(answer, form, lambda found: screen.print_table(_CORRELATION, map(_correlated, found)))


def _print(answer: str, form: str | None, as_tables: Callable[[Any], None]) -> None:
    show(answer, form) if form else as_tables(json.loads(answer))


def _print_account(found: dict[str, Any]) -> None:
    breadth = found["breadth"]
    per_user = breadth["per_user"]
    wide = screen.number(per_user["value"], per_user["reason"])
    refused = ", ".join(f"{events} by {reason}" for reason, events in (found["not_counted"] or {}).items())
    screen.print_pairs(
        [
            ("account", found["account"]),
            ("day", f"{found['as_of']}, {found['environment']}{', still open' if found['partial'] else ''}"),
            ("MAU", screen.number(found["mau"], found["reason"])),
            (
                "use cases",
                Text.assemble(
                    screen.number(breadth["used"]), f" of {breadth['of']} in use, ", wide, " per active user"
                ),
            ),
            ("not counted", f"{refused or 'no'} events"),
        ]
    )
    screen.print_table(_OF_ACCOUNT, map(_of_account, [*found["use_cases"], *found["features"]]))


def _of_account(line: dict[str, Any]) -> list[Text | str]:
    reason = line["saturation"]["reason"]
    return [
        _name(line),
        *(screen.number(line[count], reason) for count in ("dau", "wau", "mau")),
        screen.ratio(line["saturation"]),
        screen.number(line["first_used"]),
    ]


def _print_overall(found: list[dict[str, Any]]) -> None:
    screen.print_table(_OVERALL, map(_overall, found))


def _overall(line: dict[str, Any]) -> list[Text | str]:
    return [
        _name(line),
        screen.number(line["accounts"]),
        screen.number(line["users"]),
        screen.percent(line["mean_saturation"], line["reason"]),
        f"{line['known']} known, {line['unknown']} unknown",
    ]


def _month(line: dict[str, Any]) -> list[Text | str]:
    name = f"{line['month']}, still open" if line["partial"] else line["month"]
    return [name, screen.number(line["mau_calendar"], line["reason"])]


def _correlated(line: dict[str, Any]) -> list[Text | str]:
    return [
        _name(line),
        *(screen.number(line[name], line["reason"]) for name in ("pearson", "spearman")),
        str(line["n"]),
        str(line["left_out"]),
    ]


def _name(line: dict[str, Any]) -> Text:
    """A use case stands out among features."""
    return Text(line["title"] or line["name"], style="bold" if line["kind"] == "use_case" else "")
