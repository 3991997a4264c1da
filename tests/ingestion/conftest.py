"""Ingestion as it runs: the real app on a real broker whose streams are provisioned."""

import asyncio
import hashlib
import json
from contextlib import asynccontextmanager

import httpx2
import pytest

from uptake.broker import connect
from uptake.provision import provision
from uptake.settings import BrokerSettings
from uptake_ingestion.app import IngestionSettings, build

KEY = "local-key"


class Ingestion:
    """`send` posts with a good key; `stored` reads a stream back, in order."""

    def __init__(self, http, jetstream):
        self.http, self.jetstream = http, jetstream

    async def send(self, body, path="/v1/events", **options):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, **options)

    async def stored(self, stream):
        last = (await self.jetstream.stream_info(stream)).state.last_seq
        messages = [await self.jetstream.get_msg(stream, number) for number in range(1, last + 1)]
        return [json.loads(message.data) for message in messages]

    async def until(self, condition):
        """Waits until `await condition()` holds."""
        async with asyncio.timeout(60):
            while not await condition():  # noqa: ASYNC110  # asks another process, which sets no event here
                await asyncio.sleep(0.02)

    async def ready(self):
        await self.until(self._is_ready)

    async def _is_ready(self):
        return (await self.http.get("/readyz")).status_code == 200


@pytest.fixture
def keys_file(tmp_path):
    path = tmp_path / "keys"
    path.write_text(json.dumps({"producer": "local", "key_sha256": hashlib.sha256(KEY.encode()).hexdigest()}) + "\n")
    return path


@pytest.fixture
async def broker_client(nats_server):
    """A connection of the test's own to the broker, streams provisioned."""
    client = await connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client.jetstream())
    yield client
    await client.close()


@pytest.fixture
def full(broker_client):
    """`async with full(stream)`: there is no room for a message in it until the block ends."""
    js = broker_client.jetstream()

    @asynccontextmanager
    async def until_left(stream):
        config = (await js.stream_info(stream)).config
        await js.update_stream(config.evolve(max_bytes=1))
        yield
        await js.update_stream(config)

    return until_left


@pytest.fixture
def running(nats_server, keys_file, broker_client):
    """`async with running() as ingestion`: a fresh process, as far as state goes; leave it and it is stopped."""

    @asynccontextmanager
    async def run():
        app = build(IngestionSettings(nats_url=nats_server.url, producer_keys_file=keys_file))
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        headers = {"authorization": f"Bearer {KEY}"}
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://test", headers=headers, timeout=30) as http,
        ):
            ingestion = Ingestion(http, broker_client.jetstream())
            await ingestion.ready()
            yield ingestion

    return run


@pytest.fixture
async def ingestion(running):
    async with running() as started:
        yield started
