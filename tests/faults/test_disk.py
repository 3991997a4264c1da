"""The broker's disk is full: producers are told, readiness too, and when there is room again everything goes on."""

import asyncio
import time
from functools import partial

import pytest

from tests.faults.disk import SmallDisk
from tests.faults.injections import kill

pytestmark = pytest.mark.faults

TOLD_S = 20.0


@pytest.fixture
def disk(tmp_path):
    disk = SmallDisk(tmp_path / "cluster-0" / "nats" / "store", size_mib=48)
    disk.mount()
    yield disk
    disk.unmount()


async def within(seconds, holds, what):
    deadline = time.monotonic() + seconds
    while not await holds():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.2)


async def test_the_brokers_disk_is_full_for_a_while(start, rng, disk):
    uptake = await start(disk=disk)
    cluster = uptake.cluster
    await asyncio.sleep(rng.uniform(3, 5))
    acknowledged = sum(uptake.model.events.values())
    assert acknowledged > 0
    disk.fill()

    async def told():
        return all(member.statuses.get("503", 0) for member in uptake.producers.http)

    await within(TOLD_S, told, f"nobody hears 503: {[member.statuses for member in uptake.producers.http]}")
    for kept in cluster.replicas("ingestion"):
        await within(TOLD_S, partial(_says_why, cluster, kept.name), f"{kept.name} does not say that it cannot store")
    assert "no space left on device" in await cluster.broker_health()
    await uptake.waits_quietly()

    disk.free()
    # nats-server 2.15 refuses a stream that met a full disk until it is started anew; its own health says so, and
    # whoever supervises it has to act on that (docs/recovery.md).
    if await cluster.broker_health() != "ok":
        await kill(cluster.nats)
    await cluster.nats.until_ready()
    await uptake.is_exact()


async def _says_why(cluster, replica):
    """With the words of docs/recovery.md."""
    problems = await cluster.problems(replica) or {}
    return "the broker does not confirm what it is given for" in problems.get("store", "")
