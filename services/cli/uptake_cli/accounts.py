"""`uptake accounts`: every account with its numbers of one day."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, choice_options, data_option, form_of, limit_option, list_option, show, sort_option
from uptake_cli.problems import EXIT_CODES
from uptake_cli.screen import Column

_COLUMNS = (
    Column("account"),
    *(Column(name, right=True) for name in ("DAU", "WAU", "MAU", "seats")),
    *(Column(name) for name in ("usage", "", "adoption", "target", "", "data", "owner")),
)


@click.command(epilog=EXIT_CODES)
@click.option("--as-of", type=DAY, help="The day to look at; default: each account's today, still open.")
@choice_options
@sort_option("account, name, owner, region, segment, dau, wau, mau, seats, adoption, usage, n or last_contact.")
@limit_option
@data_option
@list_option
def accounts(
    as_of: datetime | None, data: Path | None, form: str | None, limit: int | None, **only: str | None
) -> None:
    """Accounts: active users, usage and adoption with the exact numbers behind them."""
    query = only | form_of(form) | {"as_of": as_of.date().isoformat() if as_of else None}
    query["limit"] = str(limit) if limit else None
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "accounts", **query))
    if form:
        show(answer, form)
    elif rows := json.loads(answer):
        screen.print_table(_COLUMNS, map(_row, rows))
    elif any(only.values()):
        click.echo("No account is so.")
    else:
        click.echo("No accounts yet. Send events with `uptake send FILE`, or load the demo with `./dev up --demo`.")


def _row(account: dict[str, Any]) -> list[Text | str]:
    kpis = account["kpis"]
    adoption, usage = kpis["adoption"], kpis["usage"]
    return [
        account["account"],
        *(screen.number(kpis[count], kpis["reason"]) for count in ("dau", "wau", "mau")),
        screen.number(account["seats"]),
        screen.ratio(usage),
        screen.word(usage["status"]),
        screen.ratio(adoption),
        screen.percent(adoption["target"]),
        screen.word(adoption["status"]),
        screen.word(kpis["data_health"]),
        account["owner"] or screen.UNKNOWN,
    ]
