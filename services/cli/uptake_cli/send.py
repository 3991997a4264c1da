"""`uptake send`: live events from a file or a pipe to ingestion."""

import json
from pathlib import Path
from typing import BinaryIO

import click

from uptake_cli import lines, screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.client import Client
from uptake_cli.problems import EXIT_CODES, REFUSED
from uptake_cli.upload import Tally, upload


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.File("rb"))
@data_option
@json_option
@click.pass_context
def send(context: click.Context, file: BinaryIO, data: Path | None, as_json: bool) -> None:
    """Send the events of FILE as live events (`-` reads standard input).

    FILE is NDJSON or a JSON array, gzip or not. A line without `type` that has a user and a feature is sent as
    `usage`. Usage older than 35 days is refused as too_old: use `uptake import`.
    """

    async def question(client: Client) -> Tally:
        with screen.progress() as bar:
            task = bar.add_task("sending", total=None)
            return await upload(client, lines.lines(lines.opened(file)), advance=lambda sent: bar.advance(task, sent))

    tally = ask(data, question)
    click.echo(json.dumps(tally.as_dict())) if as_json else print_tally(tally)
    context.exit(0 if tally.all_taken else REFUSED)


def print_tally(tally: Tally) -> None:
    counts = (tally.accepted, tally.duplicate, tally.conflict, tally.refused)
    click.echo("accepted {}, duplicate {}, conflict {}, refused {}".format(*counts))
    if not tally.refusals:
        return
    columns = (screen.Column("line", right=True), screen.Column("id"), screen.Column("status"), screen.Column("reason"))
    rows = ((str(r["line"]), r["id"] or screen.UNKNOWN, r["status"], r["reason"] or "") for r in tally.refusals)
    screen.print_table(columns, rows)
    if (more := tally.refused + tally.conflict - len(tally.refusals)) > 0:
        click.echo(f"… and {more} more.")
