"""Whom to tell of an alert and when each may be told: the roster and the routes in force at one instant. Pure."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import chain, islice

from uptake_alerting import wall
from uptake_alerting.roster import Roster
from uptake_alerting.threads import Destination
from uptake_alerting.whom import About, Chosen, Routes, whom
from uptake_alerting.working_time import (
    HORIZON,
    add_business_days,
    add_business_hours,
    in_working_hours,
    next_working_instant,
    works_on_day_of,
)


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
        """At digest time on their next working day, whatever their hours are; on the next day, if there is none."""
        zone = self._zone(person)
        today = wall.local(self.now, zone).date()
        mornings = (self._morning(today + timedelta(days=ahead), zone) for ahead in range(HORIZON.days))
        coming = [morning for morning in islice(mornings, 3) if morning > self.now]
        to_come = chain(coming, mornings)
        return next((one for one in to_come if works_on_day_of(self.roster, person, one)), coming[0])

    def _morning(self, day: date, zone: str) -> datetime:
        return wall.first(datetime.combine(day, self.digest_time), zone)

    def after_hours(self, person: str | None, start: datetime, hours: int) -> datetime:
        return add_business_hours(self.roster, person, start, hours)

    def after_days(self, person: str | None, start: datetime, days: int) -> datetime:
        return add_business_days(self.roster, person, start, days)

    def _zone(self, person: str | None) -> str:
        known = self.roster.by_name.get(person or "")
        return self.roster.zone_of(known) if known is not None else "UTC"
