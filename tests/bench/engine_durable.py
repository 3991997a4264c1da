"""Window updates that are on the disk: checkpoints of metrics beside rows and bitmaps that sync as well."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

import numpy as np
from pydantic import SecretStr

from uptake import database
from uptake.reader import Cursor
from uptake.settings import DatabaseSettings
from uptake_metrics import activity_store, ledger
from uptake_metrics.activity_store import Position
from uptake_metrics.ledger import Taken
from uptake_metrics.shard import Change, HourCounts
from uptake_metrics.userdays import UserDays

from . import servers
from .engine_columnar import ClickHouse
from .engine_ours import Ours
from .engine_rows import SCALES, Population
from .engine_scene import Scene, contestant
from .engine_stores import PostgresRows
from .frame import Contestant, Measure, Size

NAMES = ("durable_update", "durable_update_steady")
AT_LEAST = {"PostgreSQL rows": 15.0, "ClickHouse bitmaps": 1.5}
SHARD, HOUR = 0, 480_000  # the hour in which all of it was received


class OursDurable(Ours):
    """One checkpoint a batch, in the tables of metrics and fenced by its position: fresh user-days, and the books."""

    def __init__(self, population: Population, front: int, url: str) -> None:
        super().__init__(population, front)
        self._runner = asyncio.Runner()
        self._engine = database.engine(DatabaseSettings(database_url=SecretStr(url)))
        self._position = self._runner.run(self._stored())

    async def _stored(self) -> Position:
        async with self._engine.connect() as connection:
            return (await activity_store.standings(connection))[SHARD].position

    def update(self, batches: list[UserDays]) -> None:
        self._runner.run(self._update(batches))

    async def _update(self, batches: list[UserDays]) -> None:
        for batch in batches:
            await self._commit(self._change(batch), Taken())

    def _change(self, batch: UserDays) -> Change:
        fresh = self.add(batch)
        events = np.bincount(batch.series).astype(np.int32)
        series = np.flatnonzero(events).astype(np.int32)
        return Change(
            shard=SHARD,
            fresh=UserDays(fresh.series, fresh.user, fresh.day),
            new_series={},
            new_zones={},
            people=set(),  # columns carry no names
            events=len(batch),
            first_day={},
            hours={HOUR: HourCounts(series, events[series])},
        )

    async def _commit(self, change: Change, taken: Taken) -> None:
        taken.stored[SHARD, HOUR] += change.events
        new = Cursor("bench", self._position.cursor.sequence + 1)
        async with self._engine.begin() as connection:
            positions = await activity_store.advance(connection, {SHARD: self._position}, new)
            await activity_store.save(connection, [change], positions)
            await ledger.save(connection, [change], {SHARD: positions[SHARD].checkpoint}, taken)
        self._position = positions[SHARD]

    def close(self) -> None:
        self._runner.run(self._engine.dispose())
        self._runner.close()


def measures(size: Size) -> Iterator[Measure]:
    with ExitStack() as stack:
        scene = Scene(Population(SCALES[size]))
        server = stack.enter_context(servers.postgres(stack.enter_context(servers.folder()) / "data"))
        name = stack.enter_context(server.database())
        ours = stack.enter_context(closing(OursDurable(scene.population, scene.front, server.url(name))))
        ours.load(scene.population.history)
        peers = {name: scene.entered(stack, start) for name, start in _peers(server).items()}
        for name, title, slices in (
            (NAMES[0], "durable window update, the next day", scene.next_day),
            (NAMES[1], "durable window update, steady", scene.steady),
        ):
            run_of = partial(scene.updating, slices=slices)
            contestants = tuple(contestant(who, peer, run_of, AT_LEAST[who]) for who, peer in peers.items())
            yield Measure(name, title, "M events/s", True, Contestant(ours.name, run_of(ours)), contestants)
            scene.end_slices()


def _peers(server: servers.Postgres) -> Mapping[str, Callable[[ExitStack], Any]]:
    def postgres(stack: ExitStack) -> PostgresRows:
        return stack.enter_context(closing(PostgresRows(server.dsn(), durable=True)))

    def clickhouse(stack: ExitStack) -> ClickHouse:
        return stack.enter_context(closing(ClickHouse(stack.enter_context(servers.folder()), durable=True)))

    return dict(zip(AT_LEAST, (postgres, clickhouse), strict=True))
