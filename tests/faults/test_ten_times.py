"""Ten times the rated load, by the clock and through both doors at once: each delivery is taken or refused politely."""

import asyncio
import json
import sys
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.faults import flood
from tests.faults.gauges import Memory, Pulse
from tests.faults.producers import HTTP_PRODUCERS, NATS_PRODUCERS

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
RATED_EVENTS_S = 20_000
TIMES = 10
SECONDS = 20.0
MOST_GROWTH_MIB = {"nats": 1500, "postgres": 200}  # the broker's is what it has just written
MOST_GROWTH_OF_A_SERVICE_MIB = 300
HEALTH_S = 1.0
TAKEN_S = 300.0  # for what waits in RAW, on a slow machine

# What the machine has to give, or else the round says nothing about us and there is another one.
ROUNDS = 4
PACE = 0.9  # of what is to be offered
IDLE_S = 0.4  # for an answer of a process that has nothing to do


async def offered(orders):
    """What came of them, by a process of its own."""
    words = (sys.executable, "-m", flood.__name__)
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(*words, cwd=ROOT, **pipes)
    try:
        said, _ = await process.communicate(json.dumps(asdict(orders)).encode())
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    return flood.Outcome(**json.loads(said))


def half_by_each_door(cluster):
    """A producer for each replica, and as many by NATS."""
    ports = [cluster.ports[kept.name] for kept in cluster.replicas("ingestion")]
    ways = [("http", port, name) for port, name in zip(ports, HTTP_PRODUCERS, strict=True)]
    ways += [("nats", cluster.ports["nats"], name) for name in NATS_PRODUCERS[: len(ways)]]
    deliveries_s = TIMES * RATED_EVENTS_S / flood.EVENTS / len(ways)
    day = datetime.now(UTC).date().isoformat()
    return [flood.Orders(*way, cluster.keys[way[2]], day, deliveries_s, SECONDS) for way in ways]


class Round:
    """A flood, what came of it, and what was seen of the processes meanwhile."""

    def __init__(self, orders, outcomes, slowest_s):
        self.orders, self.outcomes, self.slowest_s = orders, outcomes, slowest_s
        self.answers = sum((Counter(outcome.answers) for outcome in outcomes), Counter())
        self.events_s = sum(outcome.offered * flood.EVENTS / outcome.took_s for outcome in outcomes)
        self.idle_s = max(slowest_s[name] for name in slowest_s if name.startswith("alerting"))

    @classmethod
    async def of(cls, uptake, orders):
        pulse = Pulse(uptake.cluster, uptake.services)
        outcomes = await asyncio.gather(*map(offered, orders))
        return cls(orders, outcomes, (await pulse.end()).slowest_s)

    @property
    def is_fair(self):
        return self.events_s >= PACE * TIMES * RATED_EVENTS_S and self.idle_s <= IDLE_S

    def remember(self, model):
        for orders, outcome in zip(self.orders, self.outcomes, strict=True):
            day = date.fromisoformat(orders.day)
            for number in range(orders.first, orders.first + outcome.offered):
                model.send(flood.acts(orders.name, number, day))
            for number in outcome.acknowledged:
                acts = flood.acts(orders.name, number, day)
                model.acknowledge(acts, times=flood.EVENTS // len(acts))

    def __str__(self):
        offered = sum(outcome.offered for outcome in self.outcomes) * flood.EVENTS
        acknowledged = sum(len(outcome.acknowledged) for outcome in self.outcomes) * flood.EVENTS
        return (
            f"offered {offered:,} events at {self.events_s:,.0f}/s, acknowledged {acknowledged:,}; "
            f"answers to deliveries of {flood.EVENTS}: {dict(self.answers)}; "
            f"slowest /healthz, s: {dict(self.slowest_s)}"
        )


async def nothing_waits_in_raw(uptake):
    async with asyncio.timeout(TAKEN_S):
        while await uptake.cluster.waiting_in_raw():  # noqa: ASYNC110  # asks another process
            await asyncio.sleep(0.5)


async def test_ten_times_the_rated_load(start, tell):
    """Who cannot take it says so and when to come back; nobody grows or goes deaf; what was acknowledged is counted."""
    uptake = await start(rate=50)
    memory, orders = Memory(uptake.cluster.everything), half_by_each_door(uptake.cluster)
    for _ in range(ROUNDS):
        flooded = await Round.of(uptake, orders)
        tell(str(flooded))
        flooded.remember(uptake.model)
        await nothing_waits_in_raw(uptake)
        assert set(flooded.answers) <= {flood.ACCEPTED, flood.STORED, "429", "503"}
        assert flooded.answers[flood.ACCEPTED] > 0
        assert flooded.answers[flood.STORED] > 0
        assert sum(outcome.without_retry_after for outcome in flooded.outcomes) == 0
        if flooded.is_fair:
            break
        orders = [replace(each, first=each.first + each.deliveries) for each in orders]
    assert flooded.is_fair, "this machine has too little to give beside what else it does"
    assert max(flooded.slowest_s.values()) < HEALTH_S
    await uptake.counts_exactly()
    growth_mib = (await memory.end()).growth_mib
    tell(f"grew by at most, MiB: {growth_mib}")
    for name, grew_mib in growth_mib.items():
        assert grew_mib < MOST_GROWTH_MIB.get(name, MOST_GROWTH_OF_A_SERVICE_MIB), growth_mib
    await uptake.is_exact()
