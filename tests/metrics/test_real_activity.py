"""The real activity of 24 organisations, counted by metrics and recounted with plain sets: every account, every day."""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import subjects
from uptake.messages.usage import MAX_BATCH_EVENTS, UsageBatch
from uptake_metrics.counting import Counting
from uptake_metrics.tally import Tally

FIRST, LAST = date(2025, 1, 1), date(2025, 12, 31)
DATA = files("uptake_local") / "demo_data" / "oss-activity.ndjson.gz"

Event = dict[str, Any]
Rows = list[tuple[int, int, int, int]]  # DAU, WAU, MAU, 28-day user-days by day


@pytest.fixture(scope="module")
def events() -> list[Event]:
    with DATA.open("rb") as file:
        return [json.loads(line) for line in gzip.open(file)]


@pytest.fixture(scope="module")
def recounted(events: list[Event]) -> dict[str, Rows]:
    """Plain sets of users a day: nothing in common with the engine."""
    seen: dict[str, dict[date, set[str]]] = defaultdict(lambda: defaultdict(set))
    for event in events:
        seen[event["account"]][date.fromisoformat(event["occurred_at"][:10])].add(event["user"])
    return {account: [_recount(days, day) for day in _days(FIRST, LAST)] for account, days in seen.items()}


def _recount(days: dict[date, set[str]], last: date) -> tuple[int, int, int, int]:
    def window(size: int) -> list[set[str]]:
        return [days.get(last - timedelta(days=back), set()) for back in range(size)]

    return (*(len(set().union(*window(size))) for size in (1, 7, 30)), sum(map(len, window(28))))  # type: ignore[return-value]  # three windows and a sum


def _days(first: date, last: date) -> Iterator[date]:
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def _batches(events: list[Event]) -> list[tuple[str, bytes]]:
    """What ingestion makes of them: whole batches by shard, in order of arrival."""
    of_shard: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        of_shard[subjects.shard_of(event["account"])].append(event)
    return [
        (subjects.usage(shard), _batch(rows[start : start + MAX_BATCH_EVENTS]).model_dump_json().encode())
        for shard, rows in of_shard.items()
        for start in range(0, len(rows), MAX_BATCH_EVENTS)
    ]


def _batch(rows: list[Event]) -> UsageBatch:
    return UsageBatch(
        id="batch",
        source="demo",
        received_at=0,
        import_id="job",
        accounts=[row["account"] for row in rows],
        users=[row["user"] for row in rows],
        features=[row["feature"] for row in rows],
        instants=[int(datetime.fromisoformat(row["occurred_at"]).timestamp()) * 1_000_000 for row in rows],
    )


async def _counted(engine: AsyncEngine, counting: Counting, accounts: list[str]) -> dict[str, Rows]:
    tally = Tally(engine, counting)
    counted = {}
    for account in accounts:
        days = [one.counts for one in await tally.days(account, FIRST, LAST)]
        counted[account] = [(one.dau_30[-1], one.wau, one.mau, sum(one.dau_30[2:])) for one in days if one is not None]
    return counted


async def test_every_account_on_every_day_of_2025(
    engine: AsyncEngine,
    counting_of: Callable[[], Counting],
    feed: Any,
    events: list[Event],
    recounted: dict[str, Rows],
) -> None:
    counting = counting_of()
    await feed(counting, _batches(events))
    assert len(recounted) == 24
    assert await _counted(engine, counting, list(recounted)) == recounted


async def test_shuffled_lines_and_a_fifth_of_them_twice_count_the_same(
    engine: AsyncEngine,
    counting_of: Callable[[], Counting],
    feed: Any,
    events: list[Event],
    recounted: dict[str, Rows],
) -> None:
    rng = random.Random(2025)
    lines = events + rng.sample(events, len(events) // 5)
    rng.shuffle(lines)
    counting = counting_of()
    batches = _batches(lines)
    for start in range(0, len(batches), 32):
        await feed(counting, batches[start : start + 32])
        await counting.compact(everything=start % 64 == 0)
    assert await _counted(engine, counting, list(recounted)) == recounted
    restarted = counting_of()
    await restarted.load()
    assert await _counted(engine, restarted, list(recounted)) == recounted


async def test_the_list_behind_a_count_is_as_long_as_the_count(
    engine: AsyncEngine, counting_of: Callable[[], Counting], feed: Any, events: list[Event], now: datetime
) -> None:
    counting = counting_of()
    await feed(counting, _batches(events))
    tally = Tally(engine, counting)
    for account in sorted({event["account"] for event in events}):
        for day in (date(2025, 6, 15), now.astimezone(UTC).date()):
            (tallied,) = await tally.days(account, day, day)
            assert tallied.counts is not None
            lists = [await tally.users(account, day, window, None) for window in ("dau", "wau", "mau")]
            assert [len(users) for users in lists] == [
                tallied.counts.dau_30[-1],
                tallied.counts.wau,
                tallied.counts.mau,
            ]
