"""`uptake portfolio`: adoption over all accounts, or over some of them."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import DAY, ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.option("--as-of", type=DAY, help="The day to look at; default: each account's today, still open.")
@click.option("--owner", help="Only accounts of this engineer.")
@click.option("--region", help="Only accounts of this region.")
@click.option("--segment", help="Only accounts of this segment.")
@click.option(
    "--status",
    type=click.Choice(["on_target", "off_target", "ramping", "not_started", "unknown"]),
    help="Only accounts whose adoption has this status.",
)
@data_option
@json_option
def portfolio(as_of: datetime | None, data: Path | None, as_json: bool, **only: str | None) -> None:
    """Adoption of many accounts: the mean of their ratios, and the ratio of all their users to all their seats."""
    day = as_of.date().isoformat() if as_of else None
    answer = ask(data, lambda client: client.get("metrics", "api", "v1", "portfolio", as_of=day, **only))
    click.echo(answer) if as_json else screen.print_pairs(_pairs(json.loads(answer)))


def _pairs(found: dict[str, Any]) -> list[tuple[str, Text | str]]:
    return [
        ("accounts", f"{found['accounts']}, adoption known of {found['known']}"),
        ("mean of ratios", screen.percent(found["mean_ratio"], found["reason"])),
        ("pooled ratio", screen.ratio(found["pooled"])),
        *((status, screen.number(count)) for status, count in found["by_status"].items()),
    ]
