"""What the tests of metrics share: a migrated database, a clock to set, builders, metrics without its broker."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import httpx2
import pytest
from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import broker, database, subjects
from uptake.messages.facts import Fact
from uptake.messages.usage import MAX_BATCH_EVENTS, UsageBatch
from uptake.provision import provision
from uptake.reader import Cursor, Entry, Reader
from uptake.settings import BrokerSettings, DatabaseSettings
from uptake_metrics import http
from uptake_metrics.answers.asking import Asking
from uptake_metrics.attribution import Attribution
from uptake_metrics.board import Board
from uptake_metrics.books import Books
from uptake_metrics.config import Config
from uptake_metrics.counting import Counting
from uptake_metrics.evaluation import Evaluation
from uptake_metrics.publishing import Publisher
from uptake_metrics.rebuilding import Rebuilding
from uptake_metrics.recounting import Recounting
from uptake_metrics.register import Register
from uptake_metrics.rezoning import Rezoning
from uptake_metrics.tables import metadata
from uptake_metrics.tally import Tally

Event = dict[str, Any]
NOW = datetime(2026, 8, 25, 12, 0, tzinfo=UTC)  # the real activity ends in August 2026
STREAM = "stream"


class Clock:
    """Stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **time: float) -> None:
        self.now += timedelta(**time)


def _event(account: str, user: str, at: datetime | str, feature: str = "edit", **other: Any) -> Event:
    """`at` is an instant, or its text; a plain day means noon in UTC. `other`: environment, actor, instance."""
    if isinstance(at, str):
        at = datetime.fromisoformat(f"{at}T12:00:00+00:00" if len(at) == 10 else at)
    return {"account": account, "user": user, "feature": feature, "at": at, **other}


def _batches(events: Iterable[Event], import_id: str | None = None) -> list[tuple[str, bytes]]:
    """What ingestion makes of them: whole batches by shard, in order of arrival, as (subject, data)."""
    of_shard: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        of_shard[subjects.shard_of(event["account"] or event["instance"])].append(event)
    return [
        (subjects.usage(shard), _batch(rows[start : start + MAX_BATCH_EVENTS], import_id).model_dump_json().encode())
        for shard, rows in of_shard.items()
        for start in range(0, len(rows), MAX_BATCH_EVENTS)
    ]


def _batch(rows: Sequence[Event], import_id: str | None = None) -> UsageBatch:
    def column(name: str, default: str | None) -> list[Any] | None:
        return [row.get(name, default) for row in rows] if any(name in row for row in rows) else None

    return UsageBatch(
        id="batch",
        source="demo",
        received_at=0,
        import_id=import_id,
        accounts=[row["account"] for row in rows],
        users=[row["user"] for row in rows],
        features=[row["feature"] for row in rows],
        instants=[(row["at"] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for row in rows],
        environments=column("environment", "production"),
        actors=column("actor", "human"),
        instances=column("instance", None),
    )


def _recount(events: Iterable[Event], day: date, zone: str = "UTC") -> tuple[int, int, int]:
    """DAU, WAU and MAU with plain sets: nothing in common with the engine."""
    seen = {(event["user"], event["at"].astimezone(ZoneInfo(zone)).date()) for event in events}
    return tuple(  # type: ignore[return-value]  # three windows
        len({user for user, on in seen if day - timedelta(days=window) < on <= day}) for window in (1, 7, 30)
    )


def _subject(fact: Fact) -> str:
    return subjects.fact(fact.event.type, fact.source, fact.event.id)


class Facts:
    """Builds business facts with ids of their own, each received a second after the last."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, kind: str, occurred_at: datetime | str = "2026-01-01T00:00:00Z", **fields: Any) -> Fact:
        self.made += 1
        received_at = datetime(2026, 8, 1, tzinfo=UTC) + timedelta(seconds=self.made)
        event = {"id": f"fact-{self.made}", "type": kind, "occurred_at": occurred_at, **fields}
        return Fact.model_validate({"source": "crm", "received_at": received_at, "event": event})


class Metrics:
    """One metrics process over the test's database, fed by hand. Another one is a replica, or the next process."""

    def __init__(self, engine: AsyncEngine, clock: Clock, config_dir: Path | None = None) -> None:
        self.engine, self.clock = engine, clock
        self.config = Config(config_dir)
        self.rejected: list[tuple[Entry, Exception]] = []
        self.register = Register(engine, "UTC", self._reject, clock)
        self.counting = Counting(
            engine,
            self.register.zone_of,
            clock,
            self._reject,
            lambda: self.config.activity,
            self.register.lists,
        )
        self.tally = Tally(engine, self.counting, self.register.links_of)
        self.evaluation = Evaluation(self.register, self.config, clock)
        self.board = Board(self.counting, self.register, self.tally, self.evaluation, clock)
        self.counted_to: datetime | None = None  # where USAGE is counted to; null: to the clock
        self.publisher = Publisher(
            engine,
            self.counting,
            self.register,
            self.tally,
            self.evaluation,
            "UTC",
            clock,
            current_to=lambda: self.counted_to or clock(),
        )

    async def _reject(self, entry: Entry, error: Exception) -> None:
        self.rejected.append((entry, error))

    async def load(self) -> None:
        await self.register.load()
        await self.counting.load()

    async def count(self, *events: Event, import_id: str | None = None) -> None:
        """Usage arrives, all in one checkpoint."""
        await self.take(_batches(events, import_id))

    async def take(self, batches: Sequence[tuple[str, bytes]]) -> None:
        at = await self.counting.load()
        entries = [Entry(at.sequence + n, *batch, self.clock()) for n, batch in enumerate(batches, 1)]
        await self.counting.apply(Counting.prepare(entries), at, Cursor(STREAM, at.sequence + len(entries)))

    async def learn(self, *facts: Fact) -> None:
        """Facts arrive, all in one transaction."""
        at = await self.register.load()
        entries = [
            Entry(at.sequence + n, _subject(fact), fact.model_dump_json(exclude_unset=True).encode(), self.clock())
            for n, fact in enumerate(facts, 1)
        ]
        await self.register.apply(entries, at, Cursor(STREAM, at.sequence + len(entries)))

    async def publish(self) -> None:
        """All the chores that publish, and once more for what they left to do."""
        await self.load()
        await self.publisher.close_days()
        await self.publisher.evaluate()
        await self.publisher.evaluate()

    async def counted(self, account: str, first: date, last: date) -> list[tuple[int, int, int]]:
        """DAU, WAU and MAU of each day."""
        days = [one.counts for one in await self.tally.days(account, first, last)]
        return [(one.dau_30[-1], one.wau, one.mau) if one else (0, 0, 0) for one in days]

    async def rows(self, query: str, **values: Any) -> list[Any]:
        async with self.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(query), values)]

    async def revisions(self, subject: str) -> dict[date, int]:
        """The newest revision of each published day."""
        query = "SELECT day, max(revision) FROM metrics.snapshot WHERE subject = :subject GROUP BY day ORDER BY day"
        return dict(await self.rows(query, subject=subject))


@pytest.fixture(scope="session")
def metrics_database(postgres_server: Any) -> str:
    """One database with the schema of metrics; to empty it takes a twentieth of the time that a new one takes."""
    asyncio.run(_execute(postgres_server.url, "CREATE DATABASE metrics"))
    url = postgres_server.url_of("metrics")
    database.migrate(DatabaseSettings(database_url=SecretStr(url)), "uptake_metrics", "metrics")
    return url


@pytest.fixture
async def metrics_url(metrics_database: str) -> str:
    """The database, as empty as the migration leaves it."""
    tables = ", ".join(table.fullname for table in metadata.sorted_tables)
    await _execute(
        metrics_database,
        f"TRUNCATE {tables} RESTART IDENTITY; INSERT INTO metrics.shard (shard) SELECT generate_series(0, 15);"
        "INSERT INTO metrics.lease (name) SELECT 'usage.' || generate_series(0, 15) UNION ALL SELECT 'lead'",
    )
    return metrics_database


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def engine(metrics_url: str) -> AsyncIterator[AsyncEngine]:
    engine = database.engine(DatabaseSettings(database_url=SecretStr(metrics_url)))
    yield engine
    await engine.dispose()


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def metrics_of(engine: AsyncEngine, clock: Clock) -> Callable[..., Metrics]:
    """A metrics process that has loaded nothing yet; `config_dir` is where its files of policies are."""
    return lambda config_dir=None: Metrics(engine, clock, config_dir)


@pytest.fixture
async def metrics(metrics_of: Callable[[], Metrics]) -> Metrics:
    metrics = metrics_of()
    await metrics.load()
    return metrics


@pytest.fixture
def http_app(clock: Clock) -> Callable[..., Any]:
    """`http_app(metrics, ready=True)`: the HTTP app of a metrics process."""
    return lambda metrics, ready=True: _http_app(metrics, clock, ready)


@pytest.fixture
def asking(http_app: Callable[..., Any]) -> Callable[..., AbstractAsyncContextManager[Callable[..., Any]]]:
    """`async with asking(metrics) as ask`: GETs a path, returns status and answer: of JSON its content, else text."""

    @asynccontextmanager
    async def asking(metrics: Metrics, ready: bool = True) -> AsyncIterator[Callable[..., Any]]:
        transport = httpx2.ASGITransport(http_app(metrics, ready), raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(path: str, **query: Any) -> tuple[int, Any]:
                answer = await client.get(path, params=query or None)
                is_json = "json" in answer.headers["content-type"]
                return answer.status_code, answer.json() if is_json else answer.text

            yield ask

    return asking


def _http_app(metrics: Metrics, clock: Clock, ready: bool) -> Any:
    """The one place of the tests that puts the HTTP app together."""
    asking = Asking(
        metrics.engine,
        metrics.counting,
        metrics.register,
        metrics.tally,
        metrics.board,
        metrics.evaluation,
        "UTC",
        clock,
    )
    books = Books(metrics.engine, metrics.counting)
    rebuilding = Rebuilding(metrics.engine, metrics.counting, metrics.register, lambda: metrics.register, clock)
    return http.build(asking, books, rebuilding, ready=lambda: ready)


@pytest.fixture(scope="session")
def event() -> Callable[..., Event]:
    return _event


@pytest.fixture(scope="session")
def batches() -> Callable[..., list[tuple[str, bytes]]]:
    return _batches


@pytest.fixture(scope="session")
def recount() -> Callable[..., tuple[int, int, int]]:
    return _recount


@pytest.fixture
def fact() -> Facts:
    return Facts()


@pytest.fixture
async def client(nats_server: Any) -> AsyncIterator[Client]:
    """A connection to a broker of the test's own, with the streams provisioned."""
    client = await broker.connect(BrokerSettings(nats_url=nats_server.url), "test")
    await provision(client.jetstream())
    yield client
    await client.close()


@pytest.fixture
def send(client: Client, batches: Callable[..., list[tuple[str, bytes]]]) -> Callable[..., object]:
    """Put usage on USAGE, as ingestion does."""

    async def send(events: Iterable[Event]) -> None:
        for subject, data in batches(events):
            await client.jetstream().publish(subject, data)

    return send


@pytest.fixture
def reading(client: Client) -> Callable[..., AbstractAsyncContextManager[None]]:
    """`async with reading(metrics)`: it reads USAGE as the service does, and has caught up when the block ends."""

    @asynccontextmanager
    async def reading(metrics: Metrics) -> AsyncIterator[None]:
        counting = metrics.counting
        reader = Reader(
            client,
            subjects.USAGE,
            ["usage.v1.*"],
            position=counting.load,
            prepare=counting.prepare,
            apply=counting.apply,
            refuse=metrics._reject,
        )
        task = asyncio.create_task(reader.run())
        try:
            yield
            last = (await client.jetstream().stream_info(subjects.USAGE)).state.last_seq
            async with asyncio.timeout(30):
                while not reader.ready or counting.position.sequence < last:  # noqa: ASYNC110  # a reader sets no event
                    await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return reading


@pytest.fixture
def rezoning_of(client: Client) -> Callable[[Metrics], Rezoning]:
    """The chore of a metrics process that follows changed time zones."""

    def rezoning(metrics: Metrics) -> Rezoning:
        recounting = Recounting(metrics.engine, client.jetstream(), metrics.counting, metrics.clock)
        return Rezoning(metrics.counting, metrics.register, recounting, metrics.clock)

    return rezoning


@pytest.fixture
def attribution_of(client: Client) -> Callable[..., Attribution]:
    """The chore of a metrics process that gives usage of installations to accounts of the shards that it holds."""

    def attribution(metrics: Metrics, shards: Iterable[int] = range(subjects.SHARDS)) -> Attribution:
        recounting = Recounting(metrics.engine, client.jetstream(), metrics.counting, metrics.clock)
        return Attribution(
            metrics.engine, metrics.counting, metrics.register, recounting, metrics.clock, lambda: frozenset(shards)
        )

    return attribution


@pytest.fixture
def now(clock: Clock) -> datetime:
    """The time at which the clock starts."""
    return clock.now


@pytest.fixture
def counting_of(engine: AsyncEngine, clock: Clock) -> Callable[..., Counting]:
    """A metrics process' counting over the test's database; several are several replicas, or one after a restart."""

    async def fail(entry: Entry, error: Exception) -> None:
        raise error

    def make(zone_of: Callable[[str], str] = lambda _: "UTC") -> Counting:
        return Counting(engine, zone_of, clock, fail)

    return make


@pytest.fixture
def feed(clock: Clock) -> Callable[..., object]:
    """Hand batches to counting as the reader would: (counting, batches) from its position on."""

    async def feed(counting: Counting, entries: list[tuple[str, bytes]]) -> None:
        at = await counting.load()
        numbered = [Entry(at.sequence + n, subject, data, clock()) for n, (subject, data) in enumerate(entries, 1)]
        await counting.apply(Counting.prepare(numbered), at, Cursor("stream", numbered[-1].sequence))

    return feed
