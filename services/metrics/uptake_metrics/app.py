"""The metrics service.

In:    USAGE (batches of usage), FACTS (business events).
Out:   KPI (snapshots of closed days and of trials), REFUSED (what cannot be understood), HTTP answers, Prometheus.
Owns:  the PostgreSQL schema `metrics`: activity, facts, published values. Nobody else reads it.
"""

import asyncio
import socket
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from nats.js import JetStreamContext

from uptake import broker, database, subjects, telemetry
from uptake.clock import utc_now
from uptake.loops import log_failure, once
from uptake.messages.fields import TimeZone
from uptake.reader import Entry
from uptake.refusing import refuse
from uptake.settings import DatabaseSettings, Port, ServiceSettings
from uptake.start import start
from uptake_metrics import (
    http,
    installations,
    instance_snapshots,
    instance_store,
    ledger,
    meters,
    not_counted,
    sampling,
)
from uptake_metrics.answers.asking import Asking
from uptake_metrics.attribution import Attribution
from uptake_metrics.board import Board
from uptake_metrics.books import Books
from uptake_metrics.chores import Chore, Chores, unhurried
from uptake_metrics.config import Config, check
from uptake_metrics.counting import Counting
from uptake_metrics.erasure import Erasing
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.exporter import Exporter
from uptake_metrics.heap import Heap
from uptake_metrics.leases import RENEW_EVERY_S, Leases, Tenure
from uptake_metrics.publishing import Publisher
from uptake_metrics.reading import Reading
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.reconfiguring import Reconfiguring
from uptake_metrics.recounting import Recounting
from uptake_metrics.register import Register
from uptake_metrics.rezoning import Rezoning
from uptake_metrics.sales_exporter import SalesExporter
from uptake_metrics.tally import Tally
from uptake_metrics.use_case_gauges import UseCaseGauges

_FOLLOW_EVERY_S = 0.5

_log = structlog.get_logger()


class Settings(ServiceSettings, DatabaseSettings):
    """`vendor_zone`: the zone in whose days trials, closure and ACV are told.

    `config_dir`: the folder of policies.yml, activity.yml and use_cases.yml; without one, what is shipped is in force.
    """

    http_port: Port = 8402
    vendor_zone: TimeZone = "UTC"
    config_dir: Path | None = None


def build(settings: Settings) -> FastAPI:
    """The service as an ASGI app: its lifespan connects, reads and publishes until it ends."""
    service = _Service(settings)
    app = http.build(
        service.asking,
        Books(service.engine, service.counting),
        service.rebuilding,
        ready=lambda: service.board.complete,
        lifespan=service.live,
    )
    app.routes.extend(telemetry.routes(service.health, extra=service.business_numbers))
    return app


class _Service:
    """The parts of the service, wired together once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.config = Config(settings.config_dir)
        self.engine = engine = database.engine(settings, "uptake-metrics")
        self.health = telemetry.Health()
        self.rejects = _Rejects()
        self.leases = Leases(engine, _replica(settings))
        self.register = register = Register(engine, settings.vendor_zone, self.rejects.put)
        self.counting = counting = Counting(
            engine, register.zone_of, utc_now, self.rejects.put, lambda: self.config.activity, register.lists
        )
        self.tally = tally = Tally(engine, counting, register.links_of)
        self.evaluation = evaluation = Evaluation(register, self.config, utc_now)
        self.board = board = Board(counting, register, tally, evaluation, utc_now)
        self.exporter = Exporter(board, lambda: self.leases.shards, UseCaseGauges(tally.features, self.config))
        self.asking = Asking(engine, counting, register, tally, board, evaluation, settings.vendor_zone, utc_now)
        self.sales_exporter = SalesExporter(self.asking.sales, lambda: self.leases.leads)
        self.rebuilding = Rebuilding(
            engine, counting, register, lambda: Register(engine, settings.vendor_zone, self.rejects.put), utc_now
        )
        self.chores = Chores(self._is_loaded)
        self.upkeep = Chores(lambda: True)
        self.heap = Heap()

    async def business_numbers(self) -> list[bytes]:
        """Of accounts, trials and the team, for Prometheus."""
        return [*await self.exporter.text(), await self.sales_exporter.text()]

    @asynccontextmanager
    async def live(self, app: FastAPI) -> AsyncIterator[None]:
        self.config.write_defaults()
        client = await broker.connect(self.settings, "metrics")
        self.rejects.js = client.jetstream()
        reading = Reading(client, self.leases, self.register, self.counting, self.rejects.put)
        self.health.add("config", self.config.unsettled)
        self.health.add("facts", reading.problem_of_facts)
        self.health.add("usage", reading.problem_of_usage)
        self.health.add("broker", lambda: None if client.is_connected else "not connected")
        self.health.add("chores", self.chores.problem)
        self.health.add("replica", self.upkeep.problem)
        self.health.add("board", lambda: None if self.board.complete else "the numbers are being put together")
        async with asyncio.TaskGroup() as tasks:
            tenure = Tenure(self.leases, lambda: client.is_connected)
            work: list[Callable[[], Awaitable[None]]] = [
                partial(self.upkeep.run, tenure.renew, RENEW_EVERY_S),
                partial(self.upkeep.run, self._load, _FOLLOW_EVERY_S),
                reading.run,
                *(partial(self.chores.run, do, every_s) for every_s, do in self._chores(self.rejects.js, reading)),
            ]
            # Nothing is read, leased or judged by a configuration that was never in force; other replicas go on.
            running = [tasks.create_task(once(self.config.unsettled, do)) for do in work]
            yield
            for task in running:
                task.cancel()
        await self._give_up()
        await client.close()
        await self.engine.dispose()

    async def _load(self) -> None:
        """Follow what the other replicas count and learn."""
        await self.register.load()
        await self.counting.load()
        await self.register.read_again(self.counting.take_rewritten())

    async def _give_up(self) -> None:
        """Others need not wait for our silence; if the database is away too, they do."""
        try:
            async with asyncio.timeout(1):
                await self.leases.release()
        except Exception as error:
            log_failure("releasing the leases", error)

    def _is_loaded(self) -> bool:
        return bool(self.counting.positions and self.register.position)

    def _chores(self, js: JetStreamContext, reading: Reading) -> list[tuple[float, Chore]]:
        """What is done besides reading, and how many seconds apart; what can wait does while there is a backlog."""

        def patiently(do: Chore) -> Chore:
            return unhurried(do, lambda: reading.is_behind)

        reconfiguring = Reconfiguring(self.engine, self.config, self.counting, self.register, lambda: reading.shards)
        recounting = Recounting(self.engine, js, self.counting, utc_now)
        rezoning = Rezoning(self.counting, self.register, recounting, utc_now, lambda: reading.shards)
        attribution = Attribution(
            self.engine, self.counting, self.register, recounting, utc_now, lambda: reading.shards
        )
        publisher = Publisher(
            self.engine,
            self.counting,
            self.register,
            self.tally,
            self.evaluation,
            self.settings.vendor_zone,
            utc_now,
            current_to=lambda: reading.current_to,
            shards=lambda: reading.shards,
            may_go_on=lambda: not reading.is_behind,
        )

        erasing = Erasing(self.engine, js, self.counting, self.register, lambda: reading.shards)

        async def erase() -> None:
            await erasing.run_once()

        async def attribute() -> None:
            await attribution.run_once()

        async def send() -> None:
            for _ in range(4):  # in parts: after an outage, readiness is to say soon that it goes on again
                if not (self.leases.leads and await publisher.send(js)):
                    break

        async def refresh() -> None:
            first = not self.board.complete
            await self.board.refresh()
            if first:
                self.heap.tidy()  # the long one, before anybody is told that we are ready

        async def rebuild() -> None:
            await self.rebuilding.run_once(js)

        return [
            (0.5, patiently(refresh)),
            (0.5, rezoning.run_once),
            (0.5, attribute),
            (0.5, erase),
            (0.5, reconfiguring.follow),
            (0.5, patiently(publisher.evaluate)),
            (0.5, send),
            (1, rebuild),
            (1, reading.look_at_facts),
            (10, patiently(publisher.close_days)),
            *self._housekeeping(reading),
        ]

    def _housekeeping(self, reading: Reading) -> list[tuple[float, Chore]]:
        async def gauges() -> None:
            for stream, messages in reading.lag().items():
                meters.LAG.labels(stream).set(messages)
            meters.LEASES.set(len(reading.shards))

        async def tidy() -> None:
            self.heap.tidy()

        async def keep_house() -> None:
            await self.counting.turn()
            await self.counting.compact(reading.shards)
            meters.STATE_BYTES.set(sum(shard.activity.nbytes for shard in self.counting.shards.values()))

        async def books() -> None:
            async with self.engine.begin() as connection:
                if self.leases.leads:
                    await ledger.prune(connection, utc_now())
                    await not_counted.prune(connection, utc_now())
                totals = await ledger.totals(connection)
            for tally in ("accepted", "stored", "processed", "refused"):
                meters.BOOKS.labels(tally).set(getattr(totals, tally))
            meters.BALANCED.set(totals.balanced)

        async def look_at_instances() -> None:
            lines = await installations.lines(self.engine, self.register)
            if self.leases.leads:
                async with self.engine.begin() as connection:
                    await instance_store.prune(connection, utc_now())
                    await instance_snapshots.publish(connection, lines, utc_now())
            meters.UNATTRIBUTED_INSTANCES.set(len(installations.unattributed(lines, utc_now())))
            meters.WAITING_EVENTS.set(sum(line.waiting_events for line in lines))

        return [
            (1, gauges),
            (1, unhurried(tidy, lambda: reading.is_behind)),
            (10, keep_house),
            (30, books),
            (30, look_at_instances),
        ]


def _replica(settings: Settings) -> str:
    """The same after a restart, which then takes its leases back at once; a stray twin is fenced off anyway."""
    return f"{socket.gethostname()}:{settings.http_port or uuid.uuid4().hex}"


class _Rejects:
    """Puts away to REFUSED what nobody can understand; raises while the broker cannot store it."""

    js: JetStreamContext

    async def put(self, entry: Entry, error: Exception) -> None:
        stream = subjects.FACTS if entry.subject.startswith("fact.") else subjects.USAGE
        meters.REJECTED.labels(stream).inc()
        _log.warning("message refused", subject=entry.subject, sequence=entry.sequence, error=type(error).__name__)
        await refuse(self.js, f"metrics-{stream}", entry, error, source="metrics", reason="not_understood")


def main() -> int:
    """The console script `uptake-metrics`; `migrate` brings the schema up to date, `check DIR` reads configuration,
    `sample FILE` makes snapshots for a test of rules."""
    tools = {"sample": sampling.main}
    return start("metrics", Settings, build, lambda s: database.migrate(s, "uptake_metrics", "metrics"), check, tools)


if __name__ == "__main__":
    sys.exit(main())
