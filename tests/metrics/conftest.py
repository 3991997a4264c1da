"""What the tests of metrics share: a migrated database, and counting over it without a broker."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import database
from uptake.reader import Cursor, Entry
from uptake.settings import DatabaseSettings
from uptake_metrics.counting import Counting


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    settings = DatabaseSettings(database_url=SecretStr(database_url))
    await asyncio.to_thread(database.migrate, settings, "uptake_metrics", "metrics")
    engine = database.engine(settings)
    yield engine
    await engine.dispose()


@pytest.fixture
def now() -> datetime:
    """The clock of these tests; the real activity ends in August 2026."""
    return datetime(2026, 8, 25, 12, 0, tzinfo=UTC)


@pytest.fixture
def counting_of(engine: AsyncEngine, now: datetime) -> Callable[..., Counting]:
    """A metrics process' counting over the test's database; several are several replicas, or one after a restart."""

    async def fail(entry: Entry, error: Exception) -> None:
        raise error

    def make(zone_of: Callable[[str], str] = lambda _: "UTC") -> Counting:
        return Counting(engine, zone_of, lambda: now, fail)

    return make


@pytest.fixture
def feed() -> Callable[..., object]:
    """Hand batches to counting as the reader would: (counting, batches) from its position on."""

    async def feed(counting: Counting, entries: list[tuple[str, bytes]]) -> None:
        at = await counting.load()
        first = at.sequence + 1
        numbered = [
            Entry(first + offset, subject, data, datetime(2026, 1, 1, tzinfo=UTC))
            for offset, (subject, data) in enumerate(entries)
        ]
        await counting.apply(numbered, at, Cursor("stream", numbered[-1].sequence))

    return feed
