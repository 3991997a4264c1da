"""USAGE in, exact counts out: the shards in memory and their checkpoints in PostgreSQL, kept in step.

Owns the shards: all of them, whichever of them this process reads; the others follow what their readers store. Whoever
needs memory and database to agree for several steps holds `lock`.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import subjects
from uptake.reader import Cursor, Entry, Fenced
from uptake_metrics import (
    activity_store,
    archive,
    erasure_store,
    ledger,
    mask_store,
    meters,
    not_counted,
    usage_log,
    worklist,
)
from uptake_metrics.activity import ActivityPolicy, shipped
from uptake_metrics.activity_store import Position, Standing
from uptake_metrics.batches import Batch
from uptake_metrics.columns import Columns
from uptake_metrics.ledger import Taken
from uptake_metrics.shard import Change, Shard
from uptake_metrics.user_lists import UserLists
from uptake_metrics.userdays import EPOCH_DAYS
from uptake_metrics.zones import last_closed_day, to_day, to_number, warm_up

#: Deltas of a shard are folded into its masks beyond so many of them, or so many user-days in them.
COMPACT_DELTAS, COMPACT_USER_DAYS = 1_000, 200_000
#: Deltas that a compaction leaves, so that replicas find them: some seconds of them.
KEEP_DELTAS = 64
MAX_DAY = 2**30  # beyond every day that can be stored
ALL_SHARDS = range(subjects.SHARDS)
DEFAULT_ZONE = "UTC"
_SHARD = {subjects.usage(number): number for number in ALL_SHARDS}

Reject = Callable[[Entry, Exception], Awaitable[None]]
Prepared = list[tuple[Entry, Batch | ValueError]]
Batches = dict[int, list[Batch]]  # by shard
Named = dict[int, list[int]]  # by shard: sequences of messages that name an erased person


def newest_day(now: datetime) -> int:
    """The newest local day anywhere on earth, in days since 1970."""
    return to_number((now + timedelta(hours=14)).date())


class Counting:
    """All shards of this process. `zone_of` says an account's zone by its facts."""

    def __init__(
        self,
        engine: AsyncEngine,
        zone_of: Callable[[str], str],
        clock: Callable[[], datetime],
        reject: Reject,
        policy: Callable[[], ActivityPolicy] = shipped,
        lists: UserLists | None = None,
    ) -> None:
        """`policy`: which events count. `lists`: of which accounts people are named; null: of all."""
        self.policy = policy
        self.lists = UserLists() if lists is None else lists
        self._engine = engine
        self._zone_of = zone_of
        self._clock = clock
        self._reject = reject
        self.lock = asyncio.Lock()
        self.positions: dict[int, Position] = {}
        self.shards: dict[int, Shard] = {}
        self.touched: set[str] = set()  # accounts whose current numbers may have changed; taken by the board
        self._rewritten: set[str] = set()  # accounts whose facts may have been rewritten since they were folded
        self._spoilt: set[int] = set()  # shards that failed while they were counting
        self._stepped_over: dict[int, Entry] = {}  # by sequence: refused, and not in the books yet

    def shard_of(self, account: str) -> Shard:
        return self.shards[subjects.shard_of(account)]

    def accounts(self) -> Iterator[str]:
        """Every account that ever sent anything."""
        for shard in self.shards.values():
            yield from shard.zones

    @property
    def position(self) -> Cursor:
        """What is counted for certain: all of USAGE up to here."""
        return self._oldest(ALL_SHARDS)

    def _oldest(self, shards: Collection[int]) -> Cursor:
        return min((self.positions[number].cursor for number in shards), key=lambda cursor: cursor.sequence)

    async def load(self, shards: Collection[int] = ALL_SHARDS) -> Cursor:
        """Agree with the database; returns the position of the shards that are to be read."""
        async with self.lock, self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")  # all of it as of one moment
            stored = await activity_store.standings(connection)
            known = {n: self.positions[n].checkpoint for n, one in stored.items() if self._can_follow(n, one)}
            for number in stored.keys() - known.keys():
                self.shards[number] = await self._restore(connection, number)
                self.touched.update(self.shards[number].zones)
                self._spoilt.discard(number)
            behind = {n: checkpoint for n, checkpoint in known.items() if checkpoint < stored[n].position.checkpoint}
            await self._follow(connection, behind)
            self.positions = {number: one.position for number, one in stored.items()}
            return self._oldest(shards)

    def _can_follow(self, number: int, stored: Standing) -> bool:
        """Whether deltas tell all that happened since; a database that was restored may even have gone back."""
        known = self.positions.get(number)
        if known is None or number in self._spoilt:
            return False
        return stored.folded <= known.checkpoint <= stored.position.checkpoint

    async def _follow(self, connection: AsyncConnection, behind: Mapping[int, int]) -> None:
        if behind:
            known = {number: len(self.shards[number].keys) for number in behind}
            for number, news in (await activity_store.news(connection, behind, known)).items():
                self.touched |= self.shards[number].follow(news.keys, news.zones, news.fresh)

    async def reload(self, number: int) -> None:
        """Read one shard again, whose masks were rewritten; the caller holds `lock`."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            position = (await activity_store.standings(connection))[number].position
            self.shards[number] = await self._restore(connection, number)
        self.positions[number] = position
        self.touched.update(self.shards[number].zones)

    def take_rewritten(self) -> set[str]:
        """Accounts of which somebody was erased, and whose shard was read anew since the last call."""
        taken, self._rewritten = self._rewritten, set()
        return taken

    def zone_is_settled(self, account: str, zone: str) -> bool:
        """Whether the account's stored days are in `zone`; so they are when there are none."""
        return self.shard_of(account).zones.get(account, zone) == zone

    async def _restore(self, connection: AsyncConnection, number: int) -> Shard:
        keys, zones = await activity_store.registered(connection, number)
        front = newest_day(self._clock())
        stored = await mask_store.masks(connection, number, front - EPOCH_DAYS, MAX_DAY)
        front = max(front, archive.newest_day(stored))  # our clock may be behind the one that counted
        shard = Shard(number, front, self.policy)
        shard.lists = self.lists
        shard.erased = await erasure_store.suppression(connection, number)
        self._rewritten |= shard.erased.accounts
        shard.restore(keys, zones, stored)
        warm_up({DEFAULT_ZONE, *zones.values()})  # while nobody waits for the event loop
        return shard

    def cursors(self, shards: Collection[int]) -> set[Cursor]:
        """Where these shards stand, as of the last `load`: their stream has to fit each."""
        return {self.positions[number].cursor for number in shards}

    async def refuse(self, entry: Entry, error: Exception) -> None:
        """Put away what the database will never take; the next `apply` books it."""
        await self._reject(entry, error)
        self._stepped_over[entry.sequence] = entry

    @staticmethod
    def prepare(entries: Sequence[Entry]) -> Prepared:
        """Most of the work, and none of it needs a shard: it is done while the checkpoint before is committed."""
        return list(zip(entries, usage_log.decode(entries), strict=True))

    async def apply(
        self, prepared: Prepared, expected: Cursor, new: Cursor, shards: Collection[int] = ALL_SHARDS
    ) -> None:
        """One transaction: everything these messages change, and the positions of the shards that were read."""
        async with self.lock:
            at = self._oldest(shards)
            if at.stream_uuid != expected.stream_uuid or at.sequence < expected.sequence:
                raise Fenced("the positions have gone back under the reader")  # it has to read again from there
            batches, taken, named_erased = await self._sorted(prepared)
            changes: list[Change] = []
            try:
                with meters.COMMIT_SECONDS.time():
                    for number, of_shard in batches.items():
                        self._spoilt.add(number)
                        changes.append(self.shards[number].absorb(Columns.of(of_shard), self._zone_of))
                        self._spoilt.discard(number)
                        await asyncio.sleep(0)  # a checkpoint of all shards is too much for one turn of the event loop
                    async with self._engine.begin() as connection:
                        read = {number: self.positions[number] for number in sorted(shards)}
                        positions = await activity_store.advance(connection, read, new)
                        await activity_store.save(connection, changes, positions)
                        checkpoints = {number: position.checkpoint for number, position in positions.items()}
                        await ledger.save(connection, changes, checkpoints, taken)
                        await not_counted.save(connection, changes)
                        await erasure_store.note_usage(connection, named_erased)
                        await self._mark(connection, changes, batches)
            except BaseException:
                for change in reversed(changes):
                    self.shards[change.shard].undo(change)
                raise
            self._settle(changes, positions, taken)

    async def take_in(
        self, number: int, batches: Sequence[Batch], alongside: Callable[[AsyncConnection], Awaitable[None]]
    ) -> None:
        """A checkpoint of one shard that moves no position: usage that USAGE brought before, under no account.

        `alongside` is awaited within its transaction. The books have these events already.
        """
        async with self.lock:
            self._spoilt.add(number)
            shard = self.shards[number]
            change = shard.absorb(Columns.of(map(shard.erased.applied, batches)), self._zone_of)
            self._spoilt.discard(number)
            try:
                async with self._engine.begin() as connection:
                    positions = await activity_store.advance(connection, {number: self.positions[number]})
                    await activity_store.save(connection, [change], positions)
                    await not_counted.save(connection, [change])
                    await alongside(connection)
                    await self._mark(connection, [change], {number: batches})
            except BaseException:
                self.shards[number].undo(change)
                raise
            self.positions = {**self.positions, **positions}
            self.shards[number].settle(change)
            self.touched.update(change.first_day)
            meters.USER_DAYS.inc(len(change.fresh))

    async def _sorted(self, prepared: Prepared) -> tuple[Batches, Taken, Named]:
        """The batches to count, by shard; what nobody can count is put away."""
        named_erased: Named = defaultdict(list)
        batches: Batches = defaultdict(list)
        taken = Taken()
        for entry, batch in prepared:
            number = _SHARD.get(entry.subject)
            if number is not None and entry.sequence <= self.positions[number].cursor.sequence:
                continue  # another shard lagged behind: this one has counted it
            if isinstance(batch, Exception) or number is None:
                taken.refuse(number, entry.data, entry.stored_at)
                await self._reject(entry, batch if isinstance(batch, Exception) else KeyError(entry.subject))
            else:
                kept = self.shards[number].erased.applied(batch)
                if kept is not batch:
                    named_erased[number].append(entry.sequence)
                batches[number].append(kept)
                if not kept.rewrite_of:  # else what it brings is in the books
                    taken.add(number, kept)
        for entry in self._stepped_over.values():
            number = _SHARD.get(entry.subject)
            if number is None or entry.sequence > self.positions[number].cursor.sequence:
                taken.refuse(number, entry.data, entry.stored_at)
        return batches, taken, named_erased

    async def _mark(
        self, connection: AsyncConnection, changes: Sequence[Change], batches: Mapping[int, Sequence[Batch]]
    ) -> None:
        """Put the closed days that changed on the worklist; an open day cannot have been published.

        An account that an import brings is held until the import ends, and no other. All shards at once, for facts mark
        too: two transactions that mark bit by bit would wait for each other.
        """
        changed: dict[str, dict[str, date]] = defaultdict(dict)  # by import, "" for live
        closed: dict[str, date] = {}  # by zone
        for change in changes:
            imports, zones = _imports(batches[change.shard]), self.shards[change.shard].zones
            for account, number in change.first_day.items():
                zone, day = zones[account], to_day(number)
                if zone not in closed:
                    closed[zone] = last_closed_day(self._clock(), zone)
                if day <= closed[zone]:
                    for import_id in imports.get(account, {""}):
                        changed[import_id][worklist.account(account)] = day
        for import_id, first_days in sorted(changed.items()):
            await worklist.mark(connection, first_days, import_id)

    def _settle(self, changes: Sequence[Change], positions: Mapping[int, Position], taken: Taken) -> None:
        self.positions = {**self.positions, **positions}
        self._stepped_over.clear()
        for change in changes:
            self.shards[change.shard].settle(change)
            self.touched.update(change.first_day)
            meters.USER_DAYS.inc(len(change.fresh))
            for (_, _, reason), events in change.not_counted.items():
                meters.NOT_COUNTED.labels(reason).inc(events)
            meters.EVENTS.inc(change.events)
        meters.REFUSED_EVENTS.inc(taken.refused.total())

    async def compact(self, shards: Collection[int] = ALL_SHARDS, *, everything: bool = False) -> None:
        """Fold deltas into masks where there are many of them."""
        async with self._engine.connect() as connection:
            sizes = await mask_store.delta_sizes(connection)
        for number in shards:
            deltas, user_days = sizes.get(number, (0, 0))
            many = deltas >= COMPACT_DELTAS or user_days >= COMPACT_USER_DAYS
            if everything or many:
                async with self._engine.begin() as connection:
                    await mask_store.compact(connection, number, 0 if everything else KEEP_DELTAS)
                    await ledger.fold(connection, number)

    async def turn(self) -> None:
        """Let the rings follow the calendar; not while a change waits for its commit, which may have to be undone."""
        async with self.lock:
            newest = newest_day(self._clock())
            for shard in self.shards.values():
                if shard.activity.front < newest:
                    shard.activity.advance(newest)
                    self.touched.update(shard.zones)


def _imports(batches: Sequence[Batch]) -> dict[str, set[str]]:
    """Of each account that an import brings: which imports."""
    imports: dict[str, set[str]] = defaultdict(set)
    for batch in batches:
        if batch.import_id:
            for account in set(batch.accounts):
                imports[account].add(batch.import_id)
    return imports
