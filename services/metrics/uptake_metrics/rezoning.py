"""A changed time zone: recounts an account's local days from the log of events, as far back as it reaches.

Days that the log no longer covers keep the former zone, and the audit entry says up to which day. Judges no KPI.
"""

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import date, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from uptake.consumer import Cursor
from uptake_metrics import activity_store
from uptake_metrics.counting import ALL_SHARDS, Counting
from uptake_metrics.recounting import Recounting
from uptake_metrics.register import Register

_log = structlog.get_logger()


class Rezoning:
    """Brings the stored days of accounts into the zones that facts name."""

    def __init__(
        self,
        counting: Counting,
        register: Register,
        recounting: Recounting,
        clock: Callable[[], datetime],
        shards: Callable[[], Collection[int]] = lambda: ALL_SHARDS,
    ) -> None:
        """`shards`: those whose accounts are this process' to recompute."""
        self._counting = counting
        self._register = register
        self._recounting = recounting
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
        was = dict(self._counting.shards[number].zones)

        async def after(connection: AsyncConnection, account: str, kept_until: date | None) -> None:
            now = self._clock()
            await activity_store.record_zone_change(connection, account, was[account], zones[account], now, kept_until)

        await self._recounting.run(number, zones, after)
        _log.info("time zones changed", shard=number, accounts=len(zones))
