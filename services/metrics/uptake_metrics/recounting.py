"""Recounts some accounts of a shard, all their days, from the log of events as far back as it reaches.

Stored days hold no instants, and not what brought them; so the events are read again: those that name the account from
USAGE (45 days of arrivals), and those that were attributed to it through an installation. Judges no KPI.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime

from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.consumer import Cursor, Entry
from uptake_metrics import activity_store, archive, instance_store, mask_store, not_counted, usage_log, worklist
from uptake_metrics.activity_store import Position
from uptake_metrics.attributed import batches_of
from uptake_metrics.batches import rows
from uptake_metrics.columns import Columns
from uptake_metrics.counting import Counting
from uptake_metrics.shard import Shard, of_registry
from uptake_metrics.zones import DAY, local_day, to_number

Before = Callable[[AsyncConnection, Mapping[str, date | None]], Awaitable[None]]
After = Callable[[AsyncConnection, str, date | None], Awaitable[None]]


async def _nothing(connection: AsyncConnection, kept_until: Mapping[str, date | None]) -> None:
    return


class Recounting:
    """One shard at a time, in a checkpoint of its own that moves no position."""

    def __init__(
        self, engine: AsyncEngine, js: JetStreamContext, counting: Counting, clock: Callable[[], datetime]
    ) -> None:
        self._engine = engine
        self._js = js
        self._counting = counting
        self._clock = clock

    async def run(self, number: int, zones: Mapping[str, str], after: After, before: Before = _nothing) -> None:
        """Recount these accounts of a shard in the zones that are given.

        Within the transaction, `before` is awaited first, and `after` for each account, with the last day that the log
        no longer tells of: days up to that one stay as they were; null when all are recounted.
        """
        counting, logged = self._counting, {account: Columns() for account in zones}
        reached = counting.positions[number].cursor
        await self._read(number, 0, reached, logged)
        async with counting.lock:  # only what came meanwhile is read under the lock
            await self._read(number, reached.sequence, counting.positions[number].cursor, logged)
            async with self._engine.begin() as connection:
                moved = await activity_store.advance(connection, {number: counting.positions[number]})
                await mask_store.compact(connection, number)  # folded up to this checkpoint: replicas read all again
                since = await usage_log.whole_since(self._js, connection, number, self._clock())
                kept = {account: local_day(since, zone) + DAY if since else None for account, zone in zones.items()}
                await before(connection, kept)
                await self._add_attributed(connection, number, logged)
                for account, zone in zones.items():
                    shard, position = counting.shards[number], moved[number]
                    await _rewrite(connection, shard, position, account, zone, logged[account], kept[account])
                    await after(connection, account, kept[account])
                await worklist.mark(connection, {worklist.account(account): worklist.EVER for account in zones})
            await counting.reload(number)

    async def _read(self, number: int, after: int, until: Cursor, logged: Mapping[str, Columns]) -> None:
        """Collect these accounts' part of the shard's log, from after one sequence up to and with a position."""
        async for entries in usage_log.read(self._js, number, after, until):
            for entry in entries:
                _collect(entry, logged)

    async def _add_attributed(self, connection: AsyncConnection, number: int, logged: Mapping[str, Columns]) -> None:
        found = await instance_store.attributed(connection, number, sorted(logged))
        for account, columns in logged.items():
            for batch in batches_of((row, pair) for row, pair in found if pair.account == account):
                columns.append(batch)


async def _rewrite(
    connection: AsyncConnection,
    shard: Shard,
    position: Position,
    account: str,
    zone: str,
    logged: Columns,
    kept_until: date | None,
) -> None:
    """Within the transaction: the account's masks in the zone, and the series that it has for the first time.

    A day that another version of the activity policy judges may count what no day of the account did before.
    """
    known = len(shard.keys)
    masks = archive.fold(shard.user_days(logged, zone))
    new = {number: shard.keys[number] for number in range(known, len(shard.keys))}
    await activity_store.save(connection, [of_registry(shard.number, new, {})], {shard.number: position})
    series = shard.of_account(account)
    if kept_until:
        last = to_number(kept_until)
        old = await mask_store.masks(connection, shard.number, 0, last, series)
        masks = archive.merge(archive.until(old, last), archive.discard(masks, archive.until(masks, last)))
    await mask_store.replace_masks(connection, shard.number, series, masks)
    first = kept_until + DAY if kept_until else worklist.EVER
    await not_counted.replace(connection, [account], first, shard.refusals(logged, zone))


def _collect(entry: Entry, logged: Mapping[str, Columns]) -> None:
    (batch,) = usage_log.decode([entry])
    if isinstance(batch, ValueError):  # counting refused it for the same reason
        return
    for account in logged.keys() & set(batch.accounts):
        logged[account].append(rows(batch, [name == account for name in batch.accounts]))
