"""Broker or database away for minutes: nobody spins, nobody gives up, a SIGTERM is heard, and all of it is counted."""

import asyncio

import pytest

from tests.faults import checks
from tests.faults.injections import bring_back, take_away

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_server_is_away_for_150_seconds(start, rng, server):
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    away = getattr(uptake.cluster, server)
    take_away(away)
    for _ in range(3):
        await asyncio.sleep(46)
        await uptake.waits_quietly()
    await bring_back(away)
    await uptake.is_exact()


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_sigterm_is_heard_in_the_middle_of_an_outage(start, rng, server):
    uptake = await start()
    away = getattr(uptake.cluster, server)
    await asyncio.sleep(rng.uniform(1, 3))
    take_away(away)
    await asyncio.sleep(rng.uniform(1, 12))
    await checks.ends_cleanly(uptake.services)
    for service in uptake.services:
        service.start()
    await asyncio.sleep(rng.uniform(0, 5))  # started while it is away, and asked to end while starting
    await checks.ends_cleanly(uptake.services)
    for service in uptake.services:
        service.start()
    await bring_back(away)
    await uptake.is_exact()


async def test_broker_and_database_are_away_together(start, rng):
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    both = [uptake.cluster.nats, uptake.cluster.postgres]
    for server in both:
        take_away(server)
    await asyncio.sleep(20)
    await uptake.waits_quietly()
    for server in rng.sample(both, 2):
        await bring_back(server)
        await asyncio.sleep(rng.uniform(0, 5))
    await uptake.is_exact()
