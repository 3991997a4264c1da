"""The one definition of an account's local day. Nothing else turns an instant into a day; no clock is read here.

Source: the domain definition, "Time". A local day is `[00:00, next 00:00)` on the clock of an IANA zone, with three
cases that the words leave open:

- Midnight does not exist (clocks go forward over it): the day begins with the first instant after the gap.
- The clock goes back over midnight: the day has begun when the clock first showed 00:00, and days never run backwards.
- The zone skipped a day: that day has no length, and no instant falls on it.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

SETTLE_H = 2
"""Hours after local midnight until a day closes, so that slow producers are still counted in time."""

DAY = timedelta(days=1)
_EPOCH = date(1970, 1, 1)
_DAYS = (date(2101, 1, 1) - _EPOCH).days
_DAY_US = 86_400_000_000
_MICROSECOND = timedelta(microseconds=1)


def to_day(number: int) -> date:
    """The day of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=number)


def to_number(day: date) -> int:
    return (day - _EPOCH).days


@lru_cache(maxsize=128)  # 0.4 MB and about 50 ms a zone
def _midnights(zone: str) -> NDArray[np.int64]:
    """The first instants of the days 1970-01-01 to 2101-01-01, in microseconds since the epoch."""
    first = datetime(1970, 1, 1, tzinfo=ZoneInfo(zone))
    offsets = ((first + DAY * day).utcoffset() or timedelta() for day in range(_DAYS + 1))  # wall-clock steps, fold 0
    offsets_us = np.fromiter((offset // _MICROSECOND for offset in offsets), np.int64, _DAYS + 1)
    return np.arange(_DAYS + 1, dtype=np.int64) * _DAY_US - offsets_us


def warm_up(zones: Iterable[str]) -> None:
    """Build the tables of these zones, which the first instant of each would do: about 50 ms each."""
    for zone in zones:
        _midnights(zone)


def local_days(instants_us: NDArray[np.int64], zone: str) -> NDArray[np.int32]:
    """Days since 1970-01-01 in `zone`, for instants in microseconds since the epoch (UTC), in any order.

    ValueError when an instant is outside the local years 1970 to 2100.
    """
    midnights = _midnights(zone)
    days = np.searchsorted(midnights, instants_us, side="right") - 1
    if days.size and (days.min() < 0 or days.max() >= _DAYS):
        raise ValueError(f"an instant is outside the years 1970 to 2100 of {zone}")
    return days.astype(np.int32)


def local_day(instant: datetime, zone: str) -> date:
    """The same day for one aware instant, of any year."""
    try:
        day = instant.astimezone(ZoneInfo(zone)).date()
        return day + DAY if day_start(day + DAY, zone) <= instant else day
    except OverflowError:  # the zone's clock would leave the years 1 to 9999; a fact may carry such an instant
        return instant.astimezone(UTC).date()


def day_start(day: date, zone: str) -> datetime:
    """The first instant of `day`, in UTC. It is also the end, exclusive, of the day before.

    Fold 0 is the earlier of two midnights, and inside a gap that begins at midnight it is the end of the gap.
    """
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def closes_at(day: date, zone: str, settle_h: int = SETTLE_H) -> datetime:
    """When `day` closes, in UTC: the next local midnight and `settle_h` elapsed hours."""
    return day_start(day + DAY, zone) + timedelta(hours=settle_h)


def last_closed_day(now: datetime, zone: str, settle_h: int = SETTLE_H) -> date:
    """The newest day with `closes_at(day) <= now`."""
    return local_day(now.astimezone(UTC) - timedelta(hours=settle_h), zone) - DAY
