"""Consumers deleted, streams wiped or rolled back: found out, named, and cured as docs/recovery.md says."""

import asyncio
import re
import time

import pytest

from tests.faults import checks
from tests.faults.injections import delete_consumers, roll_back, save_store, wipe

pytestmark = pytest.mark.faults

DETECTED_S = 15.0
POSITIONS = re.compile(r"cursor at \d+ of [0-9a-f-]+, stream [0-9a-f-]+ holds \d+ to \d+")
READERS = {"USAGE": "metrics", "FACTS": "metrics", "KPI": "alerting"}
START_AGAIN = {
    "USAGE": (
        "UPDATE metrics.shard SET stream_uuid = NULL, sequence = 0, stored_at = NULL, restarted_at = now()",
        "DELETE FROM metrics.ledger_delta",
        "DELETE FROM metrics.ledger_hour",
        "DELETE FROM metrics.ledger_refused",
    ),
    "FACTS": ("DELETE FROM metrics.cursor WHERE name = 'FACTS'",),
    "KPI": ("DELETE FROM alerting.cursor WHERE name = 'kpi'",),
}


async def detected(uptake, service: str) -> None:
    """Who reads it is not ready in time, and the reason names the positions. Of FACTS only one replica reads."""
    deadline = time.monotonic() + DETECTED_S
    while not POSITIONS.search(str(told := await problems(uptake, service))):
        assert time.monotonic() < deadline, f"{service} says: {told}"
        await asyncio.sleep(0.2)


async def problems(uptake, service: str) -> list[dict[str, str] | None]:
    return [await uptake.cluster.problems(kept.name) for kept in uptake.cluster.replicas(service)]


async def start_again(uptake, *streams: str) -> None:
    """docs/recovery.md, "The readers start again": the services that read, stopped; the statements; the services."""
    readers = [kept for stream in streams for kept in uptake.cluster.replicas(READERS[stream])]
    await checks.ends_cleanly(readers)
    if "USAGE" in streams:
        uptake.model.events.clear()  # the books begin anew
    await uptake.cluster.sql(*(statement for stream in streams for statement in START_AGAIN[stream]))
    for kept in readers:
        kept.start()


async def test_the_readers_consumers_are_deleted(start, rng):
    uptake = await start()
    for stream in rng.sample(["USAGE", "FACTS", "KPI", "USAGE"], 4):
        await asyncio.sleep(rng.uniform(1, 3))
        assert await delete_consumers(uptake.cluster, stream) > 0
    await asyncio.sleep(3)
    await uptake.is_exact()


async def test_the_door_of_raw_is_deleted(start, rng):
    """Nobody makes it anew in silence: ingestion is not ready and says so until the provisioner has run."""
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    await delete_consumers(uptake.cluster, "RAW")
    for kept in uptake.cluster.replicas("ingestion"):
        assert "raw_consumer" in (await uptake.cluster.problems(kept.name) or {})
    await uptake.waits_quietly()
    await uptake.cluster.provision()
    await uptake.is_exact()


@pytest.mark.parametrize("stream", ["USAGE", "FACTS", "KPI"])
async def test_a_stream_is_wiped(start, rng, stream):
    uptake = await start()
    await asyncio.sleep(rng.uniform(3, 5))
    await uptake.counts_exactly()  # what is acknowledged and wiped before it is counted is lost
    await wipe(uptake.cluster, stream)
    await detected(uptake, READERS[stream])
    await start_again(uptake, stream)
    uptake.producers.resume()
    await asyncio.sleep(3)
    await uptake.is_exact()


@pytest.mark.parametrize("grown", [False, True], ids=["as_it_was", "and_grown_again"])
async def test_the_store_is_rolled_back(start, rng, tmp_path, grown):
    """`grown`: new messages have taken the lost ones' numbers before any reader looks."""
    uptake = await start()
    await asyncio.sleep(rng.uniform(2, 4))
    await uptake.counts_exactly()
    await save_store(uptake.cluster, tmp_path / "old")
    await uptake.recovers()
    uptake.producers.resume()
    await asyncio.sleep(rng.uniform(3, 5))
    await uptake.counts_exactly()
    if grown:
        await checks.ends_cleanly(uptake.cluster.replicas("metrics"))
    await roll_back(uptake.cluster, tmp_path / "old")
    if grown:
        uptake.producers.resume()
        await asyncio.sleep(15)
        for kept in uptake.cluster.replicas("metrics"):
            kept.start()
    await detected(uptake, "metrics")
    await start_again(uptake, "USAGE", "FACTS", "KPI")
    uptake.producers.resume()
    await asyncio.sleep(3)
    await uptake.is_exact()
