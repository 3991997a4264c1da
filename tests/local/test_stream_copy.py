"""A stream copied from one real broker to another: the same messages, sequences, identity and consumers."""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import nats
import pytest
from nats.aio.client import Client

from uptake.provision import provision
from uptake.streams import stream_uuid
from uptake_local import stream_copy
from uptake_local.stream_copy import StreamCopyFailed


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    client = await nats.connect(nats_server.url)
    await provision(client.jetstream())
    yield client
    await client.close()


async def send(client: Client, count: int) -> None:
    js = client.jetstream()
    await asyncio.gather(*(js.publish("raw.v1.local.usage", os.urandom(2000)) for _ in range(count)))


async def replace_by_copy(client: Client, stream: str) -> dict[str, Any]:
    """The stream is copied, lost, and made again from the copy."""
    chunks: list[bytes] = []
    described = await stream_copy.save(client, stream, chunks.append)
    await client.jetstream().delete_stream(stream)
    await stream_copy.load(client, stream, described, chunks)
    return described


async def take(client: Client, count: int) -> list[int]:
    """Asks the durable consumer for one message after the other, none ahead, and acknowledges each."""
    taken = []
    for _ in range(count):
        message = await client.request("$JS.API.CONSUMER.MSG.NEXT.RAW.ingestion", timeout=5, old_style=True)
        await message.ack_sync(timeout=5)
        taken.append(message.metadata.sequence.stream)
    return taken


async def test_a_copy_is_the_stream_with_its_consumer(client: Client) -> None:
    js = client.jetstream()
    await send(client, 300)
    await js.delete_msg("RAW", 7)
    assert len(await take(client, 100)) == 100
    before, told = await js.stream_info("RAW"), [await js.get_msg("RAW", n) for n in range(8, 301, 13)]
    await replace_by_copy(client, "RAW")
    after = await js.stream_info("RAW")
    assert (after.config, after.state.last_seq, after.state.messages) == (before.config, 300, 299)
    assert stream_uuid(after) == stream_uuid(before) is not None
    again = [await js.get_msg("RAW", n) for n in range(8, 301, 13)]
    assert [(one.seq, one.data, one.time) for one in again] == [(one.seq, one.data, one.time) for one in told]
    assert await take(client, 5) == [102, 103, 104, 105, 106]
    await provision(js)  # nothing is missing and nothing is different


async def test_a_copy_made_under_load_has_every_message_up_to_its_end(client: Client) -> None:
    js = client.jetstream()
    await send(client, 500)
    busy, chunks = asyncio.create_task(send(client, 3000)), list[bytes]()
    await asyncio.sleep(0.05)
    described = await stream_copy.save(client, "RAW", chunks.append)
    await busy
    await js.delete_stream("RAW")
    await stream_copy.load(client, "RAW", described, chunks)
    state = (await js.stream_info("RAW")).state
    assert 3500 >= state.messages == state.last_seq >= described["state"]["last_seq"] >= 500


async def test_what_came_later_is_cut_and_its_sequences_are_not_given_out_again(client: Client) -> None:
    js = client.jetstream()
    await send(client, 10)
    assert await stream_copy.cut(js, "RAW", 6) == 4
    assert await stream_copy.cut(js, "RAW", 6) == 0
    assert (await js.stream_info("RAW")).state.messages == 6
    assert (await js.publish("raw.v1.local.usage", b"next")).seq == 11


async def test_a_copy_without_its_end_is_refused(client: Client) -> None:
    await send(client, 300)
    chunks: list[bytes] = []
    described = await stream_copy.save(client, "RAW", chunks.append)
    await client.jetstream().delete_stream("RAW")
    with pytest.raises(StreamCopyFailed, match="RAW"):
        await stream_copy.load(client, "RAW", described, chunks[:1])


async def test_a_stream_that_is_there_is_not_replaced(client: Client) -> None:
    chunks: list[bytes] = []
    described = await stream_copy.save(client, "RAW", chunks.append)
    with pytest.raises(StreamCopyFailed, match=r"STREAM\.RESTORE\.RAW"):
        await stream_copy.load(client, "RAW", described, chunks)


async def test_a_missing_stream_is_named(client: Client) -> None:
    with pytest.raises(StreamCopyFailed, match=r"STREAM\.SNAPSHOT\.NONE.*not found"):
        await stream_copy.save(client, "NONE", lambda _: None)
