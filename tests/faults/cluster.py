"""The real processes: broker, database and two replicas of each service, with their rights. Injects nothing."""

import asyncio
import hashlib
import json
import os
import secrets
import subprocess
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx2

from tests.faults.disk import SmallDisk
from tests.faults.network import Link
from tests.faults.processes import Kept
from tests.faults.producers import HTTP_PRODUCERS, NATS_PRODUCERS, connect
from uptake.streams import RAW_CONSUMER
from uptake.subjects import RAW
from uptake_local import broker, credentials, database, roles
from uptake_local.program import Program

SERVICES = ("ingestion", "metrics", "alerting")
REPLICAS = 2
_STORED = ("metrics", "alerting")  # who owns a schema
_DATABASE = "uptake"
_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=100")  # a killed process loses nothing by these

Problem = Callable[[], Awaitable[str | None]]

# A position that moves back for an instant shows in no count when all that is read again is a set; a trigger sees it.
_AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.step_back (what text, was bigint, became bigint, at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION audit.watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NEW.stream_uuid = OLD.stream_uuid AND NEW.sequence < OLD.sequence THEN
        INSERT INTO audit.step_back (what, was, became) VALUES (TG_RELID::regclass, OLD.sequence, NEW.sequence);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER audit AFTER UPDATE ON metrics.shard FOR EACH ROW EXECUTE FUNCTION audit.watch();
CREATE TRIGGER audit AFTER UPDATE ON metrics.cursor FOR EACH ROW EXECUTE FUNCTION audit.watch();
CREATE TRIGGER audit AFTER UPDATE ON alerting.cursor FOR EACH ROW EXECUTE FUNCTION audit.watch();
"""


class Cluster:
    """Ports: broker, database, then the replicas. With `linked`, services reach both servers through links."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        linked: bool = False,
        packages: str | None = None,
        disk: SmallDisk | None = None,
    ) -> None:
        self.folder, self.linked, self.disk = folder, linked, disk
        self.packages = packages  # folders that come before the installed ones: a mutant's
        self.http = httpx2.AsyncClient(timeout=10, trust_env=False, limits=httpx2.Limits(max_keepalive_connections=0))
        self.ports = {"nats": port, "postgres": port + 1, "monitor": port + 8}
        for offset, (name, number) in enumerate((name, n) for name in SERVICES for n in range(REPLICAS)):
            self.ports[f"{name}-{number}"] = port + 2 + offset
        self.passwords = {role: secrets.token_hex(8) for role in (*roles.SERVICE_ROLES, "postgres", *_STORED)}
        self.keys = {name: secrets.token_hex(8) for name in (*NATS_PRODUCERS, *HTTP_PRODUCERS)}
        self.links: dict[tuple[str, str], Link] = {}  # (replica, server)
        self.nats: Kept
        self.postgres: Kept
        self.services: dict[str, Kept] = {}

    @property
    def everything(self) -> list[Kept]:
        return [self.nats, self.postgres, *self.services.values()]

    @property
    def nats_url(self) -> str:
        return f"nats://127.0.0.1:{self.ports['nats']}"

    @property
    def log(self) -> Path:
        return self.folder / "logs"

    @property
    def config(self) -> Path:
        return self.folder / "config"

    def replicas(self, service: str) -> list[Kept]:
        return [self.services[f"{service}-{number}"] for number in range(REPLICAS)]

    def url(self, replica: str) -> str:
        return f"http://127.0.0.1:{self.ports[replica]}"

    def links_to(self, server: str, replicas: Iterable[str] = ()) -> list[Link]:
        """Of the named replicas, or of all."""
        wanted = set(replicas)
        return [link for (name, to), link in self.links.items() if to == server and (not wanted or name in wanted)]

    def make_folders(self) -> None:
        for folder in (self.log, self.config, self.folder / "secrets"):
            folder.mkdir(parents=True)

    async def start(self) -> None:
        self.nats = self._kept(self.nats_program(), _listens(broker.is_ready, self.ports["nats"]))
        await asyncio.to_thread(database.initialise, self.folder / "postgres", self.passwords["postgres"])
        program = database.program(self.folder / "postgres", self.ports["postgres"], _SETTINGS)
        self.postgres = self._kept(program, _listens(database.is_ready, self.ports["postgres"]))
        for server in (self.nats, self.postgres):
            server.start()
        await asyncio.gather(self.nats.until_ready(), self.postgres.until_ready())
        await self._prepare()
        self._write_secrets()
        await self._make_links()
        await asyncio.gather(self.provision(), *(self._run(name, "migrate") for name in _STORED))
        await self.sql(_AUDIT)
        for name, number in ((name, n) for name in SERVICES for n in range(REPLICAS)):
            replica = f"{name}-{number}"
            self.services[replica] = self._kept(self._service(name, replica), _answers(self, replica))
            self.services[replica].start()
        await self.until_ready(60)

    def nats_program(self) -> Program:
        """Also writes the configuration anew, with the passwords of now."""
        users = roles.authorization(self.passwords | {"postgres": ""}, "unused", "unused")
        rights = {"subscribe": ["_INBOX.>"]}
        users["authorization"]["users"] += [
            {"user": name, "password": self.keys[name], "permissions": rights | {"publish": [f"raw.v1.{name}.>"]}}
            for name in NATS_PRODUCERS
        ]
        users["http"] = f"127.0.0.1:{self.ports['monitor']}"
        program = broker.program(self.folder / "nats", self.ports["nats"], users)
        return self.disk.seen_by(program) if self.disk else program

    async def broker_health(self) -> str:
        """What the broker says of itself: `ok`, or why not."""
        answer = (await self.http.get(f"http://127.0.0.1:{self.ports['monitor']}/healthz")).json()
        return str(answer.get("error") or answer["status"])

    async def until_ready(self, within_s: float) -> float:
        """Every replica; how long the slowest took."""
        return max(await asyncio.gather(*(kept.until_ready(within_s) for kept in self.services.values())))

    async def provision(self) -> None:
        await self._run("provision")

    async def problems(self, replica: str) -> dict[str, str] | None:
        """What `/readyz` says is not ready; None when nobody answers."""
        try:
            answer = await self.http.get(f"{self.url(replica)}/readyz", timeout=5)
        except httpx2.HTTPError:
            return None
        return dict(answer.json()["not_ready"])

    async def get(self, replica: str, path: str, **params: str) -> Any:
        answer = await self.http.get(f"{self.url(replica)}{path}", params=params)
        assert answer.status_code == 200, f"{replica} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def sql(self, *statements: str) -> None:
        """As the superuser."""
        async with self._database() as connection:
            for statement in statements:
                await connection.execute(statement)

    @asynccontextmanager
    async def _database(self) -> AsyncIterator[asyncpg.Connection]:
        url = database.url(self.ports["postgres"], self.passwords["postgres"], _DATABASE)
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            yield connection
        finally:
            await connection.close()

    async def waiting_in_raw(self) -> int:
        """Messages that ingestion has not taken, or not acknowledged."""
        client = await connect(self.nats_url, "provisioner", self.passwords["provisioner"])
        info = await client.jetstream().consumer_info(RAW, RAW_CONSUMER)
        await client.close()
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def steps_back(self) -> list[str]:
        """Every time that somebody moved a position backwards in the same stream."""
        async with self._database() as connection:
            rows = await connection.fetch("SELECT * FROM audit.step_back ORDER BY at")
            return [f"{row['at']:%H:%M:%S.%f} {row['what']}: {row['was']} to {row['became']}" for row in rows]

    def rotate(self, role: str) -> None:
        """A new password in the broker's configuration; the secret file keeps the old one until `hand_out`."""
        self.passwords[role] = secrets.token_hex(8)
        self.nats_program()

    def hand_out(self, role: str) -> None:
        credentials.write(self.folder / "secrets" / f"nats-{role}", self.passwords[role] + "\n")

    async def close(self) -> None:
        for kept in (*reversed(self.services.values()), self.postgres, self.nats):
            await kept.close()
        for link in self.links.values():
            await link.close()
        await self.http.aclose()

    def _kept(self, program: Program, problem: Problem) -> Kept:
        return Kept(program, self.log / f"{program.name}.log", problem)

    async def _prepare(self) -> None:
        owners = {service: self.passwords[service] for service in _STORED}
        await database.prepare(self.ports["postgres"], self.passwords["postgres"], _DATABASE, owners)

    def _write_secrets(self) -> None:
        for role in roles.SERVICE_ROLES:
            self.hand_out(role)
        lines = [
            json.dumps({"producer": name, "key_sha256": hashlib.sha256(self.keys[name].encode()).hexdigest()})
            for name in HTTP_PRODUCERS
        ]
        credentials.write(self.folder / "secrets" / "producers.jsonl", "\n".join(lines) + "\n")

    async def _make_links(self) -> None:
        if self.linked:
            for name, number in ((name, n) for name in SERVICES for n in range(REPLICAS)):
                for server in ("nats", "postgres"):
                    link = self.links[f"{name}-{number}", server] = Link(self.ports[server])
                    await link.start()

    def _port_of(self, server: str, replica: str) -> int:
        return self.links[replica, server].port if (replica, server) in self.links else self.ports[server]

    def _service(self, name: str, replica: str) -> Program:
        return Program(replica, (_script(name),), self.environment(name, replica))

    def environment(self, role: str, replica: str) -> dict[str, str]:
        folder = self.folder / "secrets"
        environment = {
            "PYTHONUNBUFFERED": "1",
            "UPTAKE_NATS_URL": f"nats://127.0.0.1:{self._port_of('nats', replica)}",
            "UPTAKE_NATS_USER": "provisioner" if role == "provision" else role,
            "UPTAKE_NATS_PASSWORD": "",
            "UPTAKE_NATS_PASSWORD_FILE": str(folder / f"nats-{'provisioner' if role == 'provision' else role}"),
        }
        if self.packages is not None:
            environment["PYTHONPATH"] = self.packages
        if replica in self.ports:
            environment |= {"UPTAKE_HTTP_HOST": "127.0.0.1", "UPTAKE_HTTP_PORT": str(self.ports[replica])}
        if role in _STORED:
            port = self._port_of("postgres", replica)
            url = database.url(port, self.passwords[role], _DATABASE, role)
            file = credentials.write(folder / f"database-url-{replica}", url + "\n")
            environment |= {"UPTAKE_DATABASE_URL": "", "UPTAKE_DATABASE_URL_FILE": str(file)}
        if role == "alerting":
            environment["UPTAKE_CONFIG_DIR"] = str(self.config)
        if role == "ingestion":
            environment["UPTAKE_PRODUCER_KEYS_FILE"] = str(folder / "producers.jsonl")
        return environment

    async def _run(self, role: str, *arguments: str) -> None:
        environment: Mapping[str, str] = {**os.environ, **self.environment(role, role)}
        process = await asyncio.create_subprocess_exec(
            _script(role), *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()


def _script(name: str) -> str:
    return str(Path(sysconfig.get_path("scripts")) / f"uptake-{name}")


def _answers(cluster: Cluster, replica: str) -> Problem:
    async def problem() -> str | None:
        problems = await cluster.problems(replica)
        return "no answer" if problems is None else str(problems) if problems else None

    return problem


def _listens(is_ready: Callable[[int], bool], port: int) -> Problem:
    async def problem() -> str | None:
        return None if await asyncio.to_thread(is_ready, port) else "does not listen"

    return problem
