"""From a stored million of users to counts that are ready: what metrics does when it starts. No broker, no process."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from uptake import database
from uptake.settings import DatabaseSettings
from uptake_metrics import activity_store, mask_store
from uptake_metrics.activity_store import Position
from uptake_metrics.counting import Counting
from uptake_metrics.shard import Change
from uptake_metrics.userdays import UserDays

from . import servers
from .engine_rows import SCALES, Population, Recount
from .engine_scene import WrongCounts
from .engine_stored import DAYS, Stored, stored
from .frame import Contestant, Measure, Size

NAMES = ("restart",)
FRONT = int(DAYS[-1])


def measures(size: Size) -> Iterator[Measure]:
    population = Population(SCALES[size])
    recount = Recount(population)
    recount.add(population.history)
    with ExitStack() as stack:
        server = stack.enter_context(servers.postgres(stack.enter_context(servers.folder()) / "data"))
        url = server.url(stack.enter_context(server.database()))
        asyncio.run(_fill(url, stored(population)))
        yield Measure(
            NAMES[0],
            "restart, from stored to ready",
            "s",
            False,
            Contestant("uptake", lambda: asyncio.run(_load_s(url, recount))),
            limit=3.0,
        )


async def _load_s(url: str, recount: Recount) -> float:
    engine = _engine(url)
    counting = Counting(engine, lambda _: "UTC", _now, _refuse)
    began = time.perf_counter()
    await counting.load()
    took_s = time.perf_counter() - began
    await engine.dispose()
    found = [_counts(counting, f"account-{account:05}") for account in recount.accounts]
    if found != recount.counts(FRONT):
        raise WrongCounts(f"{found}, not {recount.counts(FRONT)}")
    return took_s


def _counts(counting: Counting, account: str) -> tuple[int, int, int]:
    shard = counting.shard_of(account)
    series = shard.total(account)
    assert series is not None
    found = shard.activity.history(series, FRONT, FRONT)
    return int(found.dau[0]), int(found.wau[0]), int(found.mau[0])


async def _fill(url: str, shards: list[Stored]) -> None:
    engine = _engine(url)
    for number, shard in enumerate(shards):
        async with engine.begin() as connection:
            position = (await activity_store.standings(connection))[number].position
            await activity_store.save(connection, [_change(number, shard)], {number: Position(position.cursor, 0)})
            await mask_store.store_masks(connection, number, shard.masks)
    await engine.dispose()


def _change(number: int, shard: Stored) -> Change:
    return Change(
        shard=number,
        fresh=UserDays(shard.masks.series[:0], shard.masks.user[:0], shard.masks.epoch[:0]),
        new_series=dict(enumerate(shard.keys)),
        new_zones=shard.zones,
        people=set(),
        events=0,
        first_day={},
        hours={},
    )


def _engine(url: str) -> AsyncEngine:
    return database.engine(DatabaseSettings(database_url=SecretStr(url)))


def _now() -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=FRONT)


async def _refuse(entry: Any, error: Exception) -> None:
    raise error
