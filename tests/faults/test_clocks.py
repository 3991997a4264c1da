"""One replica's clock jumps, by libfaketime, while the others' goes on: hours, days, and back."""

import asyncio

import pytest

from tests.faults.clock import faked
from tests.faults.injections import jump

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("service", ["ingestion", "metrics", "alerting"])
async def test_a_replicas_clock_jumps_and_comes_back(start, rng, tmp_path, service):
    uptake = await start()
    clock, replica = tmp_path / "clock", rng.choice(uptake.cluster.replicas(service))
    jump(clock, "+0")
    replica.env = faked(clock)
    replica.kill()
    await asyncio.sleep(rng.uniform(2, 3))
    await replica.until_ready()
    for offset in rng.sample(["+3h", "-3h", "+2d"], 3):
        jump(clock, offset)
        await asyncio.sleep(rng.uniform(5, 8))
        assert await uptake.cluster.problems(replica.name) == {}
        jump(clock, "+0")
        await asyncio.sleep(rng.uniform(1, 3))
    await uptake.is_exact()
