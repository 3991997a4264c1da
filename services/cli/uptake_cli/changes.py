"""`uptake changes`: what is different between two days of an account, in sentences, and who came and went."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from uptake_cli.ask import DAY, ask, data_option, json_option
from uptake_cli.problems import EXIT_CODES


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.option("--from", "first", type=DAY, required=True, help="The earlier day.")
@click.option("--to", "last", type=DAY, required=True, help="The later day.")
@data_option
@json_option
def changes(account: str, first: datetime, last: datetime, data: Path | None, as_json: bool) -> None:
    """What changed for ACCOUNT from the end of one day to the end of another, and what moved it."""
    if first > last:
        raise click.UsageError("--from is after --to.")
    days = {"from": first.date().isoformat(), "to": last.date().isoformat()}
    answer = ask(data, lambda client: client.account(account, "changes", **days))
    if as_json:
        click.echo(answer)
        return
    for line in _lines(json.loads(answer)):
        click.echo(line)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield from found["lines"]
    for name in ("entered", "left"):
        users = (found["people"] or {}).get(f"{name}_users")
        if users:
            yield f"{name}: {', '.join(users)}"
