"""The log of one shard counted anew, and how that compares with what is stored and held. Pure: no I/O, no clock."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from uptake_metrics import archive
from uptake_metrics.activity import ActivityPolicy, Refusal, shipped
from uptake_metrics.batches import Batch
from uptake_metrics.columns import Columns
from uptake_metrics.series import SeriesKey
from uptake_metrics.shard import Shard
from uptake_metrics.suppression import Suppression
from uptake_metrics.userdays import EPOCH_DAYS, U64, Masks, UserDays
from uptake_metrics.windows import Activity

Refused = Counter[tuple[str, int, Refusal]]  # events by account, local day and reason

_ROWS_AT_A_TIME = 200_000
_NO_DAYS = UserDays(np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.int32))
_NO_MASKS = Masks(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint64), np.empty(0, np.uint64))


class Replay:
    """An empty shard of the same series and zones, and the user-days that it has counted so far."""

    def __init__(
        self,
        number: int,
        front: int,
        keys: Sequence[SeriesKey],
        zones: dict[str, str],
        zone_of: Callable[[str], str],
        policy: Callable[[], ActivityPolicy] = shipped,
    ) -> None:
        self.number = number
        self._policy = policy
        self._front = front
        self._zone_of = zone_of
        self.outdated = False  # somebody was erased since: what was replayed names them
        self.erased = Suppression()  # whoever reads the log says who is not to be named
        self._begin(keys, zones)

    def _begin(self, keys: Sequence[SeriesKey], zones: dict[str, str]) -> None:
        self.reached = 0  # sequence in USAGE
        self.shard = Shard(self.number, self._front, self._policy)
        self.shard.restore(keys, dict(zones), _NO_MASKS)
        self.new_series: dict[int, SeriesKey] = {}
        self.new_zones: dict[str, str] = {}
        self._masks = _NO_MASKS
        self._waiting: list[Masks] = []
        self.refused = Refused()  # of the log, as far as it was read

    def adopt(self, keys: Sequence[SeriesKey], zones: dict[str, str]) -> bool:
        """Number series as the store does by now: what a number means must not depend on who met the account first.

        False when something was numbered, or placed in a zone, otherwise than the store has it: all begins again.
        """
        known = len(self.shard.keys)
        in_place = all(zones.get(account, zone) == zone for account, zone in self.shard.zones.items())
        if not in_place or (self.new_series and len(keys) > known - len(self.new_series)):
            self._begin(keys, zones)
            return False
        if len(keys) > known:
            self.shard.follow(keys[known:], dict(zones), _NO_DAYS)
        return True

    def take(self, batches: Sequence[Batch]) -> Refused:
        """The next batches of the log; returns which of their events the activity policy refuses."""
        kept = (self.erased.applied(batch) for batch in batches)
        # What a rewritten message stands for is gone from the log: here it is the one that brings its events.
        anew = (msgspec.structs.replace(batch, rewrite_of=None) for batch in kept)
        change = self.shard.absorb(Columns.of(anew), self._zone_of)
        self.new_series, self.new_zones = change.new_series, change.new_zones
        self._waiting.append(archive.fold(change.fresh))
        if sum(map(len, self._waiting)) > _ROWS_AT_A_TIME:
            self.masks()
        return change.not_counted

    def masks(self) -> Masks:
        """All that was counted, of days of any age."""
        if self._waiting:
            self._masks = archive.merge(self._masks, *self._waiting)
            self._waiting = []
        return self._masks


@dataclass(frozen=True, slots=True)
class Difference:
    """User-days that the log has and the store lacks, and the reverse. `accounts`: how many of each, and from which day
    on; a user-day that only memory has wrong counts there too. `logged`: how many the log holds."""

    missing: Masks
    extra: Masks
    accounts: dict[str, tuple[int, int, int]]
    logged: int

    def __bool__(self) -> bool:
        return bool(self.accounts)

    @property
    def user_days(self) -> int:
        return sum(missing + extra for missing, extra, _ in self.accounts.values())

    @property
    def series(self) -> list[int]:
        return sorted({*self.missing.series.tolist(), *self.extra.series.tolist()})

    def people(self, keys: Sequence[SeriesKey]) -> set[tuple[str, int]]:
        """Whose days were missing in a total: account and hash."""
        pairs = zip(self.missing.series.tolist(), self.missing.user.tolist(), strict=True)
        return {(keys[number].account, user) for number, user in pairs if keys[number].kind == "total"}


def compare(replay: Replay, stored: Masks, held: Activity | None, covered_from: int) -> Difference:
    """`stored` has the days from `covered_from` on; `held`: memory as of the same position, if it is there."""
    logged = archive.since(replay.masks(), covered_from)
    missing, extra = archive.discard(logged, stored), archive.discard(stored, logged)
    lacking, ghosts = missing, extra
    if held is not None:
        first = max(covered_from, held.oldest_day)
        memory, ring = archive.since(held.dump(), first), archive.since(logged, first)
        lacking = archive.merge(missing, archive.discard(ring, memory))
        ghosts = archive.merge(extra, archive.discard(memory, ring))
    return Difference(missing, extra, _by_account(replay.shard.keys, lacking, ghosts), _size(logged.mask))


def drifted(activity: Activity) -> int:
    """How many series are booked otherwise than their masks say, on any day."""
    first, last, series = activity.first_exact_day, activity.last_exact_day, activity.booked
    if not len(series):
        return 0
    right = activity.recount(series, first, last)
    off = np.zeros(len(series), np.bool_)
    for at, day in enumerate(range(first, last + 1)):
        booked = activity.counts(day)
        off |= right.dau[:, at] != booked.dau
        off |= right.wau[:, at] != booked.wau
        off |= right.mau[:, at] != booked.mau
    return int(np.count_nonzero(off))


def _by_account(keys: Sequence[SeriesKey], missing: Masks, extra: Masks) -> dict[str, tuple[int, int, int]]:
    found: dict[str, tuple[int, int, int]] = {}
    for masks, sign in ((missing, 0), (extra, 1)):
        for block in archive.blocks(masks):
            number = int(block.series[0])
            account = keys[number].account if number < len(keys) else ""
            counts = list(found.get(account, (0, 0, 2**31)))
            counts[sign] += _size(block.mask)
            counts[2] = min(counts[2], _first_day(block))
            found[account] = (counts[0], counts[1], counts[2])
    return found


def _first_day(block: Masks) -> int:
    """Of one series and epoch."""
    bits = int(np.bitwise_or.reduce(block.mask))
    return int(block.epoch[0]) * EPOCH_DAYS + (bits & -bits).bit_length() - 1


def _size(masks: U64) -> int:
    return int(np.bitwise_count(masks).sum())
