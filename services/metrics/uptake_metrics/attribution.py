"""Gives usage that names only an installation to the account that it is mapped to, on its original days, once.

An installation may be mapped before its events come, between them and after, and to another account later: then the
former one loses what only the installation brought, as far as the log of events reaches. Judges no KPI.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.reader import Fenced
from uptake.subjects import shard_of
from uptake_metrics import instance_store
from uptake_metrics.attributed import Attributed, Row, batches_of
from uptake_metrics.counting import ALL_SHARDS, Counting
from uptake_metrics.instances import Mapped
from uptake_metrics.ordering import in_turns
from uptake_metrics.recounting import Recounting
from uptake_metrics.register import Register
from uptake_metrics.zones import DAY, day_start

AT_ONCE = 2_000  # rows a checkpoint: more would hold up the event loop
_LOOK_AGAIN = timedelta(minutes=1)

_log = structlog.get_logger()


class Attribution:
    """Works for the shards of accounts; the installation's own shard may be another process'."""

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        recounting: Recounting,
        clock: Callable[[], datetime],
        shards: Callable[[], Collection[int]] = lambda: ALL_SHARDS,
    ) -> None:
        """`shards`: those whose accounts are this process' to give usage to, and to take it from."""
        self._engine = engine
        self._counting = counting
        self._register = register
        self._recounting = recounting
        self._clock = clock
        self._shards = shards
        self._settled_at: object = None
        self._looked: tuple[object, frozenset[int], datetime] | None = (
            None  # for what to take back: as of what, and when
        )

    async def run_once(self) -> int:
        """Take back what belongs to another account by now, and give what waits; returns how many events were given."""
        instances, shards = self._register.instances, frozenset(self._shards())
        mappings, mapped = instances.mappings, dict(instances.mapped)
        here = mappings, self._counting.positions, shards
        if here == self._settled_at:
            return 0  # no mapping and no usage has come since all was given
        await self._take_back(mappings, shards)
        wanted = await self._wanted(mapped, shards)  # by what held before: what is given fits what was left
        given = 0
        while rows := await self._waiting(wanted):
            for number in sorted({shard_of(pair.account) for _, pair in rows}):
                of_shard = [(row, pair) for row, pair in rows if shard_of(pair.account) == number]
                await self._give(number, of_shard)
                given += len(of_shard)
        self._settled_at = here
        return given

    async def _wanted(self, mapped: Mapping[str, Mapped], shards: Collection[int]) -> dict[str, Attributed]:
        """By installation of which anything waits: whose it is, of the accounts that are ours."""
        async with self._engine.connect() as connection:
            waiting = await instance_store.waiting_instances(connection)
        found = ((instance, mapped[instance]) async for instance in in_turns(waiting) if instance in mapped)
        return {
            instance: Attributed(instance, now.account, now.environment)
            async for instance, now in found
            if shard_of(now.account) in shards
        }

    async def _take_back(self, mappings: object, shards: frozenset[int]) -> None:
        """An installation is another account's now, or its events count in another environment.

        Looked for when a mapping has changed; now and then in any case, since a process that had the shard before us
        may have given by an older mapping after our look.
        """
        now = self._clock()
        if self._looked and self._looked[:2] == (mappings, shards) and now - self._looked[2] < _LOOK_AGAIN:
            return
        async with self._engine.connect() as connection:
            given = instance_store.attributions(connection, shards)
            wrong = [(number, pair) async for number, pair in given if self._owner_other_than(pair)]
        for number, pair in wrong:
            if owner := self._owner_other_than(pair):
                await self._release(number, pair, owner)
        self._looked = mappings, shards, now

    def _owner_other_than(self, pair: Attributed) -> str | None:
        now = self._register.instances.mapped.get(pair.instance)
        return now.account if now and (now.account, now.environment) != (pair.account, pair.environment) else None

    async def _release(self, number: int, pair: Attributed, now: str) -> None:
        """In one transaction its rows wait again and the account is recounted without them.

        Not those of the days that the log no longer tells of: these days stay the account's as they were, so that what
        the rows brought must not count for another account too.
        """

        async def before(connection: AsyncConnection, kept_until: Mapping[str, date | None]) -> None:
            kept = kept_until[pair.account]
            if not await instance_store.release(connection, pair, day_start(kept + DAY, zone) if kept else None):
                raise Fenced("another metrics process took these events back")

        async def after(connection: AsyncConnection, account: str, kept_until: date | None) -> None:
            await instance_store.record_release(connection, pair, now, self._clock(), kept_until)

        zone = self._counting.shards[number].zones[pair.account]
        await self._recounting.run(number, {pair.account: zone}, after, before)
        _log.info("an installation is mapped to another account", instance=pair.instance, was=pair.account, now=now)

    async def _waiting(self, wanted: Mapping[str, Attributed]) -> list[tuple[Row, Attributed]]:
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
