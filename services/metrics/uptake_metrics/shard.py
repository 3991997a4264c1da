"""One shard in memory: which series its accounts have, and the rings that count them. No I/O, no clock.

A shard changes in three steps, so that memory never says more than the database for longer than a commit:
`absorb` takes usage in and returns the `Change` to store; then either `settle` (it is stored) or `undo` (it is not).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal, NamedTuple

import numpy as np
import xxhash

from uptake_metrics.activity import PRODUCTION, qualifies
from uptake_metrics.columns import Columns, Unattributed
from uptake_metrics.userdays import I32, U64, Masks, UserDays
from uptake_metrics.windows import Activity, Fresh
from uptake_metrics.zones import local_days

#: A hostile producer could name a new feature with every event; beyond so many an account's count in its total only.
MAX_FEATURES = 2_000
#: A sign of life is nobody's: the contact series has this one user.
CONTACT_USER = 0
_NOT_COUNTED = -1

Kind = Literal["total", "feature", "contact"]


class SeriesKey(NamedTuple):
    """What a series counts: all activity of an account, one feature of it, or any sign of life."""

    account: str
    kind: Kind
    environment: str = ""
    feature: str = ""


class HourCounts(NamedTuple):
    """Events of each account, told by its contact series, ascending; -1 = of no account."""

    series: I32
    events: I32


@dataclass(slots=True)
class Change:
    """What one batch of usage changed in a shard, in the shape the store writes."""

    shard: int
    fresh: UserDays
    new_series: dict[int, SeriesKey]
    new_zones: dict[str, str]
    people: set[tuple[str, int, str]]  # account, hash, user id
    events: int
    first_day: dict[str, int]  # per account that has fresh days: the earliest, in days since 1970
    unattributed: list[Unattributed] = field(default_factory=list)
    not_counted: Counter[str] = field(default_factory=Counter)
    hours: dict[int, HourCounts] = field(default_factory=dict)


def user_hash(user: str) -> int:
    """64 bits that name a person within an account. XXH3 is frozen: the value is stored."""
    return xxhash.xxh3_64_intdigest(user.encode())


class Shard:
    """The accounts of one shard. `front` is the newest local day that exists anywhere, in days since 1970."""

    def __init__(self, number: int, front: int) -> None:
        self.number = number
        self.activity = Activity(front)
        self.keys: list[SeriesKey] = []
        self.series: dict[SeriesKey, int] = {}
        self.zones: dict[str, str] = {}
        self._features: Counter[str] = Counter()
        self._feature_series: dict[tuple[str, str, str], int] = {}
        self._stored_series = 0
        self._new_zones: dict[str, str] = {}

    def restore(self, keys: Sequence[SeriesKey], zones: dict[str, str], masks: Masks) -> None:
        """Take over what is stored: the series in the order of their numbers, their zones, and the newest masks."""
        for key in keys:
            self._add(key)
        self._stored_series = len(self.keys)
        self.zones = zones
        self.activity.load(masks)
        self.activity.rebook()

    def total(self, account: str, environment: str = PRODUCTION) -> int | None:
        return self.series.get(SeriesKey(account, "total", environment))

    def feature(self, account: str, feature: str, environment: str = PRODUCTION) -> int | None:
        return self.series.get(SeriesKey(account, "feature", environment, feature))

    def contact(self, account: str) -> int | None:
        """The series of any sign of life; none when the account never sent anything."""
        return self.series.get(SeriesKey(account, "contact"))

    def of_account(self, account: str) -> list[int]:
        """Every series of an account, whatever it counts."""
        return [number for number, key in enumerate(self.keys) if key.account == account]

    def absorb(self, columns: Columns, zone_of: Callable[[str], str]) -> Change:
        """Count the events; `zone_of` says the zone of an account that is new to the shard."""
        self._meet(columns, zone_of)
        rows = self._rows(columns, self._local_days(columns))
        self.activity.advance(int(rows.day.max(initial=self.activity.front)))
        return self._change(columns, self.activity.add(rows.series, rows.user, rows.day))

    def follow(self, keys: Sequence[SeriesKey], zones: dict[str, str], fresh: UserDays) -> set[str]:
        """Take over what another process stored since; returns the accounts whose numbers may have changed."""
        for key in keys:
            self._add(key)
        self._stored_series = len(self.keys)
        self.zones.update(zones)
        self.activity.advance(int(fresh.day.max(initial=self.activity.front)))
        changed = self.activity.add(fresh.series, fresh.user, fresh.day)
        series = set(changed.series.tolist()) | set(changed.older.series.tolist())
        return {self.keys[number].account for number in series if self.keys[number].kind != "feature"}

    def user_days(self, columns: Columns, zone: str) -> UserDays:
        """What these events of known accounts are in another zone, with repeats; counts nothing."""
        self._meet(columns, lambda _: zone)
        return self._rows(columns, local_days(np.array(columns.instants_us, np.int64), zone))

    def _rows(self, columns: Columns, days: I32) -> UserDays:
        """A sign of life for every event, and activity in total and by feature for those that count."""
        contact, total, feature = (np.fromiter(codes, np.int32, len(columns)) for codes in self._codes(columns))
        users = np.fromiter(map(user_hash, columns.users), np.uint64, len(columns))
        counted = (feature != _NOT_COUNTED) & np.array(columns.counted, np.bool_)
        by_feature = counted & (feature != total)
        return UserDays(
            np.concatenate([contact, total[counted], feature[by_feature]]),
            np.concatenate([np.full(len(columns), CONTACT_USER, np.uint64), users[counted], users[by_feature]]),
            np.concatenate([days, days[counted], days[by_feature]]),
        )

    def undo(self, change: Change) -> None:
        """The change could not be stored: forget its user-days, and its series and zones with them.

        Were a series to wait for the next change, one that the database never takes would spoil that one too.
        """
        self.activity.remove(change.fresh.series, change.fresh.user, change.fresh.day)
        self.activity.forget_series(self._stored_series)
        for key in self.keys[self._stored_series :]:
            del self.series[key]
            self._features[key.account] -= key.kind == "feature"
        del self.keys[self._stored_series :]
        for account in self._new_zones:
            del self.zones[account]
        self._new_zones.clear()
        self._feature_series.clear()

    def settle(self, change: Change) -> None:
        self._stored_series = max(self._stored_series, *(n + 1 for n in change.new_series), 0)
        for account in change.new_zones:
            self._new_zones.pop(account, None)

    def _meet(self, columns: Columns, zone_of: Callable[[str], str]) -> None:
        """Give a number to every series that these events need and the shard has not seen yet."""
        for account in set(columns.accounts) - self.zones.keys():
            self.zones[account] = self._new_zones[account] = zone_of(account)
            self._number(SeriesKey(account, "contact"))
        seen = self._feature_series
        triples = zip(columns.accounts, columns.environments, columns.features, strict=True)
        for triple in dict.fromkeys(compress(triples, columns.counted)):  # in order: whose series is the last decides
            if triple in seen:
                continue
            account, environment, feature = triple
            total = self._number(SeriesKey(account, "total", environment))
            number = self._feature(account, environment, feature, total)
            if number != total:  # not remembered, or a flood of features would fill the memory
                seen[triple] = number

    def _feature(self, account: str, environment: str, feature: str, total: int) -> int:
        """The series of a feature; the account's total where it has too many; none where it is no activity."""
        if not qualifies(feature):
            return _NOT_COUNTED
        key = SeriesKey(account, "feature", environment, feature)
        if key not in self.series and self._features[account] >= MAX_FEATURES:
            return total
        return self._number(key)

    def _number(self, key: SeriesKey) -> int:
        known = self.series.get(key)
        return self._add(key) if known is None else known

    def _add(self, key: SeriesKey) -> int:
        number = self.activity.add_series(booked=key.kind == "total")
        self.keys.append(key)
        self.series[key] = number
        if key.kind == "feature":
            self._features[key.account] += 1
        return number

    def _codes(self, columns: Columns) -> tuple[list[int], list[int], list[int]]:
        series, features = self.series, self._feature_series
        pairs = list(zip(columns.accounts, columns.environments, strict=True))
        triples = zip(columns.accounts, columns.environments, columns.features, strict=True)
        contact = {account: series[SeriesKey(account, "contact")] for account in set(columns.accounts)}
        # Events that are a sign of life only may be alone with their environment; theirs is no series.
        total = {pair: series.get(SeriesKey(pair[0], "total", pair[1]), _NOT_COUNTED) for pair in set(pairs)}
        return (
            [contact[account] for account in columns.accounts],
            [total[pair] for pair in pairs],
            [features.get(triple, total[triple[:2]]) for triple in triples],
        )

    def _local_days(self, columns: Columns) -> I32:
        instants = np.array(columns.instants_us, np.int64)
        zones = [self.zones[account] for account in columns.accounts]
        distinct = set(zones)
        if len(distinct) == 1:
            return local_days(instants, distinct.pop())
        days = np.empty(len(columns), np.int32)
        names = np.array(zones)
        for zone in distinct:
            here = names == zone
            days[here] = local_days(instants[here], zone)
        return days

    def _change(self, columns: Columns, changed: Fresh) -> Change:
        names = {user_hash(user): user for user in set(columns.users)}
        older = changed.older
        fresh = UserDays(
            np.concatenate([changed.series, older.series]),
            np.concatenate([changed.user, older.user]),
            np.concatenate([changed.day, older.day]),
        )
        first = np.concatenate([changed.first, np.ones(len(older), np.bool_)])
        new = range(self._stored_series, len(self.keys))
        return Change(
            shard=self.number,
            fresh=fresh,
            new_series={number: self.keys[number] for number in new},
            new_zones=dict(self._new_zones),
            people=self._people(fresh.series[first], fresh.user[first], names),
            events=len(columns),
            first_day=self._first_days(fresh),
            unattributed=columns.unattributed,
            not_counted=columns.not_counted,
            hours=self._hours(columns),
        )

    def _hours(self, columns: Columns) -> dict[int, HourCounts]:
        rows: dict[int, Counter[int]] = {}
        at = 0
        for hour, n in columns.received:
            counts = rows.setdefault(hour, Counter())
            accounts = columns.accounts[at : at + n]
            counts.update(self.series[SeriesKey(account, "contact")] for account in accounts)
            at += n
        for hour, n in columns.nameless.items():
            rows.setdefault(hour, Counter())[-1] += n
        return {
            hour: HourCounts(np.array(sorted(c), np.int32), np.array([c[k] for k in sorted(c)], np.int32))
            for hour, c in rows.items()
            if c
        }

    def _people(self, series: I32, users: U64, names: dict[int, str]) -> set[tuple[str, int, str]]:
        """Users that the ring did not hold before: the database may not know what they are called."""
        keys = self.keys
        pairs = zip(series.tolist(), users.tolist(), strict=True)
        return {(keys[series].account, user, names[user]) for series, user in pairs if keys[series].kind == "total"}

    def _first_days(self, fresh: UserDays) -> dict[str, int]:
        order = np.lexsort((fresh.day, fresh.series))
        series, day = fresh.series[order], fresh.day[order]
        heads = np.flatnonzero(np.diff(series, prepend=np.int32(-1)))
        earliest: dict[str, int] = {}
        for number, first in zip(series[heads].tolist(), day[heads].tolist(), strict=True):
            key = self.keys[number]
            if key.kind != "feature":
                earliest[key.account] = min(first, earliest.get(key.account, first))
        return earliest
