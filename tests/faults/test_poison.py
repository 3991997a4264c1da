"""The poison corpus again and again, while processes die: what they were chewing on comes again, and passes."""

import asyncio

import pytest

from tests.faults.injections import kill
from tests.faults.poison import poison


@pytest.mark.faults
async def test_poison_while_services_are_killed(start, rng):
    uptake = await start()
    for service in ("ingestion", "metrics", "alerting"):
        await poison(uptake, rng)
        await kill(rng.choice(uptake.cluster.replicas(service)))
        await asyncio.sleep(rng.uniform(1, 3))
        await uptake.recovers()
    await uptake.is_exact()
