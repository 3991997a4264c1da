"""KPI snapshots in, alert events and notices out. Owns the PostgreSQL schema `alerting`.

| in | handler | out |
|---|---|---|
| KPI `kpi.{account,trial,team,instance}.v1` | `Intake.apply` | samples, episodes and events in one transaction |
| a snapshot that is none | `Intake.refuse` | REFUSED `refused.v1.metrics.invalid_snapshot` |
| the clock, every `tick_s`; new rules | `ticker` | the same for limits that have come |
| alerts that ask for a look | `dispatch` | notices, digests, breakers, alerts about alerting itself |
| outbox `alert_event` | `relay` | ALERT `alert.v1.>` |
| outbox `delivery` | `courier` | Slack, e-mail, webhooks, PagerDuty, Alertmanager, apprise |
| the first working morning of the week | `weekly` | a digest of the week for each engineer |
| the clock, every minute | `resending` | open alerts, to Alertmanager again |
| HTTP | `http`, `answers` | `/api/v1/alerts`, `silences`, `breakers`, `oncall`; `/healthz`, `/readyz`, `/metrics` |
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from fastapi import FastAPI
from nats.aio.client import Client
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import broker, config, cursor, database, problems, subjects, telemetry
from uptake.clock import utc_now
from uptake.loops import once
from uptake.messages.alerts import AlertData
from uptake.messages.kpi import AccountDay, InstanceSnapshot, TeamSnapshot, TrialSnapshot
from uptake.reader import Cursor, Entry, Reader
from uptake.refusing import refuse
from uptake.start import start
from uptake_alerting import (
    backtest,
    evaluation,
    http,
    relay,
    resending,
    roster_file,
    rule_file,
    rule_testing,
    server_clock,
    ticker,
    weekly,
)
from uptake_alerting.answers import oncall, slack
from uptake_alerting.conditions import Snapshot
from uptake_alerting.courier import Courier
from uptake_alerting.dispatch import Dispatch, InForce
from uptake_alerting.links import Links
from uptake_alerting.roster_file import RosterFile
from uptake_alerting.routes import FILE, RoutesFile
from uptake_alerting.routes import check as check_routes
from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Rules
from uptake_alerting.senders import new_outlet
from uptake_alerting.server_clock import ServerClock
from uptake_alerting.settings import AlertingSettings
from uptake_alerting.tables import SCHEMA
from uptake_alerting.telemetry import Telemetry

KPI_SUBJECTS = ("kpi.account.v1.*", "kpi.trial.v1.*", "kpi.team.v1", "kpi.instance.v1.*")
_KINDS: dict[str, type[Snapshot]] = {
    "account": AccountDay,
    "trial": TrialSnapshot,
    "team": TeamSnapshot,
    "instance": InstanceSnapshot,
}
READER = "kpi"
BATCH = 500  # snapshots of one transaction

log = structlog.get_logger(__name__)


class Intake:
    """What the reader of KPI needs: where it stands, how a batch takes effect, where a bad snapshot goes."""

    def __init__(self, engine: AsyncEngine, client: Client, rules: RulesFile, told: Telemetry) -> None:
        self._engine, self._client, self._rules, self._told = engine, client, rules, told

    async def position(self) -> Cursor:
        async with self._engine.connect() as connection:
            return await cursor.load(connection, SCHEMA, READER)

    @staticmethod
    def prepare(entries: Sequence[Entry]) -> list[Snapshot | ValidationError]:
        """A third of the work, and none of it needs the database: done while the batch before is written."""
        return [_parsed(entry) for entry in entries]

    async def apply(self, prepared: Sequence[Snapshot | ValidationError], expected: Cursor, new: Cursor) -> None:
        """Raises ValidationError before anything is written; the reader then finds the one bad snapshot."""
        snapshots = list(_all_good(prepared))
        async with self._engine.begin() as connection:
            await cursor.advance(connection, SCHEMA, READER, expected, new)
            await evaluation.take(connection, snapshots, self._rules.current(), await server_clock.read(connection))
        if snapshots:
            self._told.ran("evaluation", utc_now())

    async def refuse(self, entry: Entry, error: Exception) -> None:
        js = self._client.jetstream()
        await refuse(js, "alerting-KPI", entry, error, source="metrics", reason="invalid_snapshot")


def _parsed(entry: Entry) -> Snapshot | ValidationError:
    try:
        return _KINDS[entry.subject.split(".")[1]].model_validate_json(entry.data)
    except ValidationError as error:
        return error


def _all_good(prepared: Sequence[Snapshot | ValidationError]) -> Iterator[Snapshot]:
    for one in prepared:
        if isinstance(one, ValidationError):
            raise one
        yield one


def spare_the_collector() -> None:
    """What is there at start is never garbage, and a batch makes tens of thousands of objects that go with it: looking
    through all of them again and again held up the event loop, and took nearly half the time of an evaluation."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def build(settings: AlertingSettings) -> FastAPI:
    """The service as one ASGI app; its lifespan connects, starts the loops, and ends them."""
    engine = database.engine(settings, "alerting")
    routes = RoutesFile(settings.config_dir / FILE if settings.config_dir else None)
    rules = RulesFile(settings.config_dir / rule_file.FILE if settings.config_dir else None)
    rosters = RosterFile(settings.config_dir / roster_file.FILE if settings.config_dir else None)
    files, clock = (rules, routes, rosters), ServerClock(engine)
    health, told = telemetry.Health(), Telemetry()
    links = Links(settings.public_url, settings.metrics_public_url)

    def in_force() -> InForce:
        return InForce(rules.current().by_name, rosters.current(), routes.current(), settings.digest_at)

    def completed(data: AlertData) -> AlertData:
        return links.added_to(in_force().explained(data, clock()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        for file in files:
            file.write_default()
        client = await broker.connect(settings, "alerting")
        intake = Intake(engine, client, rules, told)
        reader = Reader(
            client,
            subjects.KPI,
            KPI_SUBJECTS,
            position=intake.position,
            prepare=intake.prepare,
            apply=intake.apply,
            refuse=intake.refuse,
            max_messages=BATCH,
            may_be_trimmed=True,  # older days may be lost, the newest comes last: the present is judged rightly
        )
        health.add("config", lambda: config.unsettled(files))
        health.add("reader", lambda: reader.reason)
        told.reader_lag(lambda: reader.lag if reader.ready else None)
        spare_the_collector()
        async with new_outlet() as outlet:
            app.state.outlet = outlet
            courier = Courier(
                engine, routes, outlet, told.attempt, lambda name: rosters.current().by_name.get(name), links
            )
            work: list[Callable[[], Awaitable[None]]] = [
                clock.run,
                reader.run,
                partial(relay.run, engine, client.jetstream(), completed),
                partial(ticker.run, engine, rules, settings.tick_s, lambda at: told.ran("tick", at)),
                Dispatch(engine, in_force, settings.settle_s).run,
                courier.run,
                partial(weekly.run, engine, in_force),
                partial(resending.run, engine, routes, outlet, links),
            ]
            # Nothing is judged or told by files that were never in force; other replicas go on.
            loops = [asyncio.create_task(once(lambda: config.unsettled(files), do)) for do in work]
            try:
                yield
            finally:
                for loop in loops:
                    loop.cancel()
                await asyncio.gather(*loops, return_exceptions=True)
        await client.close()
        await engine.dispose()

    async def metrics() -> list[bytes]:
        now, in_use = clock(), rules.current()
        told.valid("rules", rules.error is None)
        told.valid("routes", routes.error is None)
        await told.rota(rosters, now)
        return [await told.text(engine, in_use, now)]

    app = FastAPI(title="Uptake alerting", docs_url=None, redoc_url=None, lifespan=lifespan)
    problems.install(app)
    app.include_router(http.router(engine, rules, rosters, routes, clock, links, settings.digest_at))
    app.include_router(oncall.router(engine, rosters, routes, clock))
    app.include_router(slack.router(engine, routes, rosters, clock))
    app.router.routes.extend(telemetry.routes(health, extra=metrics))
    return app


def check(place: Path) -> list[str]:
    """What is wrong with the files in a folder, or with a file of rules, each with its line."""
    if place.is_file():
        return config.check(place, Rules)
    return [*rule_file.check(place), *check_routes(place), *roster_file.check(place, utc_now())]


def main() -> int:
    """The console script `uptake-alerting`; `migrate` brings the schema up to date, `check DIR` reads configuration,
    `test FILE` tests rules."""
    tools = {"test": rule_testing.main, "backtest": backtest.main}
    migrate = partial(database.migrate, package="uptake_alerting", schema=SCHEMA)
    return start("alerting", AlertingSettings, build, migrate, check, tools)


if __name__ == "__main__":
    sys.exit(main())
