"""`uptake portfolio`: adoption over all accounts, or over some of them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, choice_options, data_option, form_of, list_option, show
from uptake_cli.problems import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.option("--as-of", type=DAY, help="The day to look at; default: each account's today, still open.")
@choice_options
@data_option
@list_option
def portfolio(as_of: datetime | None, data: Path | None, form: str | None, **only: str | None) -> None:
    """Adoption of many accounts: the mean of their ratios, and the ratio of all their users to all their seats."""
    query = only | form_of(form) | {"as_of": as_of.date().isoformat() if as_of else None}
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "portfolio", **query))
    show(answer, form) if form else screen.print_pairs(_pairs(json.loads(answer)))


def _pairs(found: dict[str, Any]) -> list[tuple[str, Text | str]]:
    return [
        ("accounts", f"{found['accounts']}, adoption known of {found['known']}"),
        ("mean of ratios", screen.percent(found["mean_ratio"], found["reason"])),
        ("pooled ratio", screen.ratio(found["pooled"])),
        *((status, screen.number(count)) for status, count in found["by_status"].items()),
    ]
