"""What ingestion needs from the broker, asked anew each time. Repairs nothing: the provisioner and nats-py do."""

import asyncio

import structlog
from nats.aio.client import Client
from nats.errors import Error

from uptake.streams import RAW_CONSUMER
from uptake.subjects import FACTS, RAW, REFUSED, USAGE
from uptake.telemetry import Health
from uptake_ingestion.meters import RAW_PENDING

_LOOK_EVERY_S = 5.0
_log = structlog.get_logger(__name__)


class Needs:
    """The checks behind `/readyz`. A deleted stream or consumer shows here: a ping would not notice."""

    def __init__(self) -> None:
        self._client: Client | None = None

    def attach(self, client: Client) -> None:
        self._client = client

    def register(self, health: Health) -> None:
        health.add("broker", self.broker)
        health.add("streams", self.streams)
        health.add("raw_consumer", self.raw_consumer)

    def broker(self) -> str | None:
        return None if self._client is not None and self._client.is_connected else "not connected"

    async def streams(self) -> str | None:
        if self._client is None:
            return "not connected"
        try:
            for name in (RAW, USAGE, FACTS, REFUSED):
                await self._client.jetstream().stream_info(name)
        except (Error, TimeoutError) as error:
            return f"{name}: {error or 'no answer'}"
        return None

    async def raw_consumer(self) -> str | None:
        if self._client is None:
            return "not connected"
        try:
            info = await self._client.jetstream().consumer_info(RAW, RAW_CONSUMER)
        except (Error, TimeoutError) as error:
            return f"{RAW_CONSUMER} of {RAW}: {error or 'no answer'}"
        RAW_PENDING.set((info.num_pending or 0) + (info.num_ack_pending or 0))
        return None

    async def until_provisioned(self) -> None:
        """Returns when streams and consumer exist: whoever subscribed before would create a consumer of its own."""
        while reason := await self.streams() or await self.raw_consumer():
            _log.info("waiting for the provisioner", reason=reason)
            await asyncio.sleep(1)

    async def watch(self) -> None:
        """Keeps the lag of RAW up to date while nobody asks for readiness."""
        while True:
            await self.raw_consumer()
            await asyncio.sleep(_LOOK_EVERY_S)
