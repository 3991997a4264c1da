"""What runs in every test run: one cluster, one fault of each kind after the other, and then all that must hold."""

import asyncio

from tests.faults.injections import cut, freeze, kill
from tests.faults.poison import poison


async def test_a_fault_of_each_kind(start, rng):
    uptake = await start(linked=True, rate=100)
    cluster = uptake.cluster
    await asyncio.sleep(2)
    await kill(*cluster.everything)
    await asyncio.gather(cluster.nats.until_ready(), cluster.postgres.until_ready())
    await uptake.recovers()
    await freeze([rng.choice(cluster.replicas("metrics"))], seconds=3)
    replica = rng.choice(list(cluster.services))
    await cut(cluster.links_to("nats", [replica]), seconds=2, to_server=rng.random() < 0.5)
    await poison(uptake, rng)
    await uptake.is_exact()
