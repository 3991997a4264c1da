"""The metrics service.

In:    USAGE (batches of usage), FACTS (business events).
Out:   KPI (snapshots of closed days and of trials), REFUSED (what cannot be understood), HTTP answers, Prometheus.
Owns:  the PostgreSQL schema `metrics`: activity, facts, published values. Nobody else reads it.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import structlog
from fastapi import FastAPI
from nats.aio.client import Client
from nats.js import JetStreamContext

from uptake import broker, database, subjects, telemetry
from uptake.clock import utc_now
from uptake.loops import forever
from uptake.messages.events import TimeZone
from uptake.reader import Entry, Fenced, Reader
from uptake.refusing import refuse
from uptake.settings import DatabaseSettings, Port, ServiceSettings
from uptake.start import start
from uptake_metrics import http, meters
from uptake_metrics.board import Board
from uptake_metrics.counting import Counting
from uptake_metrics.exporter import Exporter
from uptake_metrics.publishing import Publisher
from uptake_metrics.register import Register
from uptake_metrics.rezoning import Rezoning
from uptake_metrics.tally import Tally

Chore = Callable[[], Coroutine[Any, Any, Any]]

_log = structlog.get_logger()


class Settings(ServiceSettings, DatabaseSettings):
    """`vendor_zone`: the zone in whose days trials, closure and ACV are told."""

    http_port: Port = 8402
    vendor_zone: TimeZone = "UTC"


def build(settings: Settings) -> FastAPI:
    """The service as an ASGI app: its lifespan connects, reads and publishes until it ends."""
    service = _Service(settings)
    app = http.build(service.answers, ready=lambda: service.board.complete, lifespan=service.live)
    app.routes.extend(telemetry.routes(service.health, extra=service.exporter.text))
    return app


class _Service:
    """The parts of the service, wired together once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.engine = engine = database.engine(settings, "uptake-metrics")
        self.health = telemetry.Health()
        self.rejects = _Rejects()
        self.register = register = Register(engine, settings.vendor_zone, self.rejects.put)
        self.counting = counting = Counting(engine, register.zone_of, utc_now, self.rejects.put)
        self.tally = tally = Tally(engine, counting)
        self.board = board = Board(counting, register, tally, utc_now)
        self.exporter = Exporter(board)
        self.answers = http.Answers(engine, counting, register, tally, board, settings.vendor_zone, utc_now)

    @asynccontextmanager
    async def live(self, app: FastAPI) -> AsyncIterator[None]:
        client = await broker.connect(self.settings, "metrics")
        self.rejects.js = client.jetstream()
        facts, usage = self._readers(client)
        self.health.add("facts", lambda: facts.reason)
        self.health.add("usage", lambda: usage.reason)
        self.health.add("board", lambda: None if self.board.complete else "the numbers are being put together")
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(facts.run()), tasks.create_task(_after(facts, usage))]
            for every_s, do in self._chores(self.rejects.js, facts, usage):
                running.append(tasks.create_task(forever(do.__name__, partial(self._when_loaded, do, every_s))))
            yield
            for task in running:
                task.cancel()
        await client.close()
        await self.engine.dispose()

    def _readers(self, client: Client) -> tuple[Reader, Reader]:
        register, counting, refuse = self.register, self.counting, self.rejects.put
        facts = Reader(
            client, subjects.FACTS, ["fact.v1.>"], position=register.load, apply=register.apply, refuse=refuse
        )
        usage = Reader(
            client,
            subjects.USAGE,
            ["usage.v1.*"],
            position=counting.load,
            apply=counting.apply,
            refuse=refuse,
            max_messages=64,  # some tens of milliseconds of decoding between two turns of the loop
        )
        return facts, usage

    def _chores(self, js: JetStreamContext, facts: Reader, usage: Reader) -> list[tuple[float, Chore]]:
        """What is done besides reading, and how many seconds apart."""
        rezoning = Rezoning(self.engine, js, self.counting, self.register, utc_now)
        publisher = Publisher(
            self.engine,
            self.counting,
            self.register,
            self.tally,
            self.settings.vendor_zone,
            utc_now,
            current_to=lambda: usage.current_to,
        )

        async def send() -> None:
            while await publisher.send(js):
                pass

        async def gauges() -> None:
            meters.LAG.labels("FACTS").set(facts.lag)
            meters.LAG.labels("USAGE").set(usage.lag)
            if self.board.complete:
                await self.exporter.render()

        return [
            (0.2, self.board.refresh),
            (0.5, rezoning.run_once),
            (0.5, publisher.evaluate),
            (0.5, send),
            (1, gauges),
            (10, publisher.close_days),
            (10, self._keep_house),
        ]

    async def _keep_house(self) -> None:
        await self.counting.turn()
        await self.counting.compact()
        meters.STATE_BYTES.set(sum(shard.activity.nbytes for shard in self.counting.shards.values()))

    async def _when_loaded(self, do: Chore, every_s: float) -> float:
        if self.counting.positions and self.register.position:
            try:
                await do()
            except Fenced as error:  # the readers find out where the other process is, and load from there
                _log.info("another process was here", reason=str(error))
        return every_s


async def _after(facts: Reader, usage: Reader) -> None:
    """Usage is read once facts are: most accounts' zones are known before their first event is counted."""
    while not facts.caught_up:  # noqa: ASYNC110  # the reader has no event to wait for, and this ends once
        await asyncio.sleep(0.05)
    await usage.run()


class _Rejects:
    """Puts away to REFUSED what nobody can understand; raises while the broker cannot store it."""

    js: JetStreamContext

    async def put(self, entry: Entry, error: Exception) -> None:
        stream = subjects.FACTS if entry.subject.startswith("fact.") else subjects.USAGE
        meters.REJECTED.labels(stream).inc()
        _log.warning("message refused", subject=entry.subject, sequence=entry.sequence, error=type(error).__name__)
        await refuse(self.js, f"metrics-{stream}", entry, error, source="metrics", reason="not_understood")


def main() -> int:
    """The console script `uptake-metrics`; `migrate` brings the schema up to date."""
    return start("metrics", Settings, build, lambda s: database.migrate(s, "uptake_metrics", "metrics"))


if __name__ == "__main__":
    sys.exit(main())
