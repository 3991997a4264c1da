"""Whom to tell of an alert and when each may be told: the roster and the routes in force at one instant. Pure."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from uptake_alerting import wall
from uptake_alerting.roster import Roster
from uptake_alerting.threads import Destination
from uptake_alerting.whom import About, Chosen, Routes, whom
from uptake_alerting.working_time import add_business_days, add_business_hours, in_working_hours, next_working_instant


@dataclass(frozen=True)
class Book:
    """`digest_time`: when the morning's digest goes, on the clock of whom it is for."""

    roster: Roster
    routes: Routes
    now: datetime
    digest_time: time = time(8)

    def choose(self, about: About, level: int, tried: frozenset[Destination]) -> Chosen:
        return whom(about, level, self.roster, self.routes, self.now, tried)

    def quiet_until(self, person: str | None) -> datetime | None:
        """None while they are at work, and for whomever the roster does not know."""
        if in_working_hours(self.roster, person, self.now):
            return None
        until = next_working_instant(self.roster, person, self.now)
        return until if until > self.now else None

    def digest_at(self, person: str | None) -> datetime:
        """The next morning of a working day."""
        zone = self._zone(person)
        day = wall.local(self.now, zone).date()
        while True:
            morning = wall.first(datetime.combine(day, self.digest_time), zone)
            if morning > self.now and self._works_that_day(person, morning, zone):
                return morning
            day += timedelta(days=1)

    def after_hours(self, person: str | None, start: datetime, hours: int) -> datetime:
        return add_business_hours(self.roster, person, start, hours)

    def after_days(self, person: str | None, start: datetime, days: int) -> datetime:
        return add_business_days(self.roster, person, start, days)

    def _zone(self, person: str | None) -> str:
        known = self.roster.by_name.get(person or "")
        return self.roster.zone_of(known) if known is not None else "UTC"

    def _works_that_day(self, person: str | None, morning: datetime, zone: str) -> bool:
        if self.roster.by_name.get(person or "") is None:
            return wall.local(morning, zone).weekday() < 5
        begins = next_working_instant(self.roster, person, morning)
        return wall.local(begins, zone).date() == wall.local(morning, zone).date()
