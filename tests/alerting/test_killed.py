"""Two real replicas, killed at any instant in a loop, and a receiver that misbehaves: no notice is lost or doubled.

The receiver knows idempotency keys, so that another copy under a known key is none. Leases and waits are cut short in
the tables after each kill: what takes a minute in life must not take one here.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
from collections import defaultdict
from datetime import date, timedelta

import nats
import pytest
from sqlalchemy import func, select, text, update

from uptake import subjects
from uptake.provision import provision
from uptake_alerting.tables import delivery, episode

ACCOUNTS, KILLS_A_WAVE = 12, 3
START = date(2026, 4, 1)
BAD_ANSWERS = [200, 200, 500, "drop", 503, 200]


@pytest.fixture
async def js(nats_server):
    client = await nats.connect(nats_server.url)
    await provision(client.jetstream())
    yield client.jetstream()
    await client.close()


@pytest.fixture
def replicas(settings, nats_server, receiver, free_port, tmp_path):
    """`start(name)` and `kill(name)` of real processes on one database."""
    channel = f"{{type: webhook, url: '{receiver.url}', allow_private: true}}"
    (tmp_path / "routes.yml").write_text(f"channels: {{ops: {channel}}}\ndefault: [ops]\n")
    running: dict[str, subprocess.Popen[bytes]] = {}

    class Replicas:
        def start(self, name):
            environment = os.environ | {
                "UPTAKE_DATABASE_URL": settings.database_url.get_secret_value(),
                "UPTAKE_NATS_URL": nats_server.url,
                "UPTAKE_HTTP_PORT": str(free_port()),
                "UPTAKE_CONFIG_DIR": str(tmp_path),
                "UPTAKE_TICK_S": "0.1",
                "UPTAKE_SETTLE_S": "0",
            }
            argv = [sys.executable, "-m", "uptake_alerting.app"]
            with (tmp_path / f"{name}.log").open("ab") as log:
                running[name] = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)

        def kill(self, name):
            running[name].kill()
            running[name].wait()

    yield Replicas()
    for process in running.values():
        process.kill()
        process.wait()


async def hurry(engine):
    """Time passes for whatever waits: leases of the dead end, and what failed is tried again."""
    async with engine.begin() as connection:
        waiting = update(delivery).where(delivery.c.status.in_(("pending", "sending")))
        await connection.execute(waiting.values(due_at=text("now()")))


async def until_told(engine, kind, count):
    """All notices of a kind are delivered, and nothing is under way."""
    done = select(func.count()).where(delivery.c.kind == kind, delivery.c.status == "delivered")
    async with asyncio.timeout(30):
        while True:
            async with engine.connect() as connection:
                if await connection.scalar(done) == count:
                    return
            await asyncio.sleep(0.5)
            await hurry(engine)


async def some_arrive(receiver, count):
    """A few notices more reach the receiver; none may be left to come."""
    until = len(receiver.got) + count
    for _ in range(300):
        if len(receiver.got) >= until:
            return
        await asyncio.sleep(0.01)


async def publish(js, account_day, first, mau):
    for day in range(3):
        for number in range(ACCOUNTS):
            snapshot = account_day(START + timedelta(days=first + day), mau, account=f"a{number}", owner=None)
            await js.publish(subjects.kpi_account(f"a{number}"), snapshot.model_dump_json().encode())


async def test_killing_either_of_two_replicas_at_any_instant_loses_no_notice_and_doubles_none(
    replicas, js, engine, account_day, receiver, request
):
    seed = request.config.option.seed  # printed in the report's header too
    dice = random.Random(seed)
    receiver.answers = [dice.choice(BAD_ANSWERS) for _ in range(60)]
    for name in ("one", "two"):
        replicas.start(name)
    for wave, (mau, kind) in enumerate([(24, "trigger"), (60, "terminal")]):
        await publish(js, account_day, 3 * wave, mau)
        for _ in range(KILLS_A_WAVE):
            await some_arrive(receiver, dice.randint(1, 4))
            await asyncio.sleep(dice.uniform(0, 0.05))  # between sending and recording, or later
            name = dice.choice(["one", "two"])
            replicas.kill(name)
            replicas.start(name)
            await hurry(engine)
        await until_told(engine, kind, ACCOUNTS)
    _each_heard_a_beginning_and_an_end(receiver, seed)
    async with engine.connect() as connection:
        states = await connection.execute(select(episode.c.subject, episode.c.number, episode.c.state))
    assert sorted(states) == sorted((f"a{number}", 1, "resolved") for number in range(ACCOUNTS))


def _each_heard_a_beginning_and_an_end(receiver, seed):
    heard = defaultdict(dict)  # account -> key -> kind, in the order of their first copies
    for got in receiver.got:
        body = json.loads(got.body)
        heard[body["alert"]["subject"]].setdefault(got.headers["idempotency-key"], body["kind"])
    told = {account: list(kinds.values()) for account, kinds in heard.items()}
    assert told == {f"a{number}": ["trigger", "terminal"] for number in range(ACCOUNTS)}, f"--seed {seed}"
