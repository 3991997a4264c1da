"""From the clock on a wall to instants, where that clock jumps. Knows no people and reads no clock; pure.

A span of wall-clock time starts at the *first* occurrence of a repeated time and ends at the *last* one; a time that
does not exist is the first instant after the gap. So two spans that meet on the wall overlap for the repeated hour
rather than miss it: an overlap is better than a gap. All instants that come out are in UTC, where they can be compared.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Span(NamedTuple):
    """From `start` until before `end`, both in UTC."""

    start: datetime
    end: datetime

    def holds(self, at: datetime) -> bool:
        return self.start <= at < self.end


def first(wall: datetime, zone: str) -> datetime:
    """When a clock of `zone` shows `wall` for the first time."""
    return _instant(wall, zone, fold=0)


def last(wall: datetime, zone: str) -> datetime:
    """When a clock of `zone` shows `wall` for the last time."""
    return _instant(wall, zone, fold=1)


def start_of(day: date, zone: str) -> datetime:
    """The first instant of a local day."""
    return first(datetime.combine(day, time.min), zone)


def span(start: datetime, end: datetime, zone: str) -> Span:
    return Span(first(start, zone), last(end, zone))


def stated(start: date | datetime, end: date | datetime) -> tuple[datetime, datetime]:
    """What people mean by from and to: of days, both count in full."""
    begin = start if isinstance(start, datetime) else datetime.combine(start, time.min)
    return begin, end if isinstance(end, datetime) else datetime.combine(end + DAY, time.min)


def local(at: datetime, zone: str) -> datetime:
    """What the clock shows."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def hours_of(day: date, start: time, end: time, zone: str) -> Span:
    """Of a day from `start` to `end`; to the next day's, where `end` is not after `start`."""
    ends_on = day if end > start else day + DAY
    return span(datetime.combine(day, start), datetime.combine(ends_on, end), zone)


def days_of(around: Span, zone: str) -> Iterator[date]:
    """The local days that may hold some of it, in order; one more on both sides, for hours that reach over midnight."""
    day, end = local(around.start, zone).date() - DAY, local(around.end, zone).date() + DAY
    while day <= end:
        yield day
        day += DAY


def _instant(wall: datetime, zone: str, fold: int) -> datetime:
    there = wall.replace(tzinfo=ZoneInfo(zone), fold=fold)
    found = there.astimezone(UTC)
    return found if local(found, zone) == wall else _end_of_gap(wall, zone)


def _end_of_gap(wall: datetime, zone: str) -> datetime:
    """The first instant at which the clock shows a later time than `wall`, which it jumps over."""
    sides = [wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (1, 0)]
    before, after = min(sides), max(sides)
    while after - before > _SECOND:  # zones change on whole seconds
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        before, after = (before, middle) if local(middle, zone) > wall else (middle, after)
    return after.replace(microsecond=0)
