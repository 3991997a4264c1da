"""One hostile message must not stop a consumer. Each trap is shown twice: the client as it comes, and guarded."""

import asyncio
import json
import subprocess
import sys
from typing import Any

import nats
import pytest

# Runs in a process of its own, so that one client is guarded and the other is not.
CONSUMER = """
import asyncio, json, sys
import nats, nats.errors
from uptake import guard

async def main(url, guarded):
    if guarded:
        guard.install()

    async def quiet(error):
        pass

    client = await nats.connect(url, reconnect_time_wait=0.05, error_cb=quiet)
    subscription = await client.jetstream().pull_subscribe("raw.>", durable="d", stream="S")
    bodies = []
    for _ in range(8):
        try:
            messages = await subscription.fetch(1, timeout=0.5)
        except Exception:
            continue
        for message in messages:
            bodies.append(message.data.decode())
            await message.ack()
        if bodies[-1:] == ["good"]:
            break
    print(json.dumps(bodies))

asyncio.run(main(sys.argv[1], sys.argv[2] == "guarded"))
"""

HOSTILE = {
    "a status among the headers": (b"raw.a", b"NATS/1.0\r\nStatus: 404\r\n\r\n"),
    "a heartbeat among the headers": (b"raw.a", b"NATS/1.0\r\nStatus: 100\r\nDescription: Idle Heartbeat\r\n\r\n"),
    "a header block of NULs": (b"raw.a", b"\0\0\0\0"),
    "a subject that is no text": (b"raw.\xff", b""),
    "a subject with white space": (b"raw.a\x0bb", b""),
}


async def publish(port: int, subject: bytes, headers: bytes, body: bytes) -> None:
    """What a producer can send who writes the protocol by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose": false, "headers": true}\r\n')
    size = len(headers) + len(body)
    if headers:
        writer.write(b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(headers), size, headers, body))
    else:
        writer.write(b"PUB %b %d\r\n%b\r\n" % (subject, size, body))
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"PONG\r\n"
    writer.close()
    await writer.wait_closed()


async def create_stream(url: str) -> None:
    client = await nats.connect(url)
    await client.jetstream().add_stream(name="S", subjects=["raw.>"])
    await client.close()


async def output_of(script: str, url: str, mode: str) -> str:
    """The last line that the script prints, in a process of its own."""
    command = [sys.executable, "-c", script, url, mode]
    run = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=30, check=True)
    return run.stdout.decode().splitlines()[-1]


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize(("mode", "passes"), [("bare", False), ("guarded", True)])
async def test_the_consumer_goes_on_after(nats_server: Any, hostile: str, mode: str, passes: bool) -> None:
    await create_stream(nats_server.url)
    subject, headers = HOSTILE[hostile]
    await publish(nats_server.port, subject, headers, b"hostile")
    await publish(nats_server.port, b"raw.a", b"", b"good")
    delivered = json.loads(await output_of(CONSUMER, nats_server.url, mode))
    assert (delivered == ["hostile", "good"]) is passes


# Again and again with almost no time, until the time runs out between the two requests that one fetch makes.
FETCHES = """
import asyncio, sys
import nats, nats.errors
from uptake import guard

async def main(url, guarded):
    if guarded:
        guard.install()
    client = await nats.connect(url)
    subscription = await client.jetstream().pull_subscribe("raw.>", stream="S")
    for _ in range(3000):
        try:
            await subscription.fetch(10, timeout=0.0005)
        except nats.errors.TimeoutError:
            pass
        except TimeoutError:
            return "builtin"
    return "nats"

print(asyncio.run(main(sys.argv[1], sys.argv[2] == "guarded")))
"""


@pytest.mark.parametrize(("mode", "error"), [("bare", "builtin"), ("guarded", "nats")])
async def test_a_fetch_that_times_out_raises_the_error_that_faststream_knows(
    nats_server: Any, mode: str, error: str
) -> None:
    await create_stream(nats_server.url)
    assert await output_of(FETCHES, nats_server.url, mode) == error


# Takes one message of five with a request for three, so that two were asked for ahead, and then goes away.
LEAVES = """
import asyncio, sys
import nats
from uptake import guard

async def main(url):
    guard.install()
    client = await nats.connect(url)
    js = client.jetstream()
    subscription = await js.pull_subscribe("raw.>", durable="d", stream="S")
    [message] = await subscription.fetch(1, timeout=2)
    await message.ack()
    await subscription.unsubscribe()  # the next was asked for, and may be here, on its way, or not yet sent
    await client.close()
    print("left")

asyncio.run(main(sys.argv[1]))
"""


async def test_what_was_asked_for_ahead_is_given_back(nats_server: Any) -> None:
    await create_stream(nats_server.url)
    for number in range(3):
        await publish(nats_server.port, b"raw.a", b"", b"%d" % number)
    assert await output_of(LEAVES, nats_server.url, "guarded") == "left"
    client = await nats.connect(nats_server.url)
    subscription = await client.jetstream().pull_subscribe_bind("d", stream="S")
    left = [(await subscription.fetch(1, timeout=5))[0].data for _ in range(2)]  # not only after 30 s
    assert sorted(left) == [b"1", b"2"]
    await client.close()


# A consumer that goes and comes back, and how much of the CPU the wait for it took.
WAITS = """
import asyncio, sys, time
import nats, nats.errors
from uptake import guard

async def main(url):
    guard.install()
    client = await nats.connect(url)
    js = client.jetstream()
    subscription = await js.pull_subscribe("raw.>", durable="d", stream="S")
    waiting = asyncio.create_task(until(subscription))
    await asyncio.sleep(0.2)
    await js.delete_consumer("S", "d")
    began = time.process_time()
    await asyncio.sleep(2)
    spent = time.process_time() - began
    await js.add_consumer("S", durable_name="d", ack_policy="explicit")
    await js.publish("raw.a", b"back")
    print((await waiting).decode() if spent < 0.4 else spent)
    await client.close()

async def until(subscription):
    while True:
        try:
            return (await subscription.fetch(10, timeout=0.05))[0].data
        except nats.errors.TimeoutError:
            pass

asyncio.run(main(sys.argv[1]))
"""


async def test_a_consumer_that_is_gone_is_waited_for_without_spinning(nats_server: Any) -> None:
    await create_stream(nats_server.url)
    assert await output_of(WAITS, nats_server.url, "guarded") == "back"
