"""The counts of any account on any day, from the rings where they reach and from the archive where not.

The one place that KPIs, lists, charts and gauges get their counts from. Judges nothing.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake_metrics import activity_store, archive, mask_store, userdays
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.counting import Counting
from uptake_metrics.kpis import Counts
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import CONTACT_USER, Shard
from uptake_metrics.userdays import EPOCH_DAYS, U64, WINDOWS, Masks
from uptake_metrics.zones import to_day, to_number

ACCOUNTS_A_TURN = 10  # between two turns of the event loop: about 2 ms
_LONGEST = WINDOWS[-1]
_NOBODY = Counts((0,) * _LONGEST, 0, 0)
WINDOW_DAYS = dict(zip(("dau", "wau", "mau"), WINDOWS, strict=True))


@dataclass(frozen=True, slots=True)
class Tallied:
    """One day of one account: its counts (null when it never sent anything at all), and the last day up to then on
    which anything was heard of it."""

    day: date
    counts: Counts | None
    last_contact: date | None


class Tally:
    """Reads the shards of `counting`, and the archive behind them."""

    def __init__(self, engine: AsyncEngine, counting: Counting) -> None:
        self._engine = engine
        self._counting = counting

    def now(self, account: str, day: date, environment: str = PRODUCTION) -> Tallied | None:
        """One day, from memory alone; null where the ring cannot tell and `days` has to."""
        shard, number = self._counting.shard_of(account), to_number(day)
        contact = shard.contact(account)
        if contact is None:
            return Tallied(day, None, None)
        if not shard.activity.first_exact_day <= number <= shard.activity.last_exact_day:
            return None
        heard = _newest(shard.activity.days_of(contact, CONTACT_USER), number)
        if heard is None:
            return None
        series = shard.total(account, environment)
        counts = _NOBODY if series is None else _ring_counts(shard, series, range(number, number + 1))[0]
        return Tallied(day, counts, heard)

    async def days(self, account: str, first: date, last: date, environment: str = PRODUCTION) -> list[Tallied]:
        """Every day of `first..last`."""
        shard = self._counting.shard_of(account)
        span = range(to_number(first), to_number(last) + 1)
        contact = shard.contact(account)
        if contact is None:
            return [Tallied(to_day(day), None, None) for day in span]
        async with self._engine.connect() as connection:
            heard = await _contact_days(connection, shard, contact, span)
            series = shard.total(account, environment)
            counts = [_NOBODY] * len(span)
            if series is not None:
                counts = await _counts(connection, shard, series, span)
        return [Tallied(to_day(day), count, _newest(heard, day)) for day, count in zip(span, counts, strict=True)]

    async def on(self, accounts: Mapping[str, date]) -> dict[str, Tallied]:
        """One day each of many accounts: from memory, and of all that memory cannot tell in one go a shard."""
        told: dict[str, Tallied] = {}
        asked: dict[tuple[int, date], list[str]] = defaultdict(list)
        for number, (account, day) in enumerate(accounts.items(), 1):
            if tallied := self.now(account, day):
                told[account] = tallied
            else:
                asked[self._counting.shard_of(account).number, day].append(account)
            if number % ACCOUNTS_A_TURN == 0:
                await asyncio.sleep(0)
        if asked:
            async with self._engine.connect() as connection:
                for (number, day), names in asked.items():
                    told |= await self._from_archive(connection, self._counting.shards[number], names, day)
        return told

    async def _from_archive(
        self, connection: AsyncConnection, shard: Shard, accounts: Sequence[str], day: date
    ) -> dict[str, Tallied]:
        """Accounts of one shard that have a contact series."""
        number = to_number(day)
        contacts = {account: shard.contact(account) for account in accounts}
        heard = archive.newest_days(
            archive.until(await _masks_of(connection, shard, 0, number, contacts.values()), number)
        )
        totals = {account: shard.total(account) for account in accounts}
        early = number - 2 * _LONGEST + 1
        counted = await _masks_of(connection, shard, early, number, totals.values())
        told = {}
        for account in accounts:
            newest = heard.get(contacts[account] or 0)
            counts = _NOBODY if totals[account] is None else _counted(counted, totals[account] or 0, number)
            told[account] = Tallied(day, counts, None if newest is None else to_day(newest))
        return told

    async def masks(
        self,
        account: str,
        first: date,
        last: date,
        features: Collection[str] | None = None,
        environment: str = PRODUCTION,
    ) -> Masks:
        """Who was active on which of the days `first..last`, with any feature or with any of `features`.

        All of it as one series, 0. What cannot be read off the booked counts starts from it.
        """
        shard = self._counting.shard_of(account)
        if features is None:
            kinds = [SeriesKey(account, "total", environment)]
        else:
            kinds = [SeriesKey(account, "feature", environment, feature) for feature in features]
        wanted = [shard.series[kind] for kind in kinds if kind in shard.series]
        async with self._engine.connect() as connection:
            found = await _masks_of(connection, shard, to_number(first), to_number(last), wanted)
        return archive.between(archive.as_one(found), to_number(first), to_number(last))

    async def names(self, account: str, hashes: U64) -> list[str]:
        """What these people are called, sorted."""
        async with self._engine.connect() as connection:
            return await activity_store.names(connection, account, hashes.tolist())

    async def users(self, account: str, day: date, window: str, feature: str | None) -> list[str]:
        """The people behind a count, sorted."""
        shard = self._counting.shard_of(account)
        kind = (
            SeriesKey(account, "feature", PRODUCTION, feature) if feature else SeriesKey(account, "total", PRODUCTION)
        )
        series = shard.series.get(kind)
        if series is None:
            return []
        last = to_number(day)
        first = last - WINDOW_DAYS[window] + 1
        async with self._engine.connect() as connection:
            if first >= shard.activity.oldest_day and last <= shard.activity.last_exact_day:
                hashes = shard.activity.active(series, first, last)
            else:
                hashes = archive.active(
                    await mask_store.masks(connection, shard.number, first, last, [series]), first, last
                )
            return await activity_store.names(connection, account, hashes.tolist())


async def _masks_of(
    connection: AsyncConnection, shard: Shard, first: int, last: int, series: Iterable[int | None]
) -> Masks:
    wanted = sorted(number for number in series if number is not None)
    return await mask_store.masks(connection, shard.number, max(0, first), last, wanted)


def _counted(masks: Masks, series: int, day: int) -> Counts:
    """One day of one series among the masks of several."""
    rows = slice(*np.searchsorted(masks.series, [series, series + 1]).tolist())
    mine = Masks(masks.series[rows], masks.epoch[rows], masks.user[rows], masks.mask[rows])
    return _archived(mine, range(day, day + 1))[0] if len(mine) else _NOBODY


async def _counts(connection: AsyncConnection, shard: Shard, series: int, span: range) -> list[Counts]:
    ring = shard.activity
    if span.start >= ring.first_exact_day and span.stop - 1 <= ring.last_exact_day:
        return _ring_counts(shard, series, span)
    masks = await _masks_of(connection, shard, span.start - 2 * _LONGEST + 1, span.stop - 1, [series])
    return _archived(masks, span)


def _archived(masks: Masks, span: range) -> list[Counts]:
    """Of masks that reach back two of the longest windows: the oldest day whose DAU is asked for has a window too."""
    early, last = span.start - _LONGEST + 1, span.stop - 1
    return _by_day(span, archive.daily(masks, span.start, last), archive.daily(masks, early, last).dau.tolist())


def _ring_counts(shard: Shard, series: int, span: range) -> list[Counts]:
    ring, last = shard.activity, span.stop - 1
    dau = ring.daily(span.start - _LONGEST + 1, last, series)
    return _by_day(span, ring.history(series, span.start, last), dau.tolist())


def _by_day(span: range, windows: userdays.Counts, dau: Sequence[int]) -> list[Counts]:
    """`dau` begins 29 days before the span."""
    wau, mau = windows.wau.tolist(), windows.mau.tolist()
    return [Counts(tuple(dau[at : at + _LONGEST]), wau[at], mau[at]) for at in range(len(span))]


async def _contact_days(connection: AsyncConnection, shard: Shard, contact: int, span: range) -> list[int]:
    """Days on which anything was heard, ascending; at least every one that is the newest on some day of the span."""
    held = shard.activity.days_of(contact, CONTACT_USER)
    if held and held[0] <= span.start:
        return held
    return _bit_days(await mask_store.masks(connection, shard.number, 0, span.stop - 1, [contact]))


def _bit_days(masks: Masks) -> list[int]:
    bits = np.unpackbits(masks.mask.astype("<u8").view(np.uint8), bitorder="little").reshape(-1, EPOCH_DAYS)
    rows, days = np.nonzero(bits)
    heard: list[int] = (masks.epoch[rows].astype(np.int64) * EPOCH_DAYS + days).tolist()
    return heard


def _newest(days: Sequence[int], day: int) -> date | None:
    """The newest of `days`, which ascend, that is not after `day`."""
    at = bisect_right(days, day)
    return to_day(days[at - 1]) if at else None
