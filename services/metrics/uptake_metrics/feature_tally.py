"""Who used which feature when, of one account or of a whole shard: from the ring where it reaches, else the archive.

The one place that feature and use-case numbers get their user-days from. Counts nobody.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from uptake_metrics import archive, mask_store
from uptake_metrics.activity import PRODUCTION
from uptake_metrics.aliases import Aliases
from uptake_metrics.counting import Counting
from uptake_metrics.features import MAU_DAYS, FeatureDays, Users, daily_users, first_days, users
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import Shard
from uptake_metrics.use_cases import UseCases
from uptake_metrics.userdays import Masks
from uptake_metrics.zones import DAY, to_number

_BEFORE = DAY * (MAU_DAYS - 1)


@dataclass(frozen=True, slots=True)
class Uses:
    """What one account used over some days. `mau`: the people of the 30 days that end on each of them. `first_used`:
    features that it used on one of them for the first time."""

    mau: Mapping[date, Users]
    first_used: Mapping[str, date]

    def first_used_on(self, day: date) -> list[str]:
        return sorted(feature for feature, first in self.first_used.items() if first == day)


class FeatureTally:
    """Reads the shards of `counting`. `aliases_of`: the ids of an account that name one person."""

    def __init__(self, engine: AsyncEngine, counting: Counting, aliases_of: Callable[[str], Aliases | None]) -> None:
        self._engine = engine
        self._counting = counting
        self._aliases_of = aliases_of

    def now(self, account: str, first: date, last: date, environment: str = PRODUCTION) -> FeatureDays | None:
        """The days `first..last` of one account, from memory alone; null where the ring does not hold them."""
        shard = self._counting.shard_of(account)
        return self._held(shard, _series_of(shard, account, environment), first, last)

    def mau_now(self, accounts: Sequence[str], day: date, taxonomy: UseCases) -> dict[str, Users]:
        """Of accounts of one shard, from memory alone: the 30 days that end on a day; nothing where it does not reach.

        Memory is looked through once for all of them.
        """
        held = self._held_of(accounts, day)
        return {} if held is None else _mau(held, dict.fromkeys(accounts, day), taxonomy)

    def _held_of(self, accounts: Sequence[str], day: date) -> FeatureDays | None:
        if not accounts:
            return None
        shard = self._counting.shard_of(accounts[0])
        wanted = sorted(number for account in accounts for number in _series_of(shard, account, PRODUCTION))
        return self._held(shard, wanted, day - _BEFORE, day)

    def _held(self, shard: Shard, wanted: Sequence[int], first: date, last: date) -> FeatureDays | None:
        if to_number(first) < shard.activity.oldest_day or to_number(last) > shard.activity.last_exact_day:
            return None
        return self._told(shard, wanted, shard.activity.dump(wanted))

    async def of(self, account: str, first: date, last: date, environment: str = PRODUCTION) -> FeatureDays:
        """The days `first..last` of one account, and some around them."""
        held = self.now(account, first, last, environment)
        if held is not None:
            return held
        shard = self._counting.shard_of(account)
        wanted = _series_of(shard, account, environment)
        async with self._engine.connect() as connection:
            found = await _stored(connection, shard, first, last, wanted)
        return self._told(shard, wanted, found)

    async def uses(self, account: str, first: date, last: date, taxonomy: UseCases) -> Uses:
        """The days `first..last` in production, in one query at most two; counted in a thread.

        Only of a feature that nobody used in the 29 days before, the days before those have to be asked for.
        """
        held = await self.of(account, first - _BEFORE, last)
        span = [first + DAY * number for number in range((last - first).days + 1)]
        counted = await asyncio.to_thread(daily_users, held, to_number(first), to_number(last), taxonomy)
        mau = dict(zip(span, counted, strict=True))
        return Uses(mau, await self._first_uses_since(account, first_days(held), first))

    async def uses_on(self, accounts: Sequence[str], day: date, taxonomy: UseCases) -> dict[str, Uses]:
        """The same of one day of accounts of one shard, from memory, which is looked through once for all of them;
        nothing where it does not reach."""
        held = self._held_of(accounts, day)
        if held is None:
            return {}
        mau = _mau(held, dict.fromkeys(accounts, day), taxonomy)
        first = dict[str, dict[SeriesKey, date]]()
        for key, used in first_days(held).items():
            first.setdefault(key.account, {})[key] = used
        return {
            account: Uses({day: mau[account]}, await self._first_uses_since(account, first.get(account, {}), day))
            for account in accounts
        }

    async def _first_uses_since(self, account: str, held: Mapping[SeriesKey, date], first: date) -> dict[str, date]:
        new = [key.feature for key, day in held.items() if day >= first]
        return await self.first_uses(account, new) if new else {}

    async def of_shard(self, number: int, first: date, last: date, environment: str = PRODUCTION) -> FeatureDays:
        """The days `first..last` of every account of a shard, in one query, and some days around them."""
        shard = self._counting.shards[number]
        wanted = [n for n, key in enumerate(shard.keys) if key.environment == environment]
        async with self._engine.connect() as connection:
            found = await _stored(connection, shard, first, last, wanted)
        return self._told(shard, wanted, found)

    async def mau(self, days: Mapping[str, date], taxonomy: UseCases) -> dict[str, Users]:
        """Of many accounts, in production: the 30 days that end on a day of each one's own.

        A query a shard, counted in a thread: thousands of accounts must not hold up counting.
        """
        of_shard = defaultdict[int, dict[str, date]](dict)
        for account, day in days.items():
            of_shard[self._counting.shard_of(account).number][account] = day
        found: dict[str, Users] = {}
        for number, wanted in of_shard.items():
            whole = await self.of_shard(number, min(wanted.values()) - _BEFORE, max(wanted.values()))
            found |= await asyncio.to_thread(_mau, whole, wanted, taxonomy)
        return found

    async def first_uses(
        self, account: str, features: Iterable[str] | None = None, environment: str = PRODUCTION
    ) -> dict[str, date]:
        """The first day on which the account ever used a feature: of all features, or of some."""
        shard = self._counting.shard_of(account)
        known = shard.features_of(account, environment)
        wanted = sorted(known.values() if features is None else {known[one] for one in features if one in known})
        if not wanted:
            return {}
        async with self._engine.connect() as connection:
            found = await mask_store.oldest(connection, shard.number, wanted)
        return {key.feature: day for key, day in first_days(self._told(shard, wanted, found)).items()}

    def _told(self, shard: Shard, wanted: Sequence[int], masks: Masks) -> FeatureDays:
        """Series by their place among the wanted ones, which ascend, and each person by one id."""
        keys = [shard.keys[number] for number in wanted]
        series = np.searchsorted(np.array(wanted, np.int32), masks.series).astype(np.int32)
        return FeatureDays(keys, self._as_persons(keys, Masks(series, masks.epoch, masks.user, masks.mask)))

    def _as_persons(self, keys: Sequence[SeriesKey], masks: Masks) -> Masks:
        places = dict[str, list[int]]()
        for place, key in enumerate(keys):
            places.setdefault(key.account, []).append(place)
        same = {account: self._aliases_of(account) for account in places}
        user = masks.user.copy()
        for account, aliases in same.items():
            if aliases:
                rows = np.flatnonzero(np.isin(masks.series, np.array(places[account], np.int32)))
                user[rows] = aliases.persons_of(user[rows])
        return archive.merge(Masks(masks.series, masks.epoch, user, masks.mask)) if any(same.values()) else masks


def _mau(whole: FeatureDays, wanted: Mapping[str, date], taxonomy: UseCases) -> dict[str, Users]:
    found: dict[str, Users] = {}
    for day in set(wanted.values()):
        counted = users(whole, to_number(day - _BEFORE), to_number(day), taxonomy)
        found |= {account: counted.get(account, Users()) for account, own in wanted.items() if own == day}
    return found


def _series_of(shard: Shard, account: str, environment: str) -> list[int]:
    total = shard.total(account, environment)
    return sorted([*([] if total is None else [total]), *shard.features_of(account, environment).values()])


async def _stored(connection: AsyncConnection, shard: Shard, first: date, last: date, wanted: Sequence[int]) -> Masks:
    return await mask_store.masks(connection, shard.number, max(0, to_number(first)), to_number(last), wanted)
