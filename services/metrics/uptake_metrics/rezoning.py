"""A changed time zone: recompute an account's local days from the log of events, as far back as it reaches.

Stored days hold no instants, so the events are read again from USAGE (45 days of arrivals). Days that the log no longer
covers keep the former zone, and the audit entry says up to which day. Judges no KPI.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime

import structlog
from nats.js import JetStreamContext
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.consumer import Cursor, Entry
from uptake_metrics import activity_store, archive, mask_store, usage_log, worklist
from uptake_metrics.batches import decoded, rows
from uptake_metrics.columns import Columns
from uptake_metrics.counting import ALL_SHARDS, Counting
from uptake_metrics.register import Register
from uptake_metrics.shard import Shard
from uptake_metrics.zones import DAY, local_day, to_number

_log = structlog.get_logger()


class Rezoning:
    """Brings the stored days of accounts into the zones that facts name."""

    def __init__(
        self,
        engine: AsyncEngine,
        js: JetStreamContext,
        counting: Counting,
        register: Register,
        clock: Callable[[], datetime],
        shards: Callable[[], Collection[int]] = lambda: ALL_SHARDS,
    ) -> None:
        """`shards`: those whose accounts are this process' to recompute."""
        self._engine = engine
        self._js = js
        self._counting = counting
        self._register = register
        self._clock = clock
        self._shards = shards
        self._settled_at: tuple[Cursor | None, list[int], Collection[int]] | None = None

    async def run_once(self) -> int:
        """Recompute every account whose stored zone is not the one of its facts; returns how many there were."""
        sizes = [len(shard.zones) for shard in self._counting.shards.values()]
        here = (self._register.position, sizes, self._shards())
        if here == self._settled_at:
            return 0  # no fact and no account has come since all were settled
        if not self._unsettled():
            self._settled_at = here
            return 0
        await self._counting.load()  # another process may have done it by now
        unsettled = self._unsettled()
        for number, zones in unsettled.items():
            await self._recompute(number, zones)
        return sum(map(len, unsettled.values()))

    def _unsettled(self) -> dict[int, dict[str, str]]:
        """By shard: the accounts to recompute, and the zones that their facts name."""
        unsettled = defaultdict[int, dict[str, str]](dict)
        for number in self._shards():
            for account, stored in self._counting.shards[number].zones.items():
                zone = self._register.zone_of(account)
                if zone != stored:
                    unsettled[number][account] = zone
        return unsettled

    async def _recompute(self, number: int, zones: dict[str, str]) -> None:
        counting, logged = self._counting, {account: Columns() for account in zones}
        reached = counting.positions[number].cursor
        await self._read(number, 0, reached, logged)
        async with counting.lock:  # only what came meanwhile is read under the lock
            await self._read(number, reached.sequence, counting.positions[number].cursor, logged)
            async with self._engine.begin() as connection:
                await activity_store.advance(connection, {number: counting.positions[number]})
                await mask_store.compact(connection, number)  # folded up to this checkpoint: replicas read all again
                since = await usage_log.whole_since(self._js, connection, number, self._clock())
                for account, zone in zones.items():
                    await self._rewrite(connection, counting.shards[number], account, zone, logged[account], since)
                await worklist.mark(connection, {worklist.account(account): worklist.EVER for account in zones})
            await counting.reload(number)
        _log.info("time zones changed", shard=number, accounts=len(zones))

    async def _read(self, number: int, after: int, until: Cursor, logged: dict[str, Columns]) -> None:
        """Collect these accounts' part of the shard's log, from after one sequence up to and with a position."""
        async for entries in usage_log.read(self._js, number, after, until):
            for entry in entries:
                _collect(entry, logged)

    async def _rewrite(
        self,
        connection: AsyncConnection,
        shard: Shard,
        account: str,
        zone: str,
        logged: Columns,
        whole_since: datetime | None,
    ) -> None:
        """Within the transaction: the account's masks in the new zone, and the audit entry."""
        series = shard.of_account(account)
        masks = archive.fold(shard.user_days(logged, zone))
        kept_until = local_day(whole_since, zone) + DAY if whole_since else None
        if kept_until:
            last = to_number(kept_until)
            old = await mask_store.masks(connection, shard.number, 0, last, series)
            masks = archive.merge(archive.until(old, last), archive.discard(masks, archive.until(masks, last)))
        await mask_store.replace_masks(connection, shard.number, series, masks)
        was = shard.zones[account]
        await activity_store.record_zone_change(connection, account, was, zone, self._clock(), kept_until)


def _collect(entry: Entry, logged: dict[str, Columns]) -> None:
    try:
        batch = decoded(entry.data, entry.stored_at)
    except ValueError:  # counting refused it for the same reason
        return
    for account in logged.keys() & set(batch.accounts):
        logged[account].append(rows(batch, [name == account for name in batch.accounts]))
