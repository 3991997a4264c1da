"""`uptake users`: the exact list of people behind a count."""

import json
from datetime import datetime
from pathlib import Path

import click

from uptake_cli.ask import DAY, ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--as-of", type=DAY, required=True, help="Last day of the window.")
@click.option("--window", type=click.Choice(["dau", "wau", "mau"]), default="mau", show_default=True)
@click.option("--feature", help="Only users of this feature.")
@data_option
@json_option
def users(account: str, as_of: datetime, window: str, feature: str | None, data: Path | None, as_json: bool) -> None:
    """The users of ACCOUNT behind a count, one a line; the count itself goes to standard error."""
    day = as_of.date().isoformat()
    answer = ask(data, lambda client: client.account(account, "users", as_of=day, window=window, feature=feature))
    if as_json:
        click.echo(answer)
        return
    found = json.loads(answer)
    click.echo(f"{found['count']} users in the {found['window']} of {found['account']} on {found['as_of']}", err=True)
    for user in found["users"]:
        click.echo(user)
