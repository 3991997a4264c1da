"""The command `uptake restore`: a data folder out of a backup, ready for `uptake up`. Never touches one that has data.

The folder is built beside its place and moved there when it is complete, so an attempt that fails leaves nothing.
"""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import click
import nats.errors
from rich.progress import Progress

from uptake_cli import screen
from uptake_cli.ask import data_option, json_option
from uptake_cli.instance import data_folder, to_copy
from uptake_cli.problems import EXIT_CODES, Refused
from uptake_local import backup_file, credentials, database_copy, plan, stream_copy
from uptake_local.backup import connection_to_broker, secret
from uptake_local.backup_file import BrokenBackup, Manifest
from uptake_local.database import DatabaseSetupError
from uptake_local.instance import CannotStart, Instance, free_block, locked
from uptake_local.supervisor import StartFailed, Supervisor

_FIRST_PORT = 8400
_KEPT_IN = ("config", "secrets")

_PROBLEMS = (
    BrokenBackup,
    CannotStart,
    DatabaseSetupError,
    StartFailed,
    database_copy.DatabaseCopyFailed,
    stream_copy.StreamCopyFailed,
    nats.errors.Error,
)


@click.command(epilog=EXIT_CODES)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@data_option
@json_option
def restore(file: Path, data: Path | None, as_json: bool) -> None:
    """Make a data folder out of the backup FILE. The folder must be empty, or not exist yet.

    All of FILE is checked first. Start the result with `uptake up`, of this version or of a later one.
    """
    began = time.monotonic()
    folder = data_folder(data).resolve()
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    try:
        _require_empty(folder)
        with screen.progress() as bar, contextlib.redirect_stdout(sys.stderr):  # the servers' lines are no answer
            manifest = _verified(file, bar)
            with _draft_of(folder) as (draft, lock):
                asyncio.run(_restore(file, manifest, draft, lock, bar))
    except _PROBLEMS as problem:
        raise Refused(f"{problem} Nothing was restored.") from None
    except OSError as error:
        raise Refused(f"Cannot restore into {folder}: {error.strerror or error}. Nothing was restored.") from None
    took_s = time.monotonic() - began
    if as_json:
        answer = {"data": str(folder), "made_at": manifest.made_at, "versions": manifest.versions}
        click.echo(json.dumps(answer | {"took_s": round(took_s, 2)}))
    else:
        click.echo(f"{folder} is as it was on {manifest.made_at}, after {took_s:.1f} s.")
        click.echo(f"Start it: {to_copy('up', folder)}")


def _require_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"{folder} is not empty. Name another folder with --data, or move this one away.")


def _verified(file: Path, bar: Progress) -> Manifest:
    task = bar.add_task("checking", total=file.stat().st_size)
    manifest = backup_file.verify(file, lambda read: bar.advance(task, read))
    bar.update(task, completed=file.stat().st_size)
    return manifest


@contextmanager
def _draft_of(folder: Path) -> Iterator[tuple[Path, int]]:
    """A folder beside `folder` that takes its place at the end, or is gone; and its lock."""
    draft = folder.with_name(f"{folder.name}.restoring")
    draft.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(draft) as lock:  # until the end: a second attempt must not take this one's for left over
        _empty(draft)  # what an attempt that was killed has left is of no use
        try:
            yield draft, lock
            os.sync()  # before it is called complete
            if folder.exists():
                folder.rmdir()  # it is empty, or else this fails
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise


def _empty(draft: Path) -> None:
    for path in draft.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


async def _restore(file: Path, manifest: Manifest, draft: Path, lock: int, bar: Progress) -> None:
    instance = Instance(draft, free_block(_FIRST_PORT))
    instance.make_folders()
    supervisor = Supervisor(instance.logs)
    _write_files(file, instance)
    try:
        await plan.start_servers(instance, supervisor, lock)
        await _fill(file, manifest, instance, bar)
    finally:
        await supervisor.drain()


def _write_files(file: Path, instance: Instance) -> None:
    for name, data in backup_file.members(file, "files"):
        path = PurePosixPath(name)
        in_place = len(path.parts) == 2 and path.parts[0] in _KEPT_IN and path.name != ".."
        if not in_place and name != instance.key_file.name:
            raise BrokenBackup(f"{file} holds a file where none belongs: {name}.")
        credentials.write(instance.folder / path, data)


async def _fill(file: Path, manifest: Manifest, instance: Instance, bar: Progress) -> None:
    task = bar.add_task("database", total=len(manifest.streams) + 1)
    password = secret(instance, "postgres")
    kept = backup_file.parts(file, "database")
    await database_copy.load(instance.ports["postgres"], password, plan.DATABASE, kept)
    bar.advance(task)
    described_whole = (described.keys() >= {"config", "state", "cut_at"} for described in manifest.streams.values())
    if not manifest.streams or not all(described_whole):
        raise BrokenBackup(f"{file} is no backup of Uptake: it does not describe its streams.")
    async with connection_to_broker(instance) as client:
        for name, described in manifest.streams.items():
            bar.update(task, description=name)
            kept = backup_file.parts(file, f"streams/{name}")
            await stream_copy.load(client, name, {key: described[key] for key in ("config", "state")}, kept)
            if described["cut_at"] is not None:
                await stream_copy.cut(client.jetstream(), name, described["cut_at"])
            bar.advance(task)
