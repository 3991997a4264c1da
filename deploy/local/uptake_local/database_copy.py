"""The database as bytes and back, by PostgreSQL's own pg_dump and pg_restore. Starts no server, decides no moment."""

import asyncio
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

from uptake_local import database

_READ_BYTES = 2**20


class DatabaseCopyFailed(Exception):
    """pg_dump or pg_restore ended with an error; the text holds what it said."""


async def save(port: int, password: str, name: str, snapshot: str, write: Callable[[bytes], None]) -> None:
    """Writes all of the database `name` as the exported `snapshot` shows it; the caller keeps that snapshot open."""
    words = ("--format=custom", f"--snapshot={snapshot}", f"--dbname={name}")
    async with _client("pg_dump", port, password, words, stdout=PIPE) as process:
        while chunk := await _pipe(process.stdout).read(_READ_BYTES):
            write(chunk)


async def load(port: int, password: str, name: str, chunks: Iterable[bytes]) -> None:
    """Fills the empty database `name`, whose owners' roles exist, in one transaction."""
    words = ("--single-transaction", "--exit-on-error", f"--dbname={name}")
    async with _client("pg_restore", port, password, words, stdin=PIPE) as process:
        into = _pipe(process.stdin)
        try:
            for chunk in chunks:
                into.write(chunk)
                await into.drain()
        except ConnectionError:  # it has ended: its exit code and its words say why
            pass
        into.close()


@asynccontextmanager
async def _client(name: str, port: int, password: str, words: tuple[str, ...], **pipes: int) -> AsyncIterator[Process]:
    with tempfile.NamedTemporaryFile("w", prefix="uptake-") as secret, tempfile.TemporaryFile() as errors:
        secret.write(database.password_file(port, password))
        secret.flush()
        program = database.client(name, port, Path(secret.name), *words)
        options = program.options() | {"stderr": errors} | pipes
        process = await asyncio.create_subprocess_exec(*program.argv, **options)
        try:
            yield process
            if await process.wait() != 0:
                raise DatabaseCopyFailed(f"{name} failed: {_said(errors)}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


def _pipe(end: Any) -> Any:
    assert end is not None  # noqa: S101 - for the type checker: `_client` asked for the pipe
    return end


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode(errors="replace").strip() or "it said nothing"
