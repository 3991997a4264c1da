"""Gives usage that names only an installation to the account that it is mapped to, on its original days, once.

An installation may be mapped before its events come, between them and after, and to another account later: then the
former one loses what only the installation brought, as far as the log of events reaches. Judges no KPI.
"""

from collections.abc import Callable, Collection
from datetime import date, datetime

import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.reader import Fenced
from uptake.subjects import shard_of
from uptake_metrics import instance_store
from uptake_metrics.attributed import Attributed, Row, batches_of
from uptake_metrics.counting import ALL_SHARDS, Counting
from uptake_metrics.recounting import Recounting
from uptake_metrics.register import Register

AT_ONCE = 5_000  # rows a checkpoint

_log = structlog.get_logger()


class Attribution:
    """Works for the shards of accounts; the installation's own shard may be another process'."""

    def __init__(
        self,
        engine: AsyncEngine,
        js: JetStreamContext,
        counting: Counting,
        register: Register,
        clock: Callable[[], datetime],
        shards: Callable[[], Collection[int]] = lambda: ALL_SHARDS,
    ) -> None:
        """`shards`: those whose accounts are this process' to give usage to, and to take it from."""
        self._engine = engine
        self._counting = counting
        self._register = register
        self._recounting = Recounting(engine, js, counting, clock)
        self._clock = clock
        self._shards = shards
        self._settled_at: object = None

    async def run_once(self) -> int:
        """Take back what belongs to another account by now, and give what waits; returns how many events were given."""
        here = (self._register.position, self._counting.positions, frozenset(self._shards()))
        if here == self._settled_at:
            return 0  # no fact and no usage has come since all was given
        wanted = self._wanted()  # before anything is taken back: what is given fits what was left
        await self._take_back()
        given = 0
        while rows := await self._waiting(wanted):
            for number in sorted({shard_of(pair.account) for _, pair in rows}):
                of_shard = [(row, pair) for row, pair in rows if shard_of(pair.account) == number]
                await self._give(number, of_shard)
                given += len(of_shard)
        self._settled_at = here
        return given

    def _wanted(self) -> dict[str, Attributed]:
        """By installation: whose its events are, of the accounts that are ours."""
        shards = frozenset(self._shards())
        return {
            instance: Attributed(instance, mapped.account, mapped.environment)
            for instance, mapped in self._register.instances.mapped.items()
            if shard_of(mapped.account) in shards
        }

    async def _take_back(self) -> None:
        """An installation is another account's now, or its events count in another environment."""
        async with self._engine.connect() as connection:
            given = await instance_store.attributions(connection)
        for number in sorted(set(self._shards()) & given.keys()):
            for pair in given[number]:
                now = self._register.instances.mapped.get(pair.instance)
                if now and (now.account, now.environment) != (pair.account, pair.environment):
                    await self._release(number, pair, now.account)

    async def _release(self, number: int, pair: Attributed, now: str) -> None:
        """In one transaction its rows wait again and the account is recounted without them."""

        async def before(connection: AsyncConnection) -> None:
            if not await instance_store.release(connection, pair):
                raise Fenced("another metrics process took these events back")

        async def after(connection: AsyncConnection, account: str, kept_until: date | None) -> None:
            await instance_store.record_release(connection, pair, now, self._clock(), kept_until)

        zone = self._counting.shards[number].zones[pair.account]
        await self._recounting.run(number, {pair.account: zone}, after, before)
        _log.info("an installation is mapped to another account", instance=pair.instance, was=pair.account, now=now)

    async def _waiting(self, wanted: dict[str, Attributed]) -> list[tuple[Row, Attributed]]:
        if not wanted:
            return []
        async with self._engine.connect() as connection:
            rows = await instance_store.waiting(connection, sorted(wanted), AT_ONCE)
        return [(row, wanted[row.instance]) for row in rows]

    async def _give(self, number: int, rows: list[tuple[Row, Attributed]]) -> None:
        async def note(connection: AsyncConnection) -> None:
            if not await instance_store.attribute(connection, rows, number, self._clock()):
                raise Fenced("another metrics process gave these events to somebody")

        await self._counting.take_in(number, batches_of(rows), note)
