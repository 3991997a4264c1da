"""One shard in memory: which series its accounts have, and the rings that count them. No I/O, no clock.

A shard changes in three steps, so that memory never says more than the database for longer than a commit:
`absorb` takes usage in and returns the `Change` to store; then either `settle` (it is stored) or `undo` (it is not).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import xxhash

from uptake_metrics.activity import PRODUCTION, ActivityPolicy, Refusal, shipped
from uptake_metrics.columns import IN_NO_BOOK, Columns, Unattributed
from uptake_metrics.live_days import LiveDays
from uptake_metrics.series import CONTACT, FEATURE, NO_SERIES, TOTAL, SeriesIndex, SeriesKey
from uptake_metrics.suppression import Suppression
from uptake_metrics.user_lists import UserLists
from uptake_metrics.userdays import I32, U64, Flags, Masks, UserDays, distinct, placed, starts
from uptake_metrics.windows import Activity, Fresh
from uptake_metrics.zones import local_days

#: A hostile producer could name a new feature with every event; beyond so many an account's count in its total only.
MAX_FEATURES = 2_000
#: A sign of life is nobody's: the contact series has this one user.
CONTACT_USER = 0


@dataclass(frozen=True, slots=True)
class HourCounts:
    """How many events of each account were received in an hour, by its contact series; `NO_SERIES` for no account."""

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
    hours: dict[int, HourCounts]  # since 1970; all events are in it, whatever became of them
    unattributed: list[Unattributed] = field(default_factory=list)
    not_counted: Counter[tuple[str, int, Refusal]] = field(default_factory=Counter)  # account, local day, reason


def of_registry(shard: int, series: dict[int, SeriesKey], zones: dict[str, str]) -> Change:
    """Series and zones alone, of which nothing is counted in the same step."""
    none = UserDays(np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.int32))
    return Change(shard, none, series, zones, set(), events=0, first_day={}, hours={})


def user_hash(user: str) -> int:
    """64 bits that name a person within an account. XXH3 is frozen: the value is stored."""
    return xxhash.xxh3_64_intdigest(user.encode())


def _user_hashes(columns: Columns) -> U64:
    digests = b"".join(map(xxhash.xxh3_64_digest, columns.users))
    return np.frombuffer(digests, ">u8").astype(np.uint64)


class Shard:
    """The accounts of one shard. `front` is the newest local day that exists anywhere, in days since 1970.

    Whoever has a user-day in a series has it in the parents of that series too. So an event whose user-day is known in
    the narrowest series ends there, and most do.
    """

    def __init__(self, number: int, front: int, policy: Callable[[], ActivityPolicy] = shipped) -> None:
        self.number = number
        self.activity = Activity(front)
        self.zones: dict[str, str] = {}
        self._index = SeriesIndex(MAX_FEATURES, policy)
        self._days = LiveDays()
        self._zone: I32 = np.empty(0, np.int32)  # code by contact series
        self._stored_series = 0
        self._new_zones: dict[str, str] = {}
        self.lists = UserLists()  # of whom people are named
        self.erased = Suppression()  # what is stored and held of these people counts as their tombstones'

    @property
    def keys(self) -> list[SeriesKey]:
        """The series in the order of their numbers."""
        return self._index.keys

    @property
    def series(self) -> dict[SeriesKey, int]:
        return self._index.numbers

    def restore(self, keys: Sequence[SeriesKey], zones: dict[str, str], masks: Masks) -> None:
        """Take over what is stored: the series in the order of their numbers, their zones, and the newest masks."""
        self._adopt(keys, zones)
        self.activity.load(masks)
        self.activity.rebook()

    def follow(self, keys: Sequence[SeriesKey], zones: dict[str, str], fresh: UserDays) -> set[str]:
        """Take over what another process stored since: its new series, the zones of new accounts, its user-days.

        Returns the accounts whose counts changed.
        """
        self._adopt(keys, zones)
        self.activity.advance(int(fresh.day.max(initial=self.activity.front)))
        changed = self.activity.add(fresh.series, fresh.user, fresh.day)
        return set(self._first_days(_rows([changed])))

    def _adopt(self, keys: Sequence[SeriesKey], zones: dict[str, str]) -> None:
        self._index.add(keys)
        self.zones.update(zones)
        self._grow(zones.__getitem__)
        self._stored_series = len(self.keys)

    def total(self, account: str, environment: str = PRODUCTION) -> int | None:
        return self.series.get(SeriesKey(account, "total", environment))

    def feature(self, account: str, feature: str, environment: str = PRODUCTION) -> int | None:
        return self.series.get(SeriesKey(account, "feature", environment, feature))

    def features_of(self, account: str, environment: str = PRODUCTION) -> dict[str, int]:
        """The feature series of an account, by feature."""
        keys = ((self.keys[number], number) for number in self._index.features_of(account))
        return {key.feature: number for key, number in keys if key.environment == environment}

    def contact(self, account: str) -> int | None:
        """The series of any sign of life; none when the account never sent anything."""
        return self._index.contacts_utf8.get(account.encode())

    def of_account(self, account: str) -> list[int]:
        """Every series of an account, whatever it counts."""
        return [number for number, key in enumerate(self.keys) if key.account == account]

    def absorb(self, columns: Columns, zone_of: Callable[[str], str]) -> Change:
        """Count the events; `zone_of` says the zone of an account that is new to the shard."""
        contact = self._index.contacts(columns)
        self._grow(zone_of)
        days = self._days.days(columns.instants, self._zone.take(contact), self.activity.front)
        series = self._index.narrowest(columns, contact, days)
        self._grow(zone_of)
        self.activity.advance(int(days.max(initial=self.activity.front)))
        users = _user_hashes(columns)
        nobody = series == contact
        fresh = self._add(UserDays(series, np.where(nobody, np.uint64(CONTACT_USER), users), days))
        change = self._change(columns, contact, users, fresh)
        if nobody.any():
            new = np.repeat([hour != IN_NO_BOOK for hour, _ in columns.hours], [events for _, events in columns.hours])
            change.not_counted = self._index.refusals(columns, contact, days, nobody & new)
        return change

    def user_days(self, columns: Columns, zone: str) -> UserDays:
        """What these events of known accounts are in another zone, with repeats; counts nothing."""
        columns = Columns.of(map(self.erased.applied, columns.batches))
        contact, days = self._index.contacts(columns), local_days(columns.instants, zone)
        series = self._index.narrowest(columns, contact, days)
        self._grow(lambda _: zone)
        users = np.where(series == contact, np.uint64(CONTACT_USER), _user_hashes(columns))
        rows = [UserDays(series, users, days)]
        while len(rows[-1]):
            rows.append(self._wider(rows[-1]))
        return _joined(rows)

    def refusals(self, columns: Columns, zone: str) -> Counter[tuple[str, int, Refusal]]:
        """How many of these events, that `user_days` knows, are a sign of life only, in another zone."""
        columns = Columns.of(map(self.erased.applied, columns.batches))
        contact, days = self._index.contacts(columns), local_days(columns.instants, zone)
        nobody = self._index.narrowest(columns, contact, days) == contact
        return self._index.refusals(columns, contact, days, nobody)

    def undo(self, change: Change) -> None:
        """The change could not be stored: forget its user-days, and its series and zones with them.

        Were a series to wait for the next change, one that the database never takes would spoil that one too.
        """
        self.activity.remove(change.fresh.series, change.fresh.user, change.fresh.day)
        self.activity.forget_series(self._stored_series)
        self._index.forget(self._stored_series)
        for account in self._new_zones:
            del self.zones[account]
        self._new_zones.clear()

    def settle(self, change: Change) -> None:
        self._stored_series = max(self._stored_series, *(n + 1 for n in change.new_series), 0)
        for account in change.new_zones:
            self._new_zones.pop(account, None)

    def _grow(self, zone_of: Callable[[str], str]) -> None:
        """Count the series that the index met, each in the zone of its account."""
        first = self.activity.series_count
        new = self.keys[first:]
        if not new:
            return
        for key in new:
            if key.account not in self.zones:
                self.zones[key.account] = self._new_zones[key.account] = zone_of(key.account)
        self._zone = placed(self._zone, first, [self._days.code(self.zones[key.account]) for key in new])
        self.activity.grow(self._index.kind[first : first + len(new)] == TOTAL)

    def _add(self, rows: UserDays) -> list[Fresh]:
        """Add user-days, and those that were news in a series to the parents too."""
        changed = []
        while len(rows):
            changed.append(self.activity.add(rows.series, rows.user, rows.day))
            rows = self._wider(_rows(changed[-1:]))
        return changed

    def _wider(self, rows: UserDays) -> UserDays:
        """What these user-days are in the parents of their series, with repeats."""
        if not len(rows):
            return rows
        parent = self._index.parent.take(rows.series)
        some = np.flatnonzero(parent != NO_SERIES)
        series, user = parent.take(some), rows.user.take(some)
        user[self._index.kind.take(series) == CONTACT] = CONTACT_USER
        return UserDays(series, user, rows.day.take(some))

    def _change(self, columns: Columns, contact: I32, users: U64, changed: list[Fresh]) -> Change:
        fresh = _rows(changed)
        return Change(
            shard=self.number,
            fresh=fresh,
            new_series={number: self.keys[number] for number in range(self._stored_series, len(self.keys))},
            new_zones=dict(self._new_zones),
            people=self._people(changed, columns, users) if len(fresh) else set(),
            events=sum(events for hour, events in columns.hours if hour != IN_NO_BOOK),
            first_day=self._first_days(fresh) if len(fresh) else {},
            hours=_hours(columns, contact),
            unattributed=columns.unattributed,
        )

    def _people(self, changed: list[Fresh], columns: Columns, hashes: U64) -> set[tuple[str, int, str]]:
        """Users that the ring did not hold before: the database may not know what they are called."""
        new = [(fresh, self._unnamed(fresh)) for fresh in changed]
        series = np.concatenate([part for fresh, some in new for part in (fresh.series[some], fresh.older.series)])
        person = np.concatenate([part for fresh, some in new for part in (fresh.user[some], fresh.older.user)])
        total = self._index.kind.take(series) == TOTAL
        series, person = series[total], person[total]
        if not len(person):
            return set()
        person_sorted = np.sort(person)  # cheaper than `np.isin`, which sorts the events too
        named = person_sorted.take(np.searchsorted(person_sorted, hashes), mode="clip") == hashes
        names = dict(zip(hashes[named].tolist(), map(bytes.decode, compress(columns.users, named)), strict=True))
        keys, pairs = self.keys, zip(series.tolist(), person.tolist(), strict=True)
        told = {(keys[number].account, user, names[user]) for number, user in pairs}
        return {one for one in told if one[0] not in self.lists.off}

    def _unnamed(self, fresh: Fresh) -> Flags:
        """Where lists were off for a while, also those whom the ring holds."""
        if not self.lists.again:
            return fresh.first
        again = [number for number in set(fresh.series.tolist()) if self.keys[number].account in self.lists.again]
        return fresh.first | np.isin(fresh.series, again)

    def _first_days(self, fresh: UserDays) -> dict[str, int]:
        """The earliest day of each account."""
        kind, parent = self._index.kind.take(fresh.series), self._index.parent
        total = np.where(kind == FEATURE, parent.take(fresh.series), fresh.series)
        contact = np.where(kind == CONTACT, total, parent.take(total))
        order = np.sort(contact.astype(np.int64) << 32 | fresh.day)
        earliest = order[starts(order >> 32)]
        numbers, days = (earliest >> 32).tolist(), (earliest & 0xFFFFFFFF).tolist()
        keys = self.keys
        return {keys[number].account: day for number, day in zip(numbers, days, strict=True)}


def _rows(changed: Sequence[Fresh]) -> UserDays:
    """All user-days that were news, none twice."""
    older = _joined([fresh.older for fresh in changed])
    if len(older):
        older = distinct(older.series, older.user, older.day)
    return _joined([*(UserDays(fresh.series, fresh.user, fresh.day) for fresh in changed), older])


def _joined(parts: Sequence[UserDays]) -> UserDays:
    if not parts:
        return UserDays(np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.int32))
    return UserDays(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.user for part in parts]),
        np.concatenate([part.day for part in parts]),
    )


def _hours(columns: Columns, contact: I32) -> dict[int, HourCounts]:
    hours = [hour for hour, _ in columns.hours]
    if len(set(hours)) == 1:
        counts = {hours[0]: _tally(contact)}
    else:
        of_event = np.repeat(np.array(hours, np.int64), [events for _, events in columns.hours])
        counts = {hour: _tally(contact[of_event == hour]) for hour in sorted(set(hours))}
    for hour, events in columns.unattributed_hours.items():
        known = counts[hour]
        counts[hour] = HourCounts(
            np.concatenate([np.array([NO_SERIES], np.int32), known.series]),
            np.concatenate([np.array([events], np.int32), known.events]),
        )
    counts.pop(IN_NO_BOOK, None)
    return counts


def _tally(contact: I32) -> HourCounts:
    ordered = np.sort(contact)
    heads = starts(ordered)
    return HourCounts(ordered[heads], np.diff(heads, append=len(ordered)).astype(np.int32))
