"""`uptake import`: usage of any age as one job with a reason, applied and evaluated once at its end."""

import asyncio
import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click
from rich.progress import Progress

from uptake_cli import lines, screen
from uptake_cli.ask import ask, data_option, json_option
from uptake_cli.client import PATIENCE_S, Client, NotFound
from uptake_cli.problems import EXIT_CODES, REFUSED, Refused, Unreachable
from uptake_cli.send import print_tally
from uptake_cli.upload import Tally, upload

_POLL_S = 0.25
_JSON = {"Content-Type": "application/json"}


@click.command("import", epilog=EXIT_CODES)
@click.argument("file", type=click.File("rb"))
@click.option("--reason", required=True, help="Why history is changed; kept with the job.")
@click.option("--no-wait", is_flag=True, help="Return once everything is stored, before the numbers have changed.")
@data_option
@json_option
@click.pass_context
def import_file(
    context: click.Context, file: BinaryIO, reason: str, no_wait: bool, data: Path | None, as_json: bool
) -> None:
    """Import the events of FILE, whatever their age (`-` reads standard input).

    FILE is NDJSON or a JSON array, gzip or not. A line without `type` that has a user and a feature is imported as
    `usage`. The job is named after the content: importing the same file again is the same job and changes nothing.
    """

    async def question(client: Client) -> tuple[str, Tally | None]:
        with screen.progress() as bar, _seekable(file) as twice:
            return await _import(client, twice, reason, bar, wait=not no_wait)

    import_id, tally = ask(data, question)
    if as_json:
        sent = {} if tally is None else tally.as_dict()
        click.echo(json.dumps({"import_id": import_id, "already_done": tally is None, **sent}))
    elif tally is None:
        click.echo(f"Import {import_id} has been done before; nothing was sent.")
    else:
        click.echo(f"import {import_id}" + (", not waited for" if no_wait else " done"))
        print_tally(tally)
    context.exit(0 if tally is None or tally.all_taken else REFUSED)


async def _import(client: Client, file: BinaryIO, reason: str, bar: Progress, wait: bool) -> tuple[str, Tally | None]:
    name, about = lines.survey(lines.opened(file))
    import_id = f"file-{name}"
    file.seek(0)
    found = lines.lines(lines.opened(file))
    return import_id, await run_import(client, import_id, reason, found, bar, about=about, wait=wait)


async def run_import(
    client: Client,
    import_id: str,
    reason: str,
    found: Iterable[lines.Line],
    bar: Progress,
    *,
    about: int | None = None,
    wait: bool = True,
) -> Tally | None:
    """One whole job: start, upload, finish and (with `wait`) until the numbers stand.

    Safe to repeat after a crash in the middle. None: it was finished before, and nothing was sent.
    """
    tally = await _stored(client, import_id, reason, found, bar, about)
    if wait:
        await _until_done(client, import_id, bar)
    return tally


async def _stored(
    client: Client, import_id: str, reason: str, found: Iterable[lines.Line], bar: Progress, about: int | None
) -> Tally | None:
    task = bar.add_task("uploading", total=about)
    try:
        await _start(client, import_id, reason)
        tally = await upload(client, found, import_id, advance=lambda sent: bar.advance(task, sent))
        counts = {"accepted": tally.accepted + tally.duplicate, "refused": tally.refused + tally.conflict}
        await _post(client, f"/v1/imports/{import_id}/finish", {"usage_sequence": tally.usage_sequence, **counts})
    except Refused as refused:
        if refused.code != "import_finished":
            raise
        return None
    bar.update(task, total=bar.tasks[task].completed)
    return tally


async def _start(client: Client, import_id: str, reason: str) -> None:
    try:
        await _post(client, "/v1/imports", {"import_id": import_id, "reason": reason})
    except Refused as refused:
        if refused.code != "import_exists":  # started before with another reason: that one stays, and the job goes on
            raise


async def _post(client: Client, path: str, body: dict[str, Any]) -> None:
    await client.post(path, json.dumps(body).encode(), _JSON)


async def _until_done(client: Client, import_id: str, bar: Progress) -> None:
    """Metrics applies and evaluates in its own time; only its silence has a limit."""
    task = bar.add_task("applying", total=None)
    heard = time.monotonic()
    while True:
        try:
            state = await _state(client, import_id)
            heard = time.monotonic()
        except Unreachable:
            if time.monotonic() - heard > PATIENCE_S:
                raise
            state = "waiting for metrics"
        if state == "done":
            bar.update(task, description="applied", total=1, completed=1)
            return
        bar.update(task, description=state)
        await asyncio.sleep(_POLL_S)


async def _state(client: Client, import_id: str) -> str:
    try:
        answer = json.loads(await client.get("metrics", "api", "v1", "imports", import_id))
    except NotFound:
        return "waiting for metrics"  # the job's first fact has not reached it yet
    return str(answer["state"])


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The content is read twice, which a pipe does not allow."""
    if isinstance(file, io.BufferedReader) and file.seekable():
        yield file
    else:
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            yield copy
