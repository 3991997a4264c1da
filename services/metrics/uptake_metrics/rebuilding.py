"""A rebuild: recount from the log all that it still covers, beside the live state, and put right what differs.

Days that the log does not cover wholly stay as they are: they are the archive, and what imports brought. One shard at a
time, so that it needs the memory of one more shard at most. Counting waits while the end of a shard's log is read and
its masks are compared and put right.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Literal

import structlog
from nats.js import JetStreamContext
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake import subjects
from uptake.consumer import Cursor, Entry
from uptake.reader import Fenced
from uptake_metrics import (
    activity_store,
    archive,
    erasure_store,
    instance_store,
    mask_store,
    not_counted,
    usage_log,
    worklist,
)
from uptake_metrics.activity_store import Position
from uptake_metrics.attributed import batches_of
from uptake_metrics.batches import Batch
from uptake_metrics.counting import MAX_DAY, Counting, newest_day
from uptake_metrics.register import Register
from uptake_metrics.replay import Difference, Refused, Replay, compare, drifted
from uptake_metrics.shard import of_registry, user_hash
from uptake_metrics.zones import to_day, to_number

_ATTEMPTS = 20
_SMALL_REST = 500  # messages that may be read while counting waits
_NAMED = 1000  # differing accounts that the answer names

_log = structlog.get_logger()


class AccountDifference(BaseModel):
    """Stored user-days of one account, of all its series, that the log has and the state lacks, and the reverse."""

    account: str
    missing: int
    extra: int
    first_day: date


class Progress(BaseModel):
    """`GET /api/v1/rebuild`. A user-day counts once for each series (contact, total, feature) that it is stored in."""

    state: Literal["idle", "running", "done", "failed"] = "idle"
    check: bool = True
    read: int = Field(default=0, description="messages of USAGE")
    of: int = 0
    covered_from: date | None = Field(default=None, description="the first day compared; null: all that there are")
    accounts: int = 0
    user_days: int = Field(default=0, description="that the log holds of the days compared")
    differing: int = Field(
        default=0, description="user-days, counts, refused events and folded facts that are not what they should be"
    )
    fixed: int = 0
    counts_drifted: int = Field(default=0, description="series whose booked counts were not those of their masks")
    facts_differing: int = Field(default=0, description="accounts and opportunities folded otherwise than before")
    differences: list[AccountDifference] = Field(default_factory=list, description="the first 1,000")
    reason: str | None = None


class Rebuilding:
    """One rebuild at a time, asked for with `request` and done by `run_once`."""

    _js: JetStreamContext

    def __init__(
        self,
        engine: AsyncEngine,
        counting: Counting,
        register: Register,
        refold: Callable[[], Register],
        clock: Callable[[], datetime],
    ) -> None:
        """`refold` makes a register that has read nothing yet, of the same settings."""
        self._engine = engine
        self._counting = counting
        self._register = register
        self._refold = refold
        self._clock = clock
        self.progress = Progress()

    def request(self, check: bool) -> Progress:
        """Ask for a rebuild; while one runs, that one is meant."""
        if self.progress.state != "running":
            self.progress = Progress(state="running", check=check)
        return self.progress

    async def run_once(self, js: JetStreamContext) -> None:
        """Do what was asked for, if anything was."""
        self._js, progress = js, self.progress
        if progress.state != "running":
            return
        try:
            progress.of = (await self._js.stream_info(subjects.USAGE)).state.messages
            await self._facts(progress)
            for number in sorted(self._counting.shards):
                await self._shard(number, progress)
        except Exception as error:
            progress.state, progress.reason = "failed", f"{type(error).__name__}: {error}"
            _log.warning("the rebuild failed", reason=progress.reason, exc_info=True)
            return
        progress.state = "done"
        _log.info("rebuild done", **progress.model_dump(exclude={"differences", "reason"}))

    async def _facts(self, progress: Progress) -> None:
        """Fold all facts anew, and compare with what is in memory as of the same fact."""
        live, anew = self._register, self._refold()
        async with live.lock:
            async with self._engine.connect() as connection:
                await live.catch_up(connection)
            await anew.load()
            if anew.position != live.position:
                raise Fenced("another metrics process stored facts meanwhile: ask again")
            names = _unlike(live.accounts, anew.accounts) | live.instances.unlike(anew.instances)
            trials = _unlike(live.trials, anew.trials) | _unlike(live.deals, anew.deals)
            progress.facts_differing = len(names) + len(trials)
            progress.differing += progress.facts_differing
            if progress.facts_differing and not progress.check:
                live.accounts, live.trials, live.deals = anew.accounts, anew.trials, anew.deals
                live.instances = anew.instances
                live.touched |= names
                marks = {worklist.account(name): worklist.EVER for name in names}
                marks |= {worklist.trial(name): worklist.EVER for name in trials}
                marks |= {worklist.TEAM: worklist.EVER} if trials else {}
                async with self._engine.begin() as connection:
                    await worklist.mark(connection, marks)
                progress.fixed += progress.facts_differing

    async def _shard(self, number: int, progress: Progress) -> None:
        replay = await self._replay(number)
        for _ in range(_ATTEMPTS):
            if replay.outdated:
                replay = await self._replay(number)
            await self._follow(replay, progress)
            try:
                return await self._finish(replay, progress)
            except Fenced:  # the replica that reads the shard was faster; what it counted is read next time
                continue
        raise Fenced(f"shard {number} never stood still: ask again")

    async def _finish(self, replay: Replay, progress: Progress) -> None:
        number = replay.number
        async with self._counting.lock, self._engine.connect() as connection:
            position = await self._position(connection, number)
            await activity_store.confirm(connection, {number: position})  # no replica moves it now
            if not replay.adopt(*await activity_store.registered(connection, number)):
                raise Fenced("the store numbers series otherwise than the replay: it begins again")
            replay.outdated = len(replay.erased) != len(await erasure_store.suppression(connection, number))
            if replay.outdated:
                raise Fenced("somebody was erased meanwhile: the replay begins again")
            await self._read(replay, position.cursor, progress)
            attributed = batches_of(await instance_store.attributed(connection, number))
            refused = replay.refused + await asyncio.to_thread(replay.take, attributed)
            await self._put_right_refused(connection, replay, refused, progress)
            found = await self._compare(connection, replay, position, progress)
            repaired = bool(found) and not progress.check
            if repaired:
                await self._repair(connection, replay, position, found)
            if not progress.check:
                await connection.commit()
            if repaired:
                await self._counting.reload(number)
                progress.fixed += found.user_days
        if repaired:
            await self._name(replay, position.cursor, found, attributed)

    async def _replay(self, number: int) -> Replay:
        """An empty shard with the series and zones of the stored one: what it counts owes nothing to what is stored."""
        async with self._engine.connect() as connection:
            keys, zones = await activity_store.registered(connection, number)
            erased = await erasure_store.suppression(connection, number)
        front, zone_of = newest_day(self._clock()), self._register.zone_of
        replay = Replay(number, front, keys, zones, zone_of, self._counting.policy)
        replay.erased = erased
        return replay

    async def _follow(self, replay: Replay, progress: Progress) -> None:
        """Read the log up to where the shard stands, until what came meanwhile is little."""
        while True:
            async with self._engine.connect() as connection:
                cursor = (await self._position(connection, replay.number)).cursor
                stored = await activity_store.registered(connection, replay.number)  # all up to the cursor
            replay.adopt(*stored)
            if cursor.sequence - replay.reached <= _SMALL_REST:
                return
            await self._read(replay, cursor, progress)

    @staticmethod
    async def _position(connection: AsyncConnection, number: int) -> Position:
        return (await activity_store.standings(connection))[number].position

    async def _read(self, replay: Replay, until: Cursor, progress: Progress) -> None:
        async for entries in usage_log.read(self._js, replay.number, replay.reached, until):
            replay.refused.update(await asyncio.to_thread(replay.take, _batches(entries)))
            progress.read += len(entries)
        replay.reached = until.sequence

    async def _covered_from(self, connection: AsyncConnection, number: int) -> int:
        """The first day whose events are all in the log.

        An event of this day cannot have been stored before the log is whole: not even one of a clock that is ahead
        as far as counting allows, in the zone that is ahead of all others.
        """
        whole = await usage_log.whole_since(self._js, connection, number, self._clock())
        return newest_day(whole) + 2 if whole else 0

    async def _compare(
        self, connection: AsyncConnection, replay: Replay, position: Position, progress: Progress
    ) -> Difference:
        covered = await self._covered_from(connection, replay.number)
        stored = archive.since(await mask_store.masks(connection, replay.number, covered, MAX_DAY), covered)
        live = self._counting.shards[replay.number]
        held = live.activity if self._counting.positions[replay.number] == position else None
        found = await asyncio.to_thread(compare, replay, stored, held, covered)
        progress.covered_from = to_day(covered) if covered else None
        progress.accounts += len(replay.shard.zones)
        progress.user_days += found.logged
        progress.differing += found.user_days
        for account, (missing, extra, first) in found.accounts.items():
            if len(progress.differences) < _NAMED:
                about = AccountDifference(account=account, missing=missing, extra=extra, first_day=to_day(first))
                progress.differences.append(about)
        if held is not None and (off := await asyncio.to_thread(drifted, held)):
            progress.counts_drifted += off
            progress.differing += off
            if not progress.check:
                held.rebook()
                self._counting.touched.update(live.zones)
                progress.fixed += off
        return found

    async def _put_right_refused(
        self, connection: AsyncConnection, replay: Replay, refused: Refused, progress: Progress
    ) -> None:
        """Within the transaction: events that were refused, of the days that are told of and that the log covers."""
        covered = to_day(await self._covered_from(connection, replay.number))
        first, accounts = max(covered, not_counted.kept_from(self._clock())), replay.shard.zones.keys()
        right = {key: events for key, events in refused.items() if key[1] >= to_number(first)}
        told = await not_counted.stored(connection, accounts, first)
        wrong = sum(right.get(key) != told.get(key) for key in right.keys() | told.keys())
        progress.differing += wrong
        if wrong and not progress.check:
            await not_counted.replace(connection, accounts, first, right)
            progress.fixed += wrong

    async def _repair(self, connection: AsyncConnection, replay: Replay, position: Position, found: Difference) -> None:
        """Within the transaction: a checkpoint that leaves the position, and makes replicas read all masks again."""
        number = replay.number
        positions = await activity_store.advance(connection, {number: position})
        await mask_store.compact(connection, number)
        everything = await mask_store.masks(connection, number, 0, MAX_DAY, found.series)
        right = archive.merge(archive.discard(everything, found.extra), found.missing)
        await mask_store.replace_masks(connection, number, found.series, right)
        await activity_store.save(connection, [of_registry(number, replay.new_series, replay.new_zones)], positions)
        first_days = {worklist.account(name): to_day(first) for name, (_, _, first) in found.accounts.items()}
        await worklist.mark(connection, first_days)
        _log.warning("user-days put right", shard=number, accounts=sorted(found.accounts)[:20], number=found.user_days)

    async def _name(self, replay: Replay, until: Cursor, found: Difference, attributed: Sequence[Batch]) -> None:
        """Whoever was missing may have no name either; the log is read once more for it."""
        wanted = found.people(replay.shard.keys)
        if not wanted:
            return
        people = _people(attributed, wanted)
        async for entries in usage_log.read(self._js, replay.number, 0, until):
            people |= _people([replay.erased.applied(batch) for batch in _batches(entries)], wanted)
        async with self._engine.begin() as connection:
            await activity_store.save_people(connection, people)


def _batches(entries: list[Entry]) -> list[Batch]:
    decoded = usage_log.decode(entries)
    return [batch for batch in decoded if not isinstance(batch, ValueError)]  # counting refused it


def _people(batches: Sequence[Batch], wanted: set[tuple[str, int]]) -> set[tuple[str, int, str]]:
    """What those who are wanted (account, hash) are called, as far as these batches say."""
    told = ((account, user) for batch in batches for account, user in zip(batch.accounts, batch.users, strict=True))
    people = {(account, user_hash(user), user) for account, user in told}
    return {one for one in people if one[:2] in wanted}


def _unlike(live: Mapping[str, object], anew: Mapping[str, object]) -> set[str]:
    return {key for key in live.keys() | anew.keys() if live.get(key) != anew.get(key)}
