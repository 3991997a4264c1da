"""Ingestion: events in over HTTP and NATS; usage batches, facts and refusals out. Owns nothing but its limits.

| in                                        | out                                                              |
|-------------------------------------------|------------------------------------------------------------------|
| POST /v1/events, RAW `raw.v1.<producer>.>` | USAGE `usage.v1.<shard>`, FACTS `fact.v1.<type>.<key>`, REFUSED |
| POST /v1/imports, .../{id}/finish         | FACTS `fact.v1.import.started.<key>`, `...finished.<key>`        |

It keeps no state and never touches PostgreSQL: what is stored is stored in the broker.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import stamina
import structlog
from faststream.nats import NatsBroker
from nats.errors import Error
from starlette.applications import Starlette

from uptake.broker import faststream_broker
from uptake.settings import Port, ServiceSettings
from uptake.start import start
from uptake.telemetry import Health, routes
from uptake_ingestion.body import Budget
from uptake_ingestion.http import EXCEPTION_HANDLERS, HttpDoor
from uptake_ingestion.keys import KeyRing
from uptake_ingestion.publishing import Publisher
from uptake_ingestion.raw_door import RawDoor
from uptake_ingestion.readiness import Needs
from uptake_ingestion.reception import Reception

_log = structlog.get_logger(__name__)


class IngestionSettings(ServiceSettings):
    http_port: Port = 8401
    producer_keys_file: Path | None = None  # JSON lines {"producer", "key_sha256"}; without it HTTP lets nobody in


def build(settings: IngestionSettings) -> Starlette:
    """The ASGI app. It answers at once, with 503 until the broker is there."""
    publisher, needs, health = Publisher(), Needs(), Health()
    needs.register(health)
    health.add("store", publisher.problem)
    reception = Reception(publisher)
    http = HttpDoor(reception, KeyRing(settings.producer_keys_file), Budget())
    broker = faststream_broker(settings, "ingestion")
    RawDoor(reception).attach(broker)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        taking = asyncio.create_task(_take(broker, publisher, needs))
        taking.add_done_callback(_tell_if_broken)
        health.add("raw_door", lambda: "takes no more messages: see the log" if taking.done() else None)
        gc.freeze()  # modules and classes are never garbage: to walk them holds up the loop for a tenth of a second
        yield
        taking.cancel()
        await broker.stop()

    return Starlette(routes=[*http.routes(), *routes(health)], exception_handlers=EXCEPTION_HANDLERS, lifespan=lifespan)


async def _take(broker: NatsBroker, publisher: Publisher, needs: Needs) -> None:
    """In the background, so that HTTP can say 503 while the broker is away."""
    client = await broker.connect()
    publisher.attach(client)
    needs.attach(client)
    await needs.until_provisioned()
    async for attempt in stamina.retry_context(on=(Error, TimeoutError), attempts=None, timeout=None):
        with attempt:
            await broker.start()
    await needs.watch()


def _tell_if_broken(taking: asyncio.Task[None]) -> None:
    if not taking.cancelled() and (error := taking.exception()):
        _log.critical("the NATS door is broken", exc_info=error)


def main() -> int:
    """The console script `uptake-ingestion`."""
    return start("ingestion", IngestionSettings, build)


if __name__ == "__main__":
    sys.exit(main())
