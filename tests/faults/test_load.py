"""More than there is room for, a long backlog or bytes without end: it waits or is refused; none grows or is lost."""

import asyncio
import json
import time
from collections import Counter
from datetime import UTC, datetime

import httpx2
import pytest

from tests.faults.gauges import Memory
from tests.faults.injections import take_away
from tests.faults.model import Act
from tests.faults.producers import HTTP_PRODUCERS, NATS_PRODUCERS, connect

pytestmark = pytest.mark.faults

BACKLOG_EVENTS = 300_000
EVENTS = 500  # of one message or request
SENDERS = 48  # each sends again as soon as it has its answer: as fast as this machine can
CROWD = 200  # of senders with requests near the limit: together more than two replicas take in hand
PADDING = "x" * 1_500  # a field of an event that nobody knows
SECONDS_OF_LOAD = 20
NO_ANSWER = "no answer"  # who is refused in the middle of an upload may see only that the connection ends
MOST_MIB = 500  # of one service process, whatever comes


def many(name, number, padding=""):
    """A body of events that two users caused, whom nobody has seen before."""
    now = datetime.now(UTC)
    acts = [Act(f"{name}-{number % 5}", "search", f"load-{number}-{user}", now.date()) for user in range(2)]
    made = [
        {"id": f"{act.user}-{n}", "type": "usage", "occurred_at": now.isoformat(), "account": act.account}
        | {"user": act.user, "feature": act.feature, "note": padding}
        for n in range(EVENTS // 2)
        for act in acts
    ]
    return json.dumps(made).encode(), acts


async def send_by_http(uptake, until, senders=SENDERS, padding=""):
    """From many senders at once, to both replicas; how often each status was the answer."""
    name, statuses = HTTP_PRODUCERS[1], Counter()
    urls = [uptake.cluster.url(kept.name) for kept in uptake.cluster.replicas("ingestion")]
    headers = {"Authorization": f"Bearer {uptake.cluster.keys[name]}"}

    async def send(sender, http):
        number = sender
        while not until(statuses):
            body, acts = many(name, number, padding)
            uptake.model.send(acts)
            try:
                answer = await http.post(f"{urls[sender % len(urls)]}/v1/events", content=body)
                statuses[answer.status_code] += 1
            except httpx2.HTTPError:
                statuses[NO_ANSWER] += 1
                continue
            if answer.status_code == 202:
                uptake.model.acknowledge(acts * (EVENTS // 2))
            number += senders

    limits = httpx2.Limits(max_connections=senders)
    async with httpx2.AsyncClient(timeout=30, trust_env=False, headers=headers, limits=limits) as http:
        await asyncio.gather(*(send(sender, http) for sender in range(senders)))
    return statuses


async def send_by_nats(uptake, messages):
    name = NATS_PRODUCERS[0]
    client = await connect(uptake.cluster.nats_url, name, uptake.cluster.keys[name])
    for number in range(messages):
        body, acts = many(name, number)
        uptake.model.send(acts)
        await client.jetstream().publish(f"raw.v1.{name}.usage", body, timeout=10)
        uptake.model.acknowledge(acts * (EVENTS // 2))
    await client.close()


async def test_a_long_backlog_of_batches_is_counted(start):
    """Metrics away while 300,000 events come in."""
    uptake = await start(rate=50)
    for kept in uptake.cluster.replicas("metrics"):
        take_away(kept)
    await send_by_http(uptake, lambda statuses: statuses[202] >= BACKLOG_EVENTS / EVENTS)
    memory = Memory(uptake.services)
    for kept in uptake.cluster.replicas("metrics"):
        kept.start()
    await uptake.cluster.until_ready(60)
    await uptake.counts_exactly()
    assert max((await memory.end()).most_mib.values()) < MOST_MIB, f"resident memory, MiB: {memory.most_mib}"
    await uptake.is_exact()


async def test_a_long_backlog_of_raw_messages_is_taken(start):
    """Ingestion away while 300,000 events come in by NATS."""
    uptake = await start(rate=50)
    for kept in uptake.cluster.replicas("ingestion"):
        take_away(kept)
    await send_by_nats(uptake, BACKLOG_EVENTS // EVENTS)
    memory = Memory(uptake.services)
    for kept in uptake.cluster.replicas("ingestion"):
        kept.start()
    await uptake.cluster.until_ready(60)
    await uptake.counts_exactly()
    assert max((await memory.end()).most_mib.values()) < MOST_MIB, f"resident memory, MiB: {memory.most_mib}"
    await uptake.is_exact()


async def test_more_bytes_than_the_replicas_take_in_hand(start):
    """They say 429, keep their memory, and count what they took."""
    uptake = await start(rate=50)
    memory, end = Memory(uptake.services), time.monotonic() + SECONDS_OF_LOAD
    statuses = await send_by_http(uptake, lambda _: time.monotonic() > end, CROWD, PADDING)
    assert statuses[202] > 0
    assert statuses[429] > 0, statuses
    assert set(statuses) <= {202, 429, 503, NO_ANSWER}, statuses
    await uptake.counts_exactly()
    assert max((await memory.end()).most_mib.values()) < MOST_MIB, f"resident memory, MiB: {memory.most_mib}"
    await uptake.is_exact()
