"""USAGE in, exact counts out: the shards in memory and their checkpoints in PostgreSQL, kept in step.

Owns the shards. Whoever needs memory and database to agree for several steps holds `lock`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import subjects
from uptake.messages.usage import UsageBatch
from uptake.reader import Cursor, Entry
from uptake_metrics import activity_store, archive, mask_store, meters, worklist
from uptake_metrics.activity_store import Position
from uptake_metrics.columns import Columns, decoded
from uptake_metrics.shard import Change, Shard
from uptake_metrics.userdays import EPOCH_DAYS
from uptake_metrics.zones import last_closed_day, to_day, to_number

#: Deltas of a shard are folded into its masks beyond so many of them, or so many user-days in them.
COMPACT_DELTAS, COMPACT_USER_DAYS = 256, 200_000
MAX_DAY = 2**30  # beyond every day that can be stored
_SHARD = {subjects.usage(number): number for number in range(subjects.SHARDS)}

Reject = Callable[[Entry, Exception], Awaitable[None]]


def newest_day(now: datetime) -> int:
    """The newest local day anywhere on earth, in days since 1970."""
    return to_number((now + timedelta(hours=14)).date())


class Counting:
    """All shards of this process. `zone_of` says an account's zone by its facts."""

    def __init__(
        self, engine: AsyncEngine, zone_of: Callable[[str], str], clock: Callable[[], datetime], reject: Reject
    ) -> None:
        self._engine = engine
        self._zone_of = zone_of
        self._clock = clock
        self._reject = reject
        self.lock = asyncio.Lock()
        self.positions: dict[int, Position] = {}
        self.shards: dict[int, Shard] = {}
        self.touched: set[str] = set()  # accounts whose current numbers may have changed; taken by the board

    def shard_of(self, account: str) -> Shard:
        return self.shards[subjects.shard_of(account)]

    def accounts(self) -> Iterator[str]:
        """Every account that ever sent anything."""
        for shard in self.shards.values():
            yield from shard.zones

    @property
    def position(self) -> Cursor:
        """What is counted for certain: all of USAGE up to here."""
        return min((position.cursor for position in self.positions.values()), key=lambda cursor: cursor.sequence)

    async def load(self) -> Cursor:
        """Agree with the database, reading everything again if another writer moved a shard; returns the position."""
        async with self.lock, self._engine.connect() as connection:
            stored = await activity_store.positions(connection)
            if stored != self.positions:
                shards = {number: await self._restore(connection, number) for number in stored}
                self.shards, self.positions = shards, stored
                self.touched.update(self.accounts())
            return self.position

    async def reload(self, number: int) -> None:
        """Read one shard again; the caller holds `lock`."""
        async with self._engine.connect() as connection:
            position = (await activity_store.positions(connection))[number]
            self.shards[number] = await self._restore(connection, number)
        self.positions[number] = position
        self.touched.update(self.shards[number].zones)

    def zone_is_settled(self, account: str, zone: str) -> bool:
        """Whether the account's stored days are in `zone`; so they are when there are none."""
        return self.shard_of(account).zones.get(account, zone) == zone

    async def _restore(self, connection: AsyncConnection, number: int) -> Shard:
        keys, zones = await activity_store.registered(connection, number)
        front = newest_day(self._clock())
        stored = await mask_store.masks(connection, number, front - EPOCH_DAYS, MAX_DAY)
        shard = Shard(number, max(front, archive.newest_day(stored)))  # our clock may be behind the one that counted
        shard.restore(keys, zones, stored)
        return shard

    async def apply(self, entries: Sequence[Entry], _expected: Cursor, new: Cursor) -> None:
        """One transaction: everything these messages change, and the shards' positions."""
        async with self.lock:
            batches = await self._decoded(entries)
            changes: list[Change] = []
            try:
                with meters.COMMIT_SECONDS.time():
                    for number, of_shard in batches.items():
                        changes.append(self.shards[number].absorb(Columns.of(of_shard), self._zone_of))
                    async with self._engine.begin() as connection:
                        positions = await activity_store.advance(connection, self.positions, new)
                        for change in changes:
                            await activity_store.save(connection, change)
                        await self._mark(connection, changes, batches)
            except BaseException:
                for change in reversed(changes):
                    self.shards[change.shard].undo(change)
                raise
            self._settle(changes, positions)

    async def _decoded(self, entries: Iterable[Entry]) -> dict[int, list[UsageBatch]]:
        batches: dict[int, list[UsageBatch]] = defaultdict(list)
        for entry in entries:
            try:
                number = _SHARD[entry.subject]
                # Not so where another shard lagged behind: this one has counted it.
                if entry.sequence > self.positions[number].cursor.sequence:
                    batches[number].append(decoded(entry.data, entry.stored_at))
            except (ValueError, KeyError) as error:  # pydantic's ValidationError is a ValueError
                await self._reject(entry, error)
        return batches

    async def _mark(
        self, connection: AsyncConnection, changes: Sequence[Change], batches: Mapping[int, Sequence[UsageBatch]]
    ) -> None:
        """Put the closed days that changed on the worklist; an open day cannot have been published.

        An account that an import brings is held until the import ends, and no other. All shards at once, for facts mark
        too: two transactions that mark bit by bit would wait for each other.
        """
        changed: dict[str, dict[str, date]] = defaultdict(dict)  # by import, "" for live
        for change in changes:
            imports, zones = _imports(batches[change.shard]), self.shards[change.shard].zones
            for account, number in change.first_day.items():
                day = to_day(number)
                if day <= last_closed_day(self._clock(), zones[account]):
                    for import_id in imports.get(account, {""}):
                        changed[import_id][worklist.account(account)] = day
        for import_id, first_days in sorted(changed.items()):
            await worklist.mark(connection, first_days, import_id)

    def _settle(self, changes: Sequence[Change], positions: dict[int, Position]) -> None:
        self.positions = positions
        for change in changes:
            self.shards[change.shard].settle(change)
            self.touched.update(change.first_day)
            meters.USER_DAYS.inc(len(change.fresh))
            for reason, events in change.not_counted.items():
                meters.NOT_COUNTED.labels(reason).inc(events)
            meters.EVENTS.inc(change.events)

    async def compact(self, *, everything: bool = False) -> None:
        """Fold deltas into masks where there are many of them."""
        async with self._engine.connect() as connection:
            sizes = await mask_store.delta_sizes(connection)
        for number, (deltas, user_days) in sizes.items():
            if everything or deltas >= COMPACT_DELTAS or user_days >= COMPACT_USER_DAYS:
                async with self._engine.begin() as connection:
                    await mask_store.compact(connection, number)

    async def turn(self) -> None:
        """Let the rings follow the calendar; not while a change waits for its commit, which may have to be undone."""
        async with self.lock:
            newest = newest_day(self._clock())
            for shard in self.shards.values():
                if shard.activity.front < newest:
                    shard.activity.advance(newest)
                    self.touched.update(shard.zones)


def _imports(batches: Sequence[UsageBatch]) -> dict[str, set[str]]:
    """Of each account that an import brings: which imports."""
    imports: dict[str, set[str]] = defaultdict(set)
    for batch in batches:
        if batch.import_id:
            for account in set(batch.accounts):
                imports[account].add(batch.import_id)
    return imports
