"""The command `uptake backup`: all that a running instance knows, in one file, without stopping it. Changes nothing.

The order makes it a state that could have been: the database first, so that no position in it is ahead of a stream;
then RAW, so that what its consumer has done is in the streams after it; FACTS before USAGE, so that all of an import
that is finished is there. KPI and ALERT are published from the database, so a restore cuts them where the database
stood: the rest is published again.
"""

import asyncio
import fcntl
import json
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import click
import nats
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from rich.progress import Progress

from uptake.streams import UUID_KEY
from uptake.subjects import ALERT, FACTS, KPI, RAW, REFUSED, USAGE
from uptake_cli import screen
from uptake_cli.ask import data_option, json_option
from uptake_cli.instance import data_folder
from uptake_cli.problems import EXIT_CODES, Refused, Unreachable
from uptake_local import database, database_copy, stream_copy
from uptake_local.backup_file import Writer
from uptake_local.instance import Instance, NotRunning, running
from uptake_local.plan import DATABASE

STREAMS = (RAW, FACTS, USAGE, KPI, ALERT, REFUSED)
_PUBLISHED = (KPI, ALERT)
_QUIET_WITHIN_S = 120.0
_CONNECT_S = 5


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@data_option
@json_option
def backup(file: Path, force: bool, data: Path | None, as_json: bool) -> None:
    """Copy all that the running instance knows into FILE, without stopping it.

    FILE also holds the instance's keys and passwords: it is readable by you alone, and should stay so.
    """
    began = time.monotonic()
    if file.exists() and not force:
        raise Refused(f"{file} exists. Choose another name, or replace it with --force.")
    try:
        instance = running(data_folder(data).resolve())
        with _whole_or_not_at_all(file) as out, screen.progress() as bar:
            streams = asyncio.run(_back_up(instance, Writer(out), bar))
    except NotRunning as problem:
        raise Unreachable(str(problem)) from None
    except (nats.errors.Error, asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError, TimeoutError) as error:
        raise Unreachable(
            f"The instance went away ({str(error) or type(error).__name__}). Nothing was written."
        ) from None
    except (database_copy.DatabaseCopyFailed, stream_copy.StreamCopyFailed, NeverQuiet) as problem:
        raise Refused(f"{problem} Nothing was written.") from None
    except OSError as error:
        raise Refused(f"Cannot write {file}: {error.strerror or error}.") from None
    size, took_s = file.stat().st_size, time.monotonic() - began
    if as_json:
        click.echo(json.dumps({"file": str(file), "bytes": size, "took_s": round(took_s, 2), "streams": streams}))
    else:
        click.echo(f"{file}: {size / 2**20:.1f} MiB after {took_s:.1f} s. It holds keys and passwords: keep it safe.")
        columns = [screen.Column("stream"), screen.Column("messages", right=True), screen.Column("up to", right=True)]
        screen.print_table(columns, [(n, str(s["messages"]), str(s["last_sequence"])) for n, s in streams.items()])


class NeverQuiet(Exception):
    """Snapshots and alerts were published without a pause."""


async def _back_up(instance: Instance, writer: Writer, bar: Progress) -> dict[str, dict[str, Any]]:
    task = bar.add_task("database", total=len(STREAMS) + 2)
    described: dict[str, dict[str, Any]] = {}
    async with connection_to_broker(instance) as client, _database(instance) as connection:
        snapshot, ends = await moment(connection, client.jetstream())
        await _copy_database(instance, writer, snapshot)
        versions = {
            "uptake": version("uptake"),
            "nats-server": "{0.major}.{0.minor}.{0.patch}".format(client.connected_server_version),  # noqa: UP032  # shorter
            "postgresql": "{0.major}.{0.minor}".format(connection.get_server_version()),
        }
        bar.advance(task)
        for name in STREAMS:
            bar.update(task, description=name)
            parts = writer.stream(f"streams/{name}")
            described[name] = await stream_copy.save(client, name, parts.write) | {"cut_at": ends.get(name)}
            parts.end()
            bar.advance(task)
    _copy_files(instance, writer)
    writer.seal(datetime.now(UTC).isoformat(), versions, described)
    bar.advance(task)
    return {name: _in_short(stream) for name, stream in described.items()}


async def moment(connection: "asyncpg.Connection[Any]", js: JetStreamContext) -> tuple[str, dict[str, int]]:
    """An exported snapshot of the database, and where KPI and ALERT end at that very moment.

    Nothing was published around it, so the database knows all that they hold up to there, and they hold all that it
    calls published. The snapshot lives as long as the connection.
    """
    deadline = time.monotonic() + _QUIET_WITHIN_S
    while time.monotonic() < deadline:
        before = await _ends(js)
        transaction = connection.transaction(isolation="repeatable_read", readonly=True)
        await transaction.start()
        snapshot = str(await connection.fetchval("SELECT pg_export_snapshot()"))
        if await _ends(js) == before:
            return snapshot, before
        await transaction.rollback()
        await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311  # out of step with what publishes
    raise NeverQuiet(f"KPI was published without a pause for {_QUIET_WITHIN_S:.0f} s. Try again when it is quieter.")


async def _ends(js: JetStreamContext) -> dict[str, int]:
    return {name: (await js.stream_info(name)).state.last_seq for name in _PUBLISHED}


async def _copy_database(instance: Instance, writer: Writer, snapshot: str) -> None:
    parts = writer.stream("database")
    await database_copy.save(instance.ports["postgres"], secret(instance, "postgres"), DATABASE, snapshot, parts.write)
    parts.end()


def _copy_files(instance: Instance, writer: Writer) -> None:
    """What is not in a server: settings, keys and passwords. What each start writes anew is left out."""
    kept = [instance.key_file, *sorted(instance.config.iterdir()), *sorted(instance.secrets.iterdir())]
    for file in kept:
        if file.is_file() and not file.name.startswith("database-url-") and not file.name.endswith(".new"):
            writer.add(f"files/{file.relative_to(instance.folder)}", file.read_bytes())


def _in_short(stream: dict[str, Any]) -> dict[str, Any]:
    state = stream["state"]
    return {
        "uuid": stream["config"]["metadata"][UUID_KEY],
        "messages": state["messages"],
        "first_sequence": state["first_seq"],
        "last_sequence": state["last_seq"],
    }


@asynccontextmanager
async def connection_to_broker(instance: Instance) -> AsyncIterator[Client]:
    """As the one role that manages and copies streams."""
    client = await nats.connect(
        instance.urls["nats"],
        name="backup",
        user="provisioner",
        password=secret(instance, "nats-provisioner"),
        connect_timeout=_CONNECT_S,
        max_reconnect_attempts=1,  # else it tries for two minutes to connect at all
        reconnect_time_wait=0.1,
        allow_reconnect=False,  # half a stream of before and half of after would be none
        error_cb=_say_nothing,
    )
    try:
        yield client
    finally:
        await client.close()


async def _say_nothing(error: Exception) -> None:
    """What went wrong is raised to whoever asked."""


@asynccontextmanager
async def _database(instance: Instance) -> "AsyncIterator[asyncpg.Connection[Any]]":
    url = database.url(instance.ports["postgres"], secret(instance, "postgres"), DATABASE).replace("+asyncpg", "")
    connection = await asyncpg.connect(url, timeout=_CONNECT_S)
    try:
        yield connection
    finally:
        await connection.close(timeout=_CONNECT_S)


def secret(instance: Instance, name: str) -> str:
    return (instance.secrets / name).read_text().strip()


@contextmanager
def _whole_or_not_at_all(file: Path) -> Iterator[BinaryIO]:
    """What is written becomes `file` when it is on disk; until then it is FILE.part, 0600, and one backup's alone."""
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise Refused(f"{file} is no regular file: name one.")
    draft = file.with_name(file.name + ".part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        try:
            fcntl.flock(out, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"Another backup is being written to {draft}.") from None
        try:
            out.truncate()
            os.fchmod(out.fileno(), 0o600)
            yield out
            out.flush()
            os.fsync(out.fileno())
            draft.replace(file)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
    folder = os.open(file.resolve().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
