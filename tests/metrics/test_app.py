"""The process itself, with a real broker and a real database: killed in mid-stream it loses and doubles nothing."""

import asyncio
import json
import os
import random
import signal
import sys
from datetime import timedelta

import httpx2
import nats.errors
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from uptake import subjects
from uptake.clock import utc_now

ACCOUNTS = ["acme", "bolt", "coda", "dune"]


class Service:
    """`uptake-metrics` as a child process."""

    def __init__(self, environment, port, log):
        self.environment, self.log, self.process = environment, log, None
        self.http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)

    async def start(self):
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "uptake_metrics.app", env=os.environ | self.environment, stdout=log, stderr=log
            )

    async def end(self, number):
        self.process.send_signal(number)
        code = await asyncio.wait_for(self.process.wait(), 10)
        self.process = None
        return code

    async def kill_and_start(self):
        await self.end(signal.SIGKILL)
        await self.start()

    async def status(self, path):
        try:
            return (await self.http.get(path)).status_code
        except httpx2.TransportError:
            return None

    async def ready(self):
        await until(lambda: self.status("/readyz"), 200)

    async def complains(self):
        """It runs, listens to signals, and has found no broker."""
        return b"broker connection" in self.log.read_bytes()

    async def get(self, path, **query):
        response = await self.http.get(f"/api/v1/{path}", params=query or None)
        assert response.status_code == 200, response.text
        return response.json()


async def until(ask, expected):
    async with asyncio.timeout(60):
        while await ask() != expected:  # noqa: ASYNC110  # another process sets no event here
            await asyncio.sleep(0.05)


@pytest.fixture
async def service(nats_server, metrics_url, free_port, tmp_path):
    port = free_port()
    environment = {
        "UPTAKE_NATS_URL": nats_server.url,
        "UPTAKE_DATABASE_URL": metrics_url,
        "UPTAKE_HTTP_PORT": str(port),
    }
    service = Service(environment, port, tmp_path / "metrics.log")
    yield service
    await service.http.aclose()
    print(service.log.read_text())  # noqa: T201  # pytest shows it when the test fails
    if service.process is not None:
        await service.end(signal.SIGKILL)


@pytest.fixture
def counted_up_to(engine):
    """Where the slowest shard stands in USAGE."""

    async def counted_up_to():
        async with engine.connect() as connection:
            return (await connection.execute(text("SELECT min(sequence) FROM metrics.shard"))).scalar_one()

    return counted_up_to


@pytest.fixture
def send(client):
    """Publishes until the broker has it, as ingestion does; a batch can get there twice."""

    async def send(subject, data):
        while True:
            try:
                return (await client.jetstream().publish(subject, data, timeout=1)).seq
            except (nats.errors.Error, OSError):
                await asyncio.sleep(0.05)

    return send


def fact_of(fact, *arguments, **fields):
    said = fact(*arguments, **fields)
    return subjects.fact(said.event.type, said.source, said.event.id), said.model_dump_json(exclude_unset=True).encode()


class Source:
    """Installations that are often offline: usage of the last forty days, for as long as it is asked for."""

    def __init__(self, event, batches, send):
        self.event, self.batches, self.send = event, batches, send
        self.rng, self.events, self.last, self.stopped = random.Random(20), [], 0, False

    async def run(self):
        while not self.stopped:
            some = [self._one() for _ in range(10)]
            self.events += some  # before they are sent: a batch can be stored though nobody hears of it
            for subject, data in self.batches(some):
                self.last = await self.send(subject, data)
            await asyncio.sleep(0.002)

    def _one(self):
        age = timedelta(days=min(self.rng.expovariate(0.2), 40), minutes=self.rng.randrange(600))
        user, feature = f"user-{self.rng.randrange(40)}", self.rng.choice(["edit", "view"])
        return self.event(self.rng.choice(ACCOUNTS), user, utc_now() - age, feature)


async def differences(service, events, account, zone, recount):
    """The days on which the answers are not those of plain sets."""
    mine = [one for one in events if one["account"] == account]
    oldest = min(one["at"] for one in mine).date() - timedelta(days=1)
    today = (await service.get(f"accounts/{account}/kpis"))["as_of"]
    history = await service.get(f"accounts/{account}/history", **{"from": oldest, "to": today})
    assert len(history) > 30
    users = await service.get(f"accounts/{account}/users")
    assert users["count"] == len(set(users["users"])) == history[-1]["mau"]
    expected = [recount(mine, oldest + timedelta(days=n), zone) for n in range(len(history))]
    counted = [(day["dau"], day["wau"], day["mau"]) for day in history]
    return [pair for pair in zip(counted, expected, strict=True) if pair[0] != pair[1]]


async def test_kills_in_mid_stream_lose_and_double_nothing(
    service, nats_server, send, counted_up_to, event, batches, fact, recount
):
    """Of metrics and of the broker, while usage keeps coming; then every answer is compared with plain sets."""
    zones = dict(zip(ACCOUNTS, ["UTC", "America/St_Johns", "Asia/Kolkata", "UTC"], strict=True))
    source = Source(event, batches, send)

    async def restart_broker():
        await asyncio.to_thread(nats_server.kill)
        await asyncio.to_thread(nats_server.start)

    async def counted_beyond(sequence):
        return await counted_up_to() > sequence

    await service.start()
    for account, zone in zones.items():
        await send(*fact_of(fact, "account.updated", account=account, time_zone=zone))
    arriving = asyncio.create_task(source.run())
    for strike in (service.kill_and_start, restart_broker, service.kill_and_start, restart_broker):
        more = await counted_up_to() + 100
        await until(lambda more=more: counted_beyond(more), True)
        await strike()
    more = await counted_up_to() + 100
    await until(lambda: counted_beyond(more), True)
    source.stopped = True
    await arriving
    await until(counted_up_to, source.last)
    await service.ready()
    for account, zone in zones.items():
        assert await differences(service, source.events, account, zone, recount) == []


async def test_a_whole_life(service, client, send, counted_up_to, event, batches, fact, clock):
    """Facts, usage, poison and a closed day go in; answers, gauges, snapshots, refusals come out; SIGTERM ends it."""
    await service.start()
    await service.ready()
    yesterday = (utc_now() - timedelta(days=1)).date()
    assert await send("fact.v1.account.updated.poison", b"{ no fact") == 1
    assert await send(subjects.usage(3), b"{ no batch") == 1  # the same number, and yet another refusal
    await send(*fact_of(fact, "account.updated", account="acme", owner="kim", production_date="2025-01-01"))
    await send(*fact_of(fact, "license.issued", "2025-01-01T00:00:00Z", account="acme", license="l", seats=4))
    for subject, data in batches([event("acme", user, yesterday.isoformat()) for user in ("ann", "bob")]):
        await until(counted_up_to, await send(subject, data))

    async def snapshot():
        return (await service.get("accounts/acme/kpis", as_of=yesterday))["revision"] > 0

    async def stored(stream):
        js = client.jetstream()
        last = (await js.stream_info(stream)).state.last_seq
        return [await js.get_msg(stream, number) for number in range(1, last + 1)]

    async def lines_of_the_board():
        return [(line["account"], line["kpis"]["mau"]) for line in await service.get("accounts")]

    if utc_now().hour >= 2:  # before that, the day is still open
        await until(snapshot, True)
        await until(lambda: is_sent(stored), True)
        sent = {m.headers["Nats-Msg-Id"]: json.loads(m.data) for m in await stored(subjects.KPI)}
        assert len(sent) == (await client.jetstream().stream_info(subjects.KPI)).state.messages
        newest = max((body for body in sent.values()), key=lambda body: body["kpis"]["revision"])
        assert newest["kpis"] == await service.get("accounts/acme/kpis", as_of=newest["kpis"]["as_of"])
    await until(lines_of_the_board, [("acme", 2)])
    refused = [json.loads(message.data) for message in await stored(subjects.REFUSED)]
    assert {(one["source"], one["reason"]) for one in refused} == {("metrics", "not_understood")}
    assert len(refused) == 2

    async def gauge():
        found = {
            sample.name: sample.value
            for family in text_string_to_metric_families((await service.http.get("/metrics")).text)
            for sample in family.samples
            if sample.labels.get("account", "acme") == "acme" and sample.labels.get("stream", "USAGE") == "USAGE"
        }
        return (
            found.get("uptake_account_mau"),
            found.get("uptake_account_adoption_ratio"),
            found["uptake_metrics_lag_messages"],
        )

    await until(gauge, (2, 0.5, 0))
    assert await service.end(signal.SIGTERM) == 0


async def is_sent(stored):
    return len(await stored(subjects.KPI)) > 0


async def test_it_waits_for_what_it_needs_and_says_for_what(service, nats_server, postgres_server, client):
    await service.start()
    await service.ready()
    nats_server.stop()
    try:
        await until(lambda: service.status("/readyz"), 503)
        assert await service.status("/healthz") == 200
        assert await service.status("/api/v1/accounts") == 200  # what is counted can be asked for
    finally:
        nats_server.start()
    await service.ready()
    await client.jetstream().delete_stream(subjects.USAGE)
    await until(lambda: service.status("/readyz"), 503)
    problems = (await service.http.get("/readyz")).json()["not_ready"]
    assert problems.keys() == {"usage"}
    assert await service.end(signal.SIGTERM) == 0


async def test_without_a_broker_it_ends_when_it_is_told_to(service, nats_server, client):
    await client.close()
    nats_server.stop()
    await service.start()
    await until(service.complains, True)
    assert await service.end(signal.SIGTERM) == 0


async def test_migrate_brings_the_schema_up_to_date_and_ends(database_url, free_port):
    for _ in range(2):
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "uptake_metrics.app", "migrate"),
            env=os.environ | {"UPTAKE_DATABASE_URL": database_url},
            stdout=asyncio.subprocess.DEVNULL,
        )
        assert await asyncio.wait_for(program.wait(), 60) == 0


async def test_a_bad_configuration_at_the_start_judges_nothing_and_is_told(
    service, send, batches, event, tmp_path, engine
):
    """What is shipped would give published days other numbers; nobody but the file knows what was in force."""
    folder = tmp_path / "config"
    folder.mkdir()
    service.environment["UPTAKE_CONFIG_DIR"] = str(folder)
    (folder / "policies.yml").write_text("default: gone\npolicies: {}\n")
    for subject, data in batches([event("acme", "ann", utc_now() - timedelta(days=2))]):
        await send(subject, data)
    await service.start()
    await until(lambda: service.status("/healthz"), 200)
    await asyncio.sleep(2)
    answer = await service.http.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["not_ready"]["config"].startswith(f"{folder / 'policies.yml'}: line 1: default.0.policy: ")
    assert await service.status("/api/v1/accounts") == 503

    async def done(query):
        async with engine.connect() as connection:
            return (await connection.execute(text(query))).scalar_one()

    held = "SELECT count(*) FROM metrics.lease WHERE holder IS NOT NULL"
    assert (await done(held), await done("SELECT max(sequence) FROM metrics.shard")) == (0, 0)
    ladder = "{from: 2022-01-01, anchor: production, steps: [{day: 0, target: 10 %}]}"
    (folder / "policies.yml").write_text(f"default: easy\npolicies:\n  easy: [{ladder}]\n")
    await service.ready()

    async def policies():
        return [account["kpis"]["adoption"]["policy"] for account in await service.get("accounts")]

    await until(policies, ["easy"])  # it is ready before it has counted
    assert await service.end(signal.SIGTERM) == 0
