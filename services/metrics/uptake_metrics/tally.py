"""The counts of any account on any day, from the rings where they reach and from the archive where not.

The one place that KPIs, lists, charts and gauges get their counts from. Judges nothing.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake.messages.fields import UNNAMED_PERSON
from uptake_metrics import activity_store, archive, mask_store
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.aliases import Aliases, aliases
from uptake_metrics.counting import Counting
from uptake_metrics.feature_tally import FeatureTally
from uptake_metrics.kpis import Counts
from uptake_metrics.links import Links
from uptake_metrics.ordering import in_turns
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import CONTACT_USER, Shard
from uptake_metrics.user_lists import UserListsOff
from uptake_metrics.userdays import EPOCH_DAYS, I32, U64, WINDOWS, Masks
from uptake_metrics.zones import to_day, to_number

_HISTORIES = 100  # accounts to read the whole archive of at once
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


@dataclass(frozen=True, slots=True)
class History:
    """Who was active on which day, all as one series, 0; and the days on which anything was heard, ascending: null when
    nothing was ever sent."""

    account: str
    masks: Masks
    heard: Sequence[int] | None

    def last_contact(self, day: date) -> date | None:
        return _newest(self.heard or (), to_number(day))


class Tally:
    """Reads the shards of `counting`, and the archive behind them.

    What is kept of people is kept by the id of each event. Here, and nowhere before, the linked ids of a person become
    one: all that is booked stays right, and unlinking brings everything back.
    """

    def __init__(
        self, engine: AsyncEngine, counting: Counting, links_of: Callable[[str], Links] = lambda _: ()
    ) -> None:
        """`links_of`: which ids of an account name one person, by its facts."""
        self._engine = engine
        self._counting = counting
        self._links_of = links_of
        self.features = FeatureTally(engine, counting, self._aliases)

    def _aliases(self, account: str) -> Aliases | None:
        """The links as of the facts that are folded here, and the ids as of the user-days that are counted here."""
        links, erased = self._links_of(account), self._counting.shard_of(account).erased
        if account in erased.accounts:
            links = tuple((erased.name(account, user), erased.name(account, other)) for user, other in links)
        return aliases(links)

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
        counts = (
            _NOBODY
            if series is None
            else _ring_counts(shard, series, range(number, number + 1), self._aliases(account))[0]
        )
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
                counts = await _counts(connection, shard, series, span, self._aliases(account))
        return [Tallied(to_day(day), count, _newest(heard, day)) for day, count in zip(span, counts, strict=True)]

    async def on(self, accounts: Mapping[str, date], environment: str = PRODUCTION) -> dict[str, Tallied]:
        """One day each of many accounts: from memory, and of all that memory cannot tell in one go a shard."""
        told: dict[str, Tallied] = {}
        asked: dict[tuple[int, date], list[str]] = defaultdict(list)
        async for account, day in in_turns(accounts.items()):
            if tallied := self.now(account, day, environment):
                told[account] = tallied
            else:
                asked[self._counting.shard_of(account).number, day].append(account)
        if asked:
            async with self._engine.connect() as connection:
                for (number, day), names in asked.items():
                    shard = self._counting.shards[number]
                    told |= await self._from_archive(connection, shard, names, day, environment)
        return told

    async def _from_archive(
        self, connection: AsyncConnection, shard: Shard, accounts: Sequence[str], day: date, environment: str
    ) -> dict[str, Tallied]:
        """Accounts of one shard that have a contact series."""
        number = to_number(day)
        contacts = {account: shard.contact(account) for account in accounts}
        heard = archive.newest_days(
            archive.until(await _masks_of(connection, shard, 0, number, contacts.values()), number)
        )
        totals = {account: shard.total(account, environment) for account in accounts}
        early = number - 2 * _LONGEST + 1
        counted = await _masks_of(connection, shard, early, number, totals.values())
        told = {}
        async for account in in_turns(accounts):
            newest = heard.get(contacts[account] or 0)
            counts = _NOBODY
            if totals[account] is not None:
                counts = _counted(counted, totals[account] or 0, number, self._aliases(account))
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
        kept = archive.between(archive.as_one(found), to_number(first), to_number(last))
        same = self._aliases(account)
        return same.merged(kept) if same else kept

    async def histories(self, accounts: Sequence[str], last: date) -> AsyncIterator[list[History]]:
        """Everything there is of each of these accounts up to `last`; some accounts of a shard at a time."""
        of_shard: dict[int, list[str]] = defaultdict(list)
        for account in accounts:
            of_shard[self._counting.shard_of(account).number].append(account)
        for number, names in of_shard.items():
            for start in range(0, len(names), _HISTORIES):
                yield await self._histories(self._counting.shards[number], names[start : start + _HISTORIES], last)

    async def _histories(self, shard: Shard, accounts: Sequence[str], last: date) -> list[History]:
        series = [(shard.total(account), shard.contact(account)) for account in accounts]
        async with self._engine.connect() as connection:
            found = await _masks_of(connection, shard, 0, to_number(last), (one for pair in series for one in pair))
        same = [self._aliases(account) for account in accounts]
        return await asyncio.to_thread(_split, found, to_number(last), accounts, series, same)

    async def names(self, account: str, hashes: U64) -> list[str]:
        """What these people are called, sorted; whoever was not heard of since lists are on again is `unnamed`.

        Raises `UserListsOff`.
        """
        if account in self._counting.lists.off:
            raise UserListsOff(account)
        hashes = np.unique(hashes)
        async with self._engine.connect() as connection:
            known = await activity_store.names(connection, account, hashes.tolist())
        same = self._aliases(account)
        if same:  # the id that others go by may never have done anything itself
            known = sorted({*known, *(same.names[user] for user in hashes.tolist() if user in same.names)})
        return known + [f"{UNNAMED_PERSON}{number}" for number in range(1, len(hashes) - len(known) + 1)]

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
        same = self._aliases(account)
        return await self.names(account, np.unique(same.persons_of(hashes)) if same else hashes)


async def _masks_of(
    connection: AsyncConnection, shard: Shard, first: int, last: int, series: Iterable[int | None]
) -> Masks:
    wanted = sorted(number for number in series if number is not None)
    return await mask_store.masks(connection, shard.number, max(0, first), last, wanted)


def _split(
    found: Masks,
    last: int,
    accounts: Sequence[str],
    series: Sequence[tuple[int | None, int | None]],
    aliases: Sequence[Aliases | None],
) -> list[History]:
    histories = []
    for account, (total, contact), same in zip(accounts, series, aliases, strict=True):
        mine = archive.until(_rows_of(found, total), last)
        mine = Masks(np.zeros_like(mine.series), mine.epoch, mine.user, mine.mask)
        heard = None if contact is None else _bit_days(archive.until(_rows_of(found, contact), last))
        histories.append(History(account, same.merged(mine) if same else mine, heard))
    return histories


def _rows_of(masks: Masks, series: int | None) -> Masks:
    """One series among several; nothing of an account that has none."""
    rows = slice(*np.searchsorted(masks.series, [series, series + 1]).tolist()) if series is not None else slice(0)
    return Masks(masks.series[rows], masks.epoch[rows], masks.user[rows], masks.mask[rows])


def _counted(masks: Masks, series: int, day: int, same: Aliases | None) -> Counts:
    """One day of one series among the masks of several."""
    mine = _rows_of(masks, series)
    return _archived(mine, range(day, day + 1), same)[0] if len(mine) else _NOBODY


async def _counts(
    connection: AsyncConnection, shard: Shard, series: int, span: range, same: Aliases | None
) -> list[Counts]:
    ring = shard.activity
    if span.start >= ring.first_exact_day and span.stop - 1 <= ring.last_exact_day:
        return _ring_counts(shard, series, span, same)
    masks = await _masks_of(connection, shard, span.start - 2 * _LONGEST + 1, span.stop - 1, [series])
    return _archived(masks, span, same)


def _archived(masks: Masks, span: range, same: Aliases | None) -> list[Counts]:
    """Of masks that reach back two of the longest windows: the oldest day whose DAU is asked for has a window too."""
    return _by_day(span, *_daily(same.merged(masks) if same else masks, span))


def _ring_counts(shard: Shard, series: int, span: range, same: Aliases | None) -> list[Counts]:
    """The book counts every id as a person: for linked ones it is put right, at the price of the linked ones alone."""
    ring, last = shard.activity, span.stop - 1
    windows, dau = ring.history(series, span.start, last), ring.daily(span.start - _LONGEST + 1, last, series)
    wau, mau = windows.wau, windows.mau
    if same:
        linked = ring.dump_users(series, same.users)
        apart, as_one = _daily(linked, span), _daily(same.merged(linked), span)
        wau, mau, dau = (
            booked - before + after for booked, before, after in zip((wau, mau, dau), apart, as_one, strict=True)
        )
    return _by_day(span, wau, mau, dau)


def _daily(masks: Masks, span: range) -> tuple[I32, I32, I32]:
    """WAU and MAU of the windows that end on each day, and DAU from 29 days before."""
    windows = archive.daily(masks, span.start, span.stop - 1)
    return windows.wau, windows.mau, archive.daily(masks, span.start - _LONGEST + 1, span.stop - 1).dau


def _by_day(span: range, wau: I32, mau: I32, dau: I32) -> list[Counts]:
    """`dau` begins 29 days before the span."""
    days, weeks, months = dau.tolist(), wau.tolist(), mau.tolist()
    return [Counts(tuple(days[at : at + _LONGEST]), weeks[at], months[at]) for at in range(len(span))]


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
