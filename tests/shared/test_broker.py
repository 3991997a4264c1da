"""What a process does when the broker is away, slow, or done with it. Ends are seen from outside."""

import asyncio
import re
import signal
import subprocess
import sys
from typing import Any

import nats.errors
import pytest
from nats.js.api import StreamConfig

from uptake import broker
from uptake.settings import BrokerSettings

CONNECT = """
import asyncio, sys
from uptake import broker
from uptake.settings import BrokerSettings

async def main():
    client = await broker.connect(BrokerSettings(nats_url=sys.argv[1]), "test")
    print("connected", flush=True)
    {rest}

asyncio.run(main())
"""
FASTSTREAM = """
import asyncio, sys
from uptake import broker
from uptake.settings import BrokerSettings

async def main():
    client = broker.faststream_broker(BrokerSettings(nats_url=sys.argv[1]), "test")
    await client.start()
    print("connected", flush=True)
    {rest}

asyncio.run(main())
"""
# What the broker answers with -ERR, after which the client closes for good.
PROTOCOL_ERROR = "await {}._send_command(b'NONSENSE\\r\\n'); await {}._flush_pending(); await asyncio.sleep(20)"


async def outcome(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", script, *arguments]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (CONNECT.format(rest=PROTOCOL_ERROR.format("client", "client")), 70),
        (FASTSTREAM.format(rest=PROTOCOL_ERROR.format("client._connection", "client._connection")), 70),
        (CONNECT.format(rest="await client.close()"), 0),
        (CONNECT.format(rest="await client.drain()"), 0),
        (FASTSTREAM.format(rest="await client.stop()"), 0),
    ],
)
async def test_a_connection_that_closes_for_good_ends_the_process_unless_on_purpose(
    nats_server: Any, script: str, code: int
) -> None:
    done = await outcome(script, nats_server.url)
    assert (done.returncode, "connected" in done.stdout) == (code, True), done.stderr


@pytest.mark.parametrize("script", [CONNECT, FASTSTREAM])
async def test_a_refused_password_ends_the_process(
    nats_server_with: Any, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """Its next start reads the secret anew; a client that offers the same one for ever is never cured."""
    server = nats_server_with({"authorization": {"users": [{"user": "u", "password": "right"}]}})
    monkeypatch.setenv("UPTAKE_NATS_USER", "u")
    monkeypatch.setenv("UPTAKE_NATS_PASSWORD", "wrong")
    done = await outcome(script.format(rest="pass"), server.url)
    assert (done.returncode, "connected" in done.stdout) == (70, False), done.stderr


PULLING = """
import asyncio, sys, time
from faststream.nats import JStream, PullSub
from uptake import broker
from uptake.settings import BrokerSettings

async def main():
    client = broker.faststream_broker(BrokerSettings(nats_url=sys.argv[1]), "test")
    got = asyncio.Event()
    pull = PullSub(timeout=0.5)

    @client.subscriber("s", durable="d", stream=JStream("S", declare=False), pull_sub=pull, no_reply=True)
    async def take(body: bytes) -> None:
        got.set()

    await client.start()
    print("connected", flush=True)
    while client._connection.is_connected:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.6)
    cpu = time.process_time()
    await asyncio.sleep(2)
    print("cpu", time.process_time() - cpu, flush=True)
    if sys.argv[2] == "returns":
        await got.wait()
    await client.stop()

asyncio.run(main())
"""


@pytest.mark.parametrize("what", ["returns", "stays away"])
async def test_a_broker_that_is_away_is_waited_for_without_a_fuss(nats_server: Any, what: str) -> None:
    """FastStream's pull loop would spin meanwhile, and then say in a traceback why."""
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await client.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PULLING, nats_server.url, what), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"connected\n"
    nats_server.kill()
    said = []
    while not (said and said[-1].startswith(b"cpu ")):
        said.append(await asyncio.wait_for(process.stdout.readline(), 20))
    assert float(said[-1].split()[1]) < 1
    if what == "returns":
        nats_server.start()
        async with asyncio.timeout(10):
            while not client.is_connected:  # noqa: ASYNC110  # what is waited for happens in a server
                await asyncio.sleep(0.02)
        await client.jetstream().publish("s", b"at last")
    rest, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
    assert b"Traceback" not in b"".join(said) + rest
    await client.close()


async def test_the_caller_may_decide_what_a_closed_connection_means(nats_server: Any) -> None:
    closed = asyncio.Event()

    async def on_closed() -> None:
        closed.set()

    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test", on_closed=on_closed)
    await client._send_command(b"NONSENSE\r\n")
    await client._flush_pending()
    await asyncio.wait_for(closed.wait(), 10)


async def test_nothing_is_sent_later_that_raised_now(nats_server: Any) -> None:
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await client.jetstream().add_stream(StreamConfig(name="S", subjects=["s"]))
    nats_server.kill()
    async with asyncio.timeout(10):
        while client.is_connected:  # noqa: ASYNC110  # what is waited for happens in a server
            await asyncio.sleep(0.02)
    with pytest.raises(nats.errors.OutboundBufferLimitError):
        await client.publish("s", b"lost")
    nats_server.start()
    async with asyncio.timeout(10):
        while not client.is_connected:  # noqa: ASYNC110  # what is waited for happens in a server
            await asyncio.sleep(0.02)
    assert (await client.jetstream().publish("s", b"kept")).seq == 1
    await client.close()


async def test_connecting_waits_for_the_broker(nats_server: Any) -> None:
    nats_server.stop()
    connecting = asyncio.create_task(broker.connect(BrokerSettings(nats_url=nats_server.url), "test"))
    await asyncio.sleep(1.2)
    assert not connecting.done()
    nats_server.start()
    await (await asyncio.wait_for(connecting, 10)).close()


WATCHED = """
import asyncio, os, signal, sys, time
from uptake.broker import Watchdog

async def main():
    with Watchdog(patience_s=1, look_every_s=0.1):
        await asyncio.sleep(0.3)
        print("watched", flush=True)
        {rest}
    print("left", flush=True)

asyncio.run(main())
"""


async def test_a_loop_that_stands_still_ends_the_process_and_shows_where() -> None:
    done = await outcome(WATCHED.format(rest="time.sleep(30)"))
    assert done.returncode == 70
    assert re.search(r"line \d+ in main", done.stderr)


async def test_a_loop_that_lives_is_left_alone() -> None:
    done = await outcome(WATCHED.format(rest="await asyncio.sleep(1.5)"))
    assert (done.returncode, "left" in done.stdout) == (0, True), done.stderr


async def test_a_process_that_was_paused_is_not_to_blame() -> None:
    script = WATCHED.format(rest="await asyncio.sleep(1)")
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(2)
    process.send_signal(signal.SIGCONT)
    output, _ = await process.communicate()
    assert (process.returncode, b"left" in output) == (0, True)
