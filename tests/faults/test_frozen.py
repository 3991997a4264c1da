"""SIGSTOP: a process that believes that no time has passed goes on writing, and must not spoil what others wrote."""

import asyncio

import pytest

from tests.faults.injections import freeze

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("seconds", [3, 30])
async def test_a_writer_of_counts_is_frozen(start, rng, seconds):
    uptake = await start()
    for replica in rng.sample(uptake.cluster.replicas("metrics"), 2):
        await asyncio.sleep(rng.uniform(2, 4))
        await freeze([replica], seconds)
    await uptake.is_exact()


@pytest.mark.parametrize("service", ["ingestion", "alerting"])
async def test_another_replica_is_frozen(start, rng, service):
    uptake = await start()
    for replica in rng.sample(uptake.cluster.replicas(service), 2):
        await asyncio.sleep(rng.uniform(1, 3))
        await freeze([replica], rng.uniform(5, 15))
    await uptake.is_exact()


@pytest.mark.parametrize("server", ["nats", "postgres"])
async def test_a_server_is_frozen(start, rng, server):
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    stopped = asyncio.create_task(freeze([getattr(uptake.cluster, server)], 30))
    await asyncio.sleep(15)
    await uptake.waits_quietly()
    await stopped
    await uptake.is_exact()
