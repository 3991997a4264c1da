"""`uptake rebuild`: have metrics recount from its log all that the log still covers, and put right what differs."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import click
from rich.progress import Progress
from rich.text import Text

from uptake_cli import screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.client import PATIENCE_S, Client
from uptake_cli.problems import EXIT_CODES, REFUSED, Refused, Unreachable

_POLL_S = 0.25
_PATH = ("api", "v1", "rebuild")
_COLUMNS = (
    screen.Column("account"),
    screen.Column("missing", right=True),
    screen.Column("extra", right=True),
    screen.Column("from"),
)


@click.command(epilog=EXIT_CODES + " With --check also 1: something differs.")
@click.option("--check", is_flag=True, help="Compare only; change nothing.")
@data_option
@json_option
@click.pass_context
def rebuild(context: click.Context, check: bool, data: Path | None, as_json: bool) -> None:
    """Count everything again that USAGE still covers, and put right what differs.

    Counting goes on meanwhile. Days before those that are covered stay as they are.
    """

    async def question(client: Client) -> dict[str, Any]:
        with screen.progress() as bar:
            return await _rebuild(client, check, bar)

    done = ask(data, question)
    if as_json:
        click.echo(json.dumps(done))
    else:
        _print(done)
    context.exit(REFUSED if check and done["differing"] else 0)


async def _rebuild(client: Client, check: bool, bar: Progress) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(await client.tell("metrics", *_PATH, check=check))
    if said["check"] != check:
        raise Refused("Another rebuild is running, of the other kind. Try again when it is done.")
    task = bar.add_task("reading", total=None)
    while said["state"] == "running":
        bar.update(task, completed=said["read"], total=max(said["of"], said["read"]) or None)
        await asyncio.sleep(_POLL_S)
        said = await _progress(client)
    if said["state"] != "done":
        why = said["reason"] or "metrics was started again meanwhile"
        raise Refused(f"The rebuild did not end: {why}. What it had put right until then stays so; ask again.")
    bar.update(task, completed=said["read"], total=said["read"] or 1)
    return said


async def _progress(client: Client) -> dict[str, Any]:
    heard = time.monotonic()
    while True:
        try:
            found: dict[str, Any] = json.loads(await client.get("metrics", *_PATH))
            return found
        except Unreachable:
            if time.monotonic() - heard > PATIENCE_S:
                raise
        await asyncio.sleep(_POLL_S)


def _print(done: dict[str, Any]) -> None:
    if done["differing"]:
        rows = [
            (one["account"], str(one["missing"]), str(one["extra"]), one["first_day"]) for one in done["differences"]
        ]
        screen.print_table(_COLUMNS, rows)
    screen.print_pairs(
        [
            ("read", f"{done['read']} messages of {done['accounts']} accounts"),
            ("days", f"from {done['covered_from']} on" if done["covered_from"] else "all there are"),
            ("user-days", str(done["user_days"])),
            ("counts", _found(done["counts_drifted"], "series not booked as their days say")),
            ("facts", _found(done["facts_differing"], "accounts and opportunities folded otherwise")),
            ("differing", Text(str(done["differing"]), style="red" if done["differing"] else "green")),
            ("put right", "–, it was a check" if done["check"] else str(done["fixed"])),
        ]
    )


def _found(number: int, what: str) -> str:
    return f"{number} {what}" if number else "equal"
