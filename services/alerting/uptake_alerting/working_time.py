"""Working time of people: whether they work at an instant, when next, and how long some hours or days of it take. Pure.

Somebody whom the roster does not know is always at work, so that nothing waits for them; their business time runs
Monday to Friday, 9 to 17 UTC.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from uptake_alerting import wall
from uptake_alerting.people import WEEKDAYS, Person
from uptake_alerting.roster import Roster
from uptake_alerting.wall import DAY, Span

HORIZON = timedelta(days=400)  # farther ahead nobody is waited for
_UNKNOWN = Person(name="somebody whom no roster has")


def absence(roster: Roster, person: Person, at: datetime) -> Span | None:
    """The leave that somebody is on."""
    return next((span for span in absences(roster, person) if span.holds(at)), None)


def absences(roster: Roster, person: Person) -> list[Span]:
    zone = roster.zone_of(person)
    return [wall.span(*wall.stated(one.start, one.end), zone) for one in person.away]


def in_working_hours(roster: Roster, person: str | None, now: datetime) -> bool:
    """Neither a free day, a holiday nor leave, and inside the hours of the day."""
    known = roster.by_name.get(person or "")
    if known is None:
        return True
    return absence(roster, known, now) is None and any(span.holds(now) for span in _hours(roster, known, now))


def works_on_day_of(roster: Roster, person: str | None, at: datetime) -> bool:
    """Whether the local day of an instant is neither free nor a holiday, and no leave lasts beyond it."""
    known = roster.by_name.get(person or "", _UNKNOWN)
    zone = roster.zone_of(known)
    day, away = wall.local(at, zone).date(), absence(roster, known, at)
    return _works_on(roster, known, day) and (away is None or wall.local(away.end, zone).date() == day)


def next_working_instant(roster: Roster, person: str | None, now: datetime) -> datetime:
    """`now`, if it is one, and also when there is none within a year: somebody else has to be asked then."""
    known = roster.by_name.get(person or "")
    if known is None:
        return now
    start = now
    for span in _hours(roster, known, now):
        start = max(span.start, now)
        while start < span.end and (away := absence(roster, known, start)) is not None:
            start = away.end
        if start < span.end:
            return start
    return now


def add_business_hours(roster: Roster, person: str | None, start: datetime, hours: int) -> datetime:
    """When so many hours of business time have passed since `start`. It runs on while the person is on leave."""
    left = timedelta(hours=hours)
    for span in _hours(roster, roster.by_name.get(person or "", _UNKNOWN), start):
        begin = max(span.start, start)
        if span.end - begin >= left:
            return begin + left
        left -= max(span.end - begin, timedelta())
    return start + timedelta(hours=hours)


def add_business_days(roster: Roster, person: str | None, start: datetime, days: int) -> datetime:
    """The same time on the person's clock so many business days later; on a free day, they run from the next one."""
    known = roster.by_name.get(person or "", _UNKNOWN)
    zone = roster.zone_of(known)
    begin = wall.local(start, zone)
    if not _works_on(roster, known, begin.date()):
        first_day = next(_hours(roster, known, start), None)
        begin = wall.local(first_day.start, zone) if first_day else begin
    left, end = days, begin + HORIZON
    while left and begin < end:
        begin += DAY
        left -= _works_on(roster, known, begin.date())
    return wall.first(begin, zone)


def _hours(roster: Roster, person: Person, start: datetime) -> Iterator[Span]:
    """Working hours that are not over at `start`, in order, for somewhat more than a year. Leave is not looked at."""
    zone, hours = roster.zone_of(person), person.working_hours
    for day in wall.days_of(Span(start, start + HORIZON), zone):
        if _works_on(roster, person, day):
            span = wall.hours_of(day, hours.start, hours.end, zone)
            if span.end > start:
                yield span


def _works_on(roster: Roster, person: Person, day: date) -> bool:
    return WEEKDAYS[day.weekday()] in person.working_hours.days and day not in roster.holidays_of(person)
