"""Fixtures for every test: a real nats-server and a real PostgreSQL 18, started from the pip-installed binaries."""

import itertools
import os
import random
import subprocess
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import settings

from uptake_local import broker, database
from uptake_local.instance import is_free
from uptake_local.program import Program

# Nothing is judged by the clock: a loaded machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="all of tests/faults, not only a short selection")
    parser.addoption("--seed", type=int, help="what the fault tests draw everything from (default: a random one)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: long; only with --faults")
    if config.option.seed is None:
        config.option.seed = random.randrange(10_000)  # one of the whole run: workers get the options of their parent


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """A fault test has a dozen processes of its own, and time limits."""
    return 2 if config.option.faults else None


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed of tests/faults: {config.option.seed}"


_BLOCKS = itertools.count(random.randrange(100))  # never the one that a test has just been given


def _free_port() -> int:
    """A free port with nine free ones behind it, for an instance takes such a block.

    Below the range of outgoing ports: there, a client that reconnects to a stopped server can meet itself. Every
    worker of a parallel run has a range of its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    while True:
        port = 15_000 + 1_000 * worker + next(_BLOCKS) % 100 * 10
        if all(is_free(port + offset) for offset in range(10)):
            return port


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while not ready():
        assert process.poll() is None, f"the server ended: {log.read_text()}"
        assert time.monotonic() < deadline, f"the server is not ready: {log.read_text()}"
        time.sleep(0.01)


class Server:
    """A real server as a child of the test process: `stop()`, `kill()` and `start()` again on the same data."""

    def __init__(self, program: Program, log: Path, ready: Callable[[], bool]) -> None:
        self._program, self._log, self._ready = program, log, ready
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._program.argv, stdout=log, stderr=log, **self._program.options())
        _wait_until(self._ready, self.process, self._log)

    def stop(self) -> None:
        self._end(self._program.stop_signal)

    def kill(self) -> None:
        self._end(9)

    def _end(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(20)
            self.process = None


class NatsServer(Server):
    def __init__(self, folder: Path, port: int, authorization: Mapping[str, Any] | None = None) -> None:
        super().__init__(broker.program(folder, port, authorization), folder / "log", lambda: broker.is_ready(port))
        self.port, self.url = port, f"nats://127.0.0.1:{port}"


class PostgresServer(Server):
    """Fast and forgetful: no fsync, the data lives for one session. `url` is the `postgres` database."""

    def __init__(self, folder: Path, port: int) -> None:
        database.initialise(folder, "test")
        settings = ["fsync=off", "full_page_writes=off", "synchronous_commit=off", "max_connections=200"]
        super().__init__(
            database.program(folder, port, settings),
            folder.with_suffix(".log"),
            lambda: database.is_ready(port),
        )
        self.port, self.url = port, database.url(port, "test")

    def url_of(self, name: str) -> str:
        return database.url(self.port, "test", name)


@pytest.fixture
def free_port() -> Callable[[], int]:
    return _free_port


@pytest.fixture
def nats_server_with(tmp_path: Path) -> Iterator[Callable[[Mapping[str, Any] | None], NatsServer]]:
    """Starts one broker with the users that the test names."""
    servers: list[NatsServer] = []

    def start(authorization: Mapping[str, Any] | None) -> NatsServer:
        servers.append(NatsServer(tmp_path / "nats", _free_port(), authorization))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def nats_server(nats_server_with: Callable[[None], NatsServer]) -> NatsServer:
    """A broker of the test's own, without users; empty, with JetStream."""
    return nats_server_with(None)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole session (per xdist worker). A test that stops it starts it again."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres") / "data", _free_port())
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def database_url(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """A fresh, empty database: `postgresql+asyncpg://...`."""
    name = f"test_{uuid.uuid4().hex}"
    await _execute(postgres_server, f"CREATE DATABASE {name}")
    yield postgres_server.url_of(name)
    await _execute(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server.url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
