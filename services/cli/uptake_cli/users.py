"""`uptake users`: the exact list of people behind a count."""

import json
from datetime import datetime
from pathlib import Path

import click

from uptake_cli.ask import DAY, ask, data_option, form_of, list_option, show
from uptake_cli.problems import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--as-of", type=DAY, required=True, help="Last day of the window.")
@click.option("--window", type=click.Choice(["dau", "wau", "mau"]), default="mau", show_default=True)
@click.option("--feature", help="Only users of this feature.")
@click.option("--use-case", help="Only users of this use case.")
@click.option("--environment", help="production (the default) or trial.")
@data_option
@list_option
def users(
    account: str,
    as_of: datetime,
    window: str,
    feature: str | None,
    use_case: str | None,
    environment: str | None,
    data: Path | None,
    form: str | None,
) -> None:
    """The users of ACCOUNT behind a count, one a line; the count itself goes to standard error."""
    query = form_of(form) | {"as_of": as_of.date().isoformat(), "window": window}
    query |= {"feature": feature, "use_case": use_case, "environment": environment}
    answer = ask(data, lambda client: client.account(account, "users", **query))
    if form:
        return show(answer, form)
    found = json.loads(answer)
    click.echo(f"{found['count']} users in the {found['window']} of {found['account']} on {found['as_of']}", err=True)
    for user in found["users"]:
        click.echo(user)
