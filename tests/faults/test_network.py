"""Cuts between services and servers, in one direction or both, and resets: through links that the test holds."""

import asyncio

import pytest

from tests.faults.injections import cut, reset

pytestmark = pytest.mark.faults

DIRECTIONS = [(True, True), (True, False), (False, True)]


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_replica_is_cut_off(start, rng, server):
    uptake = await start(linked=True)
    for to_server, to_client in rng.sample(DIRECTIONS, 3):
        replica = rng.choice(["ingestion-0", "metrics-0", "metrics-1", "alerting-1"])
        await asyncio.sleep(rng.uniform(1, 3))
        links = uptake.cluster.links_to(server, [replica])
        await cut(links, rng.uniform(4, 12), to_server=to_server, to_client=to_client)
    await uptake.is_exact()


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_everybody_is_cut_off_from_a_server(start, rng, server):
    uptake = await start(linked=True)
    await asyncio.sleep(rng.uniform(2, 4))
    to_server, to_client = rng.choice(DIRECTIONS)
    cutting = asyncio.create_task(cut(uptake.cluster.links_to(server), 45, to_server=to_server, to_client=to_client))
    await asyncio.sleep(30)
    await uptake.waits_quietly()
    await cutting
    await uptake.is_exact()


async def test_connections_are_reset(start, rng):
    uptake = await start(linked=True)
    for _ in range(12):
        await asyncio.sleep(rng.uniform(0.3, 2))
        reset(uptake.cluster.links_to(rng.choice(["nats", "postgres"])))
    await uptake.is_exact()
