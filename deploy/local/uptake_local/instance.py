"""Where one machine's Uptake keeps and offers things: folder, ports, addresses, the lock. Starts nothing."""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from uptake_cli.instance import to_copy

_MONITOR, _INBOX = 8, 9
_SERVERS = ("nats", "postgres", "monitor")
_LAST_SERVERS_S = 15  # how long the broker and the database of a killed parent may take to end


class NotRunning(Exception):
    """There is no running instance to talk to; the text says what to do."""


class CannotStart(Exception):
    """Nothing was started; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One data folder and its block of loopback ports: `port` is the console's, the others follow it."""

    folder: Path
    port: int

    @property
    def ports(self) -> dict[str, int]:
        names = ("console", "ingestion", "metrics", "alerting", "nats", "postgres")
        ports = {name: self.port + offset for offset, name in enumerate(names)}
        # Those between are for further replicas.
        return {**ports, "monitor": self.port + _MONITOR, "inbox": self.port + _INBOX}

    @property
    def urls(self) -> dict[str, str]:
        services = {name: f"http://127.0.0.1:{self.ports[name]}" for name in ("ingestion", "metrics", "alerting")}
        return {**services, "nats": f"nats://127.0.0.1:{self.ports['nats']}"}

    @property
    def key_file(self) -> Path:
        return self.folder / "producer.key"

    @property
    def secrets(self) -> Path:
        return self.folder / "secrets"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def description(self) -> Path:
        """Tells the CLI where the running instance is; absent while none runs."""
        return self.folder / "instance.json"

    def make_folders(self) -> None:
        for folder in (self.folder, self.secrets, self.config, self.logs):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise CannotStart(
                    f"Cannot make {folder}: {error.strerror}. Choose another folder with --data."
                ) from None

    def describe(self) -> None:
        content = {"pid": os.getpid(), "ports": self.ports, "urls": self.urls}
        draft = self.description.with_suffix(".new")
        draft.write_text(json.dumps(content, indent=2) + "\n")
        draft.replace(self.description)


def running(folder: Path) -> Instance:
    """The instance that runs on the folder, or NotRunning; whether it still answers is for its callers to find out."""
    nowhere = Instance(folder, 0)
    try:
        ports = json.loads(nowhere.description.read_text())["ports"]
        return Instance(folder, int(ports["console"]))
    except FileNotFoundError:
        raise NotRunning(f"Nothing runs on {folder}. Start it with `{to_copy('up', folder)}`.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotRunning(f"{nowhere.description} does not describe a running instance ({error}).") from None


def free_block(first: int) -> int:
    """The first block of ports from `first` on of which those of broker and database are free."""
    for port in range(first, 65_500, 10):
        try:
            require_free({name: port for name, port in Instance(Path(), port).ports.items() if name in _SERVERS})
        except CannotStart:
            continue
        return port
    raise CannotStart(f"No port from {first} on is free for a broker and a database.")


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Holds the folder for one parent and for the servers that inherit the descriptor, until the last has ended.

    nats-server does not lock its store, and two on one store destroy it: this lock is what prevents that.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, folder: Path) -> None:
    deadline = time.monotonic() + _LAST_SERVERS_S
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode() or "?"
        if _is_alive(holder):
            raise CannotStart(
                f"Uptake already runs on {folder} (pid {holder}). "
                "Stop it with Ctrl-C in its terminal, or choose another folder with --data."
            )
        if time.monotonic() > deadline:
            raise CannotStart(f"The broker or the database of an earlier run on {folder} is still ending. Try again.")
        time.sleep(0.1)


def _is_alive(holder: str) -> bool:
    try:
        os.kill(int(holder), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


def require_free(ports: dict[str, int]) -> None:
    for name, port in ports.items():
        if not is_free(port):
            first = min(ports.values()) - 1
            raise CannotStart(
                f"Port {port} ({name}) is not free. Stop what uses it, or choose another block of ports: "
                f"--port {first + 100} would use {first + 101} to {first + 105}."
            )


def is_free(port: int) -> bool:
    """Whether a server of ours could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no obstacle
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            return False
    return True
