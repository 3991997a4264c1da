"""What runs on one machine, in which order and with which settings. Starts it through the supervisor only."""

import asyncio
import re
import sys
import sysconfig
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from uptake_local import broker, credentials, database, inbox, roles
from uptake_local.instance import Instance
from uptake_local.program import Program
from uptake_local.supervisor import Child, Supervisor

DATABASE = "uptake"
_WITH_DATABASE = ("metrics", "alerting")
_SERVICES = ("ingestion", "metrics", "alerting")
# Its file is 0600, and bcrypt would make each connection slow for nothing.
_NATS_TROUBLE = re.compile(r"\[(WRN|ERR|FTL)\] (?!Plaintext passwords detected)")
# Our own probes meet "starting up"; that is no trouble.
_POSTGRES_TROUBLE = re.compile(r"(WARNING|ERROR|FATAL|PANIC):  (?!the database system is starting up)")


async def start(instance: Instance, supervisor: Supervisor, lock: int) -> None:
    """Everything up and ready, or StartFailed."""
    inbox.write_routes(instance.config, instance.ports["inbox"], _inbox_key(instance))
    await start_servers(instance, supervisor, lock)
    await supervisor.start(_inbox(instance))
    await asyncio.gather(*(supervisor.run(job) for job in _jobs(instance)))
    await asyncio.gather(*(supervisor.start(_service(instance, name)) for name in _SERVICES))


async def start_servers(instance: Instance, supervisor: Supervisor, lock: int) -> None:
    """Broker and database, which inherit the lock of the folder."""
    nats, postgres = _nats(instance, lock), _postgres(instance, lock)
    await asyncio.gather(supervisor.start(nats), supervisor.start(postgres))
    owners = {service: _secret(instance, f"database-{service}") for service in _WITH_DATABASE}
    await database.prepare(instance.ports["postgres"], _secret(instance, "postgres"), DATABASE, owners)


def _nats(instance: Instance, lock: int) -> Child:
    passwords = {role: _secret(instance, f"nats-{role}") for role in roles.SERVICE_ROLES}
    key = credentials.producer_key(instance)
    folder, port, monitor = instance.folder / "nats", instance.ports["nats"], instance.ports["monitor"]
    users = roles.authorization(passwords, credentials.LOCAL_PRODUCER, key)
    program = broker.program(folder, port, users, monitor)
    is_stuck = partial(broker.is_stuck, folder, monitor)
    return Child(replace(program, keep=(lock,)), lambda: broker.is_ready(port), _NATS_TROUBLE, is_stuck=is_stuck)


def _postgres(instance: Instance, lock: int) -> Child:
    folder, port = instance.folder / "postgres", instance.ports["postgres"]
    database.initialise(folder, _secret(instance, "postgres"))
    program = replace(database.program(folder, port), keep=(lock,))
    return Child(program, lambda: database.is_ready(port), _POSTGRES_TROUBLE)


def _inbox(instance: Instance) -> Child:
    port = instance.ports["inbox"]
    argv = (sys.executable, "-m", "uptake_local.inbox", "--port", str(port), "--secret-file", str(_inbox_key(instance)))
    return Child(Program("inbox", argv), _answers(f"http://127.0.0.1:{port}/hook"))


def _inbox_key(instance: Instance) -> Path:
    """The file of the secret that alerting signs with when it notifies this machine's inbox."""
    _secret(instance, "inbox")
    return instance.secrets / "inbox"


def _jobs(instance: Instance) -> list[Program]:
    provision = Program("provision", _installed("uptake-provision"), _environment(instance, "provisioner"))
    migrations = [
        Program(f"{name}-db", _installed(f"uptake-{name}", "migrate"), _environment(instance, name))
        for name in _WITH_DATABASE
    ]
    return [provision, *migrations]


def _service(instance: Instance, name: str) -> Child:
    program = Program(name, _installed(f"uptake-{name}"), _environment(instance, name))
    return Child(program, _answers(f"{instance.urls[name]}/readyz"))


def _installed(script: str, *arguments: str) -> tuple[str, ...]:
    """A console script of this project, from the environment that this process runs in."""
    return (str(Path(sysconfig.get_path("scripts")) / script), *arguments)


def _environment(instance: Instance, role: str) -> dict[str, str]:
    """Secrets travel as names of files: an environment is too easily printed."""
    environment = {
        "PYTHONUNBUFFERED": "1",  # a line of log is of use when it is written
        "UPTAKE_NATS_URL": instance.urls["nats"],
        "UPTAKE_NATS_USER": role,
        "UPTAKE_NATS_PASSWORD": "",  # one that the user's shell exports is for another broker
        "UPTAKE_NATS_PASSWORD_FILE": str(instance.secrets / f"nats-{role}"),
    }
    if role in _SERVICES:
        environment |= {"UPTAKE_HTTP_HOST": "127.0.0.1", "UPTAKE_HTTP_PORT": str(instance.ports[role])}
    if role in _WITH_DATABASE:
        url = database.url(instance.ports["postgres"], _secret(instance, f"database-{role}"), DATABASE, role)
        file = credentials.write(instance.secrets / f"database-url-{role}", url + "\n")
        environment |= {"UPTAKE_DATABASE_URL": "", "UPTAKE_DATABASE_URL_FILE": str(file)}
    if role == "alerting":
        environment |= {"UPTAKE_PUBLIC_URL": instance.urls["alerting"]}
        environment |= {"UPTAKE_METRICS_PUBLIC_URL": instance.urls["metrics"]}
    if role in ("metrics", "alerting"):
        environment["UPTAKE_CONFIG_DIR"] = str(instance.config)
    if role == "ingestion":
        environment["UPTAKE_PRODUCER_KEYS_FILE"] = str(credentials.producer_keys_file(instance))
    return environment


def _secret(instance: Instance, name: str) -> str:
    return credentials.secret(instance.secrets / name)


def _answers(url: str) -> Callable[[], bool]:
    # No proxy: the environment may name one, and loopback is none of its business.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def is_ready() -> bool:
        try:
            with opener.open(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:  # refused, timed out, or a status of 400 and more
            return False

    return is_ready
