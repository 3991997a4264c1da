"""kill -9 of anything, one at a time and all at once, under load: nothing acknowledged is lost, nothing invented."""

import asyncio

import pytest

from tests.faults.injections import kill, kill_a_backend


@pytest.mark.faults
async def test_services_are_killed_one_by_one(start, rng):
    uptake = await start()
    for _ in range(8):
        await asyncio.sleep(rng.uniform(1, 4))
        await kill(rng.choice(uptake.services))
    await uptake.is_exact()


@pytest.mark.faults
async def test_the_broker_is_killed(start, rng):
    uptake = await start()
    for _ in range(3):
        await asyncio.sleep(rng.uniform(1, 5))
        await kill(uptake.cluster.nats)
        await uptake.cluster.nats.until_ready()
    await uptake.is_exact()


@pytest.mark.faults
async def test_connections_of_the_database_are_killed(start, rng):
    uptake = await start()
    for _ in range(4):
        await asyncio.sleep(rng.uniform(1, 4))
        await kill_a_backend(uptake.cluster, rng)
    await uptake.cluster.postgres.until_ready()
    await uptake.is_exact()


@pytest.mark.faults
async def test_everything_is_killed_at_once(start, rng):
    uptake = await start()
    for _ in range(2):
        await asyncio.sleep(rng.uniform(3, 6))
        await kill(*uptake.cluster.everything)
        await asyncio.gather(uptake.cluster.nats.until_ready(), uptake.cluster.postgres.until_ready())
    await uptake.is_exact()
