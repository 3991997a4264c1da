"""The process itself: answers before the broker is there, and ends cleanly."""

import asyncio
import json
import os
import signal
import sys

import httpx2
import pytest

from uptake.broker import connect
from uptake.provision import provision
from uptake.settings import BrokerSettings

BEAT = {"id": "h1", "type": "instance.heartbeat", "occurred_at": "2026-01-05T10:00:00Z", "instance": "i1"}


@pytest.fixture
async def process(nats_server, keys_file, free_port):
    nats_server.stop()
    port = free_port()
    environment = {
        "UPTAKE_NATS_URL": nats_server.url,
        "UPTAKE_HTTP_PORT": str(port),
        "UPTAKE_PRODUCER_KEYS_FILE": str(keys_file),
    }
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "uptake_ingestion.app", env=os.environ | environment, stdout=asyncio.subprocess.DEVNULL
    )
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        yield program, http
    if program.returncode is None:
        program.kill()
        await program.wait()


async def answers(http, path, status):
    async with asyncio.timeout(20):
        while True:
            try:
                response = await http.get(path)
                if response.status_code == status:
                    return response
            except httpx2.TransportError:
                pass
            await asyncio.sleep(0.05)


async def test_it_waits_for_broker_and_streams_serves_and_ends_with_0(process, nats_server):
    program, http = process
    await answers(http, "/healthz", 200)
    headers = {"authorization": "Bearer local-key"}
    response = await http.post("/v1/events", json=[BEAT], headers=headers)
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")

    nats_server.start()
    client = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await answers(http, "/readyz", 503)
    await provision(client.jetstream())
    await client.jetstream().publish("raw.v1.crm.heartbeat", json.dumps(BEAT).encode())
    await answers(http, "/readyz", 200)
    response = await http.post("/v1/events", json=[BEAT], headers=headers)
    assert response.json()["accepted"] == 1

    async def taken():
        return (await client.jetstream().stream_info("FACTS")).state.messages == 2  # of two sources

    async with asyncio.timeout(20):
        while not await taken():  # noqa: ASYNC110  # asks another process, which sets no event here
            await asyncio.sleep(0.05)
    await client.close()
    program.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await program.wait() == 0
