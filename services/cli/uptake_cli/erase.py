"""`uptake erase`: have a person forgotten everywhere, and print the receipt."""

import asyncio
import json
import sys
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.client import PATIENCE_S, Client
from uptake_cli.problems import EXIT_CODES, Refused, Unreachable

_POLL_S = 0.25
_PATH = ("api", "v1", "erasures")
_JSON = {"Content-Type": "application/json"}
_TAKEN = ("accepted", "duplicate")


@click.command(epilog=EXIT_CODES)
@click.argument("account")
@click.argument("user")
@click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")
@data_option
@json_option
def erase(account: str, user: str, yes: bool, data: Path | None, as_json: bool) -> None:
    """Erase USER of ACCOUNT from every table and stream; all counts stay as they are.

    It cannot be undone. What the person does from then on counts for nobody. `-` as USER reads the id from standard
    input, so that it appears in no list of processes and in no shell history.

    Exit code 1 also when nobody of that id was found: the id is suppressed from now on all the same.
    """
    if user == "-":
        user = sys.stdin.readline().rstrip("\r\n")
    if not yes:
        click.confirm(f"Erase {user!r} of {account!r} for ever?", abort=True, err=True)

    async def question(client: Client) -> dict[str, Any]:
        with screen.progress() as bar:
            return await _erase(client, account, user, bar)

    receipt = ask(data, question)
    click.echo(json.dumps(receipt)) if as_json else _print(receipt)
    if not receipt["found"]:
        raise Refused(
            f"Nobody of that id was found in {account!r}: is it spelt right, or were they erased before? What comes"
            " under it from now on counts for nobody all the same."
        )


async def _erase(client: Client, account: str, user: str, bar: Progress) -> dict[str, Any]:
    """Safe to repeat: whoever is erased already is not found again, and the receipt says so."""
    await client.account(account, "kpis")  # a slip in its name is told before anything is asked for
    fact = {
        "id": f"erase-{uuid.uuid4()}",
        "type": "user.deleted",
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "account": account,
        "user": user,
    }
    answer = await client.post("/v1/events", json.dumps(fact).encode(), _JSON)
    (result,) = answer["results"]
    if result["status"] not in _TAKEN:
        raise Refused(f"ingestion refused to pass it on: {result['reason']}")
    return await _receipt(client, fact["id"], bar)


async def _receipt(client: Client, fact: str, bar: Progress) -> dict[str, Any]:
    """Metrics erases in its own time; only its silence has a limit."""
    task = bar.add_task("erasing", total=None)
    heard = time.monotonic()
    while True:
        try:
            found: list[dict[str, Any]] = json.loads(await client.get("metrics", *_PATH, fact=fact))
            if found:
                heard = time.monotonic()
                bar.update(task, description=found[0]["state"])
                if found[0]["state"] == "done":
                    return found[0]
            elif time.monotonic() - heard > PATIENCE_S:
                raise Refused("metrics has not heard of it yet. It will: look for it with the same command later.")
        except Unreachable:
            if time.monotonic() - heard > PATIENCE_S:
                raise
        await asyncio.sleep(_POLL_S)


def _print(receipt: dict[str, Any]) -> None:
    screen.print_pairs(
        [
            ("erasure", receipt["id"]),
            ("account", receipt["account"]),
            ("asked", receipt["asked_at"]),
            ("done", receipt["finished_at"]),
            ("found", "yes" if receipt["found"] else "no: nothing named such a person"),
            ("table rows", _numbers(receipt["tables"])),
            ("messages", _numbers(receipt["streams"])),
        ]
    )
    click.echo("\nNot reached:")
    for one in receipt["remains"]:
        click.echo(f"  - {one}")


def _numbers(counted: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items()) if number) or "none"
