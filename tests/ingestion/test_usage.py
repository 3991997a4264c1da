"""When a load of batches leaves, who hears of it, and what is said to be acknowledged."""

import asyncio

import msgspec
import pytest

from uptake.subjects import SHARDS
from uptake_ingestion.batches import Lane, Row
from uptake_ingestion.publishing import NotStored
from uptake_ingestion.usage import UsageWriter, until_stored


class Publisher:
    """Stores when told to, in the order of arrival."""

    def __init__(self):
        self.sent, self.may_store, self.error = [], asyncio.Event(), None
        self.may_store.set()

    async def publish(self, stream, subject, payload, message_id=None, keep_h=None):
        self.sent.append((subject, msgspec.json.decode(payload)))
        sequence = len(self.sent)
        await self.may_store.wait()
        if self.error:
            raise self.error
        return sequence

    def events(self):
        return [len(batch["users"]) for _, batch in self.sent]


def rows(number):
    time = "2026-05-10T09:30:00Z"
    return [Row(f"e{n}", "usage", time, f"u{n}", "f", account="acme") for n in range(number)]


def lanes(number, shard=0, source="crm"):
    return [(Lane(shard, source), rows(number))]


@pytest.fixture
def publisher():
    return Publisher()


async def test_what_comes_together_leaves_together_by_lane(publisher):
    writer = UsageWriter(publisher)
    stored = [writer.add(lanes(2)), writer.add(lanes(3)), writer.add(lanes(1, shard=4)), writer.add(lanes(1, 0, "x"))]
    assert [await until_stored(one) for one in stored] == [3, 3, 3, 3]
    assert [(subject, batch["source"]) for subject, batch in publisher.sent] == [
        ("usage.v1.0", "crm"),
        ("usage.v1.4", "crm"),
        ("usage.v1.0", "x"),
    ]
    assert publisher.events() == [5, 1, 1]


async def test_a_large_load_does_not_wait(publisher):
    writer = UsageWriter(publisher, linger_s=60, quiet_s=60)
    stored = writer.add(lanes(64 * SHARDS))
    async with asyncio.timeout(10):
        await until_stored(stored)
    assert sum(publisher.events()) == 64 * SHARDS
    waits = writer.add(lanes(1))
    await asyncio.sleep(0.05)
    assert not waits.done()


async def test_while_more_keeps_coming_a_load_waits_but_not_for_ever(publisher):
    writer, loop = UsageWriter(publisher, linger_s=0.2, quiet_s=0.1), asyncio.get_running_loop()
    began = loop.time()
    first = writer.add(lanes(1))
    while not first.done():
        assert loop.time() - began < 5
        writer.add(lanes(1))
        await asyncio.sleep(0.01)
    assert loop.time() - began >= 0.19
    assert publisher.events()[0] > 2


async def test_while_the_broker_is_slow_a_third_load_grows_until_one_of_two_is_stored(publisher):
    writer = UsageWriter(publisher)
    publisher.may_store.clear()
    stored = []
    for _ in range(6):
        stored.append(writer.add(lanes(1)))
        await asyncio.sleep(0.02)
    assert publisher.events() == [1, 1]
    publisher.may_store.set()
    assert [await until_stored(one) for one in stored] == [1, 2, 3, 3, 3, 3]
    assert publisher.events() == [1, 1, 4]


async def test_a_load_that_failed_makes_room_too(publisher):
    writer = UsageWriter(publisher)
    publisher.error = NotStored("full")
    for _ in range(5):
        with pytest.raises(NotStored):
            await until_stored(writer.add(lanes(1)))


async def test_one_who_gives_up_spoils_nothing_for_the_others(publisher):
    writer = UsageWriter(publisher)
    stored = writer.add(lanes(1))
    impatient = asyncio.create_task(until_stored(stored))
    await asyncio.sleep(0)
    impatient.cancel()
    assert await until_stored(stored) == 1


async def test_only_what_the_broker_confirmed_is_said_to_be_acknowledged(publisher):
    writer = UsageWriter(publisher)
    publisher.error = NotStored("full")
    with pytest.raises(NotStored):
        await until_stored(writer.add(lanes(5)))
    publisher.error = None
    publisher.may_store.clear()
    stored = [writer.add(lanes(2))]
    await asyncio.sleep(0.05)
    stored.append(writer.add([*lanes(3), *lanes(4, shard=1)]))
    await asyncio.sleep(0.05)
    publisher.may_store.set()
    await asyncio.gather(*map(until_stored, stored))
    await until_stored(writer.add([*lanes(1), *lanes(1, shard=1)]))
    said = [(subject, batch["acknowledged"]) for subject, batch in publisher.sent]
    assert said == [
        ("usage.v1.0", 0),
        ("usage.v1.0", 0),  # the first five were not stored
        ("usage.v1.0", 0),  # the two are on their way
        ("usage.v1.1", 0),
        ("usage.v1.0", 5),
        ("usage.v1.1", 4),
    ]
    assert len({batch["writer"] for _, batch in publisher.sent}) == 1


async def test_a_mistake_of_ours_reaches_those_who_wait(publisher):
    writer = UsageWriter(publisher)
    broken = [Row("e", "usage", "no time", "u", "f", account="acme")]
    with pytest.raises(ValueError, match="isoformat"):
        await until_stored(writer.add([(Lane(0, "crm"), broken)]))
