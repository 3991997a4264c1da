"""The metrics service.

In:    USAGE (batches of usage), FACTS (business events).
Out:   KPI (snapshots of closed days and of trials), REFUSED (what cannot be understood), HTTP answers, Prometheus.
Owns:  the PostgreSQL schema `metrics`: activity, facts, published values. Nobody else reads it.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
import structlog
from fastapi import FastAPI
from nats.js import JetStreamContext

from uptake import broker, database, subjects, telemetry
from uptake.clock import utc_now
from uptake.messages.refusals import Refusal
from uptake.reader import Entry, Fenced, Reader
from uptake.serve import serve
from uptake.settings import DatabaseSettings, ServiceSettings, SettingsError
from uptake_metrics import http, meters
from uptake_metrics.board import Board
from uptake_metrics.counting import Counting
from uptake_metrics.exporter import Exporter
from uptake_metrics.publishing import Publisher
from uptake_metrics.register import Register
from uptake_metrics.rezoning import Rezoning
from uptake_metrics.tally import Tally

_log = structlog.get_logger()


class Settings(ServiceSettings, DatabaseSettings):
    """`vendor_zone`: the zone in whose days trials, closure and ACV are told."""

    http_port: int = 8402
    vendor_zone: str = "UTC"


def build(settings: Settings) -> FastAPI:
    """The service as an ASGI app: its lifespan connects, reads and publishes until it ends."""
    engine = database.engine(settings, "uptake-metrics")
    rejects = _Rejects()
    register = Register(engine, settings.vendor_zone, rejects.put)
    counting = Counting(engine, register.zone_of, utc_now, rejects.put)
    tally = Tally(engine, counting)
    board = Board(counting, register, tally, utc_now)
    exporter = Exporter(board)
    answers = http.Answers(engine, counting, register, tally, board, settings.vendor_zone, utc_now)
    health = telemetry.Health()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        client = await broker.connect(settings, "metrics")
        rejects.js = js = client.jetstream()
        facts = Reader(
            client, subjects.FACTS, ["fact.v1.>"], position=register.load, apply=register.apply, refuse=rejects.put
        )
        usage = Reader(
            client,
            subjects.USAGE,
            ["usage.v1.*"],
            position=counting.load,
            apply=counting.apply,
            refuse=rejects.put,
            max_messages=64,  # some tens of milliseconds of decoding between two turns of the loop
        )
        health.add("facts", lambda: facts.reason)
        health.add("usage", lambda: usage.reason)
        rezoning = Rezoning(engine, js, counting, register, utc_now)
        publisher = Publisher(
            engine, counting, register, tally, settings.vendor_zone, utc_now, current_to=lambda: usage.current_to
        )

        async def housekeeping() -> None:
            await counting.turn()
            await counting.compact()
            meters.STATE_BYTES.set(sum(shard.activity.nbytes for shard in counting.shards.values()))

        async def gauges() -> None:
            meters.LAG.labels("FACTS").set(facts.lag)
            meters.LAG.labels("USAGE").set(usage.lag)
            await exporter.render()

        async def read_usage() -> None:
            # An account's zone is mostly known before its first event is counted.
            while not facts.caught_up:  # noqa: ASYNC110  # the reader has no event to wait for, and this ends once
                await asyncio.sleep(0.05)
            await usage.run()

        async def send() -> None:
            await publisher.send(js)

        def loaded() -> bool:
            return bool(counting.positions) and register.position is not None

        chores: tuple[tuple[float, Callable[[], Awaitable[Any]]], ...] = (
            (0.2, board.refresh),
            (0.5, rezoning.run_once),
            (0.5, publisher.evaluate),
            (0.5, send),
            (1, gauges),
            (10, publisher.close_days),
            (10, housekeeping),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(facts.run()), tasks.create_task(read_usage())]
            running += [tasks.create_task(_repeat(period_s, chore, loaded)) for period_s, chore in chores]
            yield
            for task in running:
                task.cancel()
        await client.close()
        await engine.dispose()

    app = http.build(answers, ready=lambda: bool(counting.positions), lifespan=lifespan)
    app.routes.extend(telemetry.routes(health, extra=exporter.text))
    return app


class _Rejects:
    """Puts away to REFUSED what nobody can understand; raises while the broker cannot store it."""

    js: JetStreamContext

    async def put(self, entry: Entry, error: Exception) -> None:
        stream = subjects.FACTS if entry.subject.startswith("fact.") else subjects.USAGE
        meters.REJECTED.labels(stream).inc()
        _log.warning("message refused", subject=entry.subject, sequence=entry.sequence, error=type(error).__name__)
        refusal = Refusal(
            source="metrics",
            reason="not_understood",
            detail=f"{entry.subject} at {entry.sequence} of {stream}: {error}"[:2000],
            refused_at=utc_now(),
            body=base64.b64encode(entry.data).decode(),
            body_is_base64=True,
        )
        subject = subjects.refused(refusal.source, refusal.reason)
        await self.js.publish(subject, refusal.model_dump_json().encode(), timeout=5)


async def _repeat(period_s: float, chore: Callable[[], Awaitable[Any]], loaded: Callable[[], bool]) -> None:
    """Do a chore for ever; what fails is tried again, since every chore takes up what the last one left."""
    while True:
        try:
            if loaded():
                await chore()
            await asyncio.sleep(period_s)
        except Exception as error:
            expected = database.is_unavailable(error) or isinstance(error, nats.errors.Error | Fenced)
            _log.warning("will be tried again", error=type(error).__name__, exc_info=None if expected else error)
            await asyncio.sleep(max(period_s, 1))


def main() -> int:
    """`uptake-metrics` serves; `uptake-metrics migrate` brings the schema up to date and ends."""
    try:
        settings = Settings()
    except SettingsError as error:
        sys.stderr.write(f"uptake-metrics: {error}\n")
        return 2
    telemetry.configure_logging("metrics", settings.log_format)
    if sys.argv[1:] == ["migrate"]:
        database.migrate(settings, "uptake_metrics", "metrics")
    else:
        asyncio.run(serve(build(settings), settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
