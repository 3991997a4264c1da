"""Working time of people: quiet hours and business time, over weekends, holidays, leave and changes of the clock."""

from datetime import UTC, datetime

import pytest

from uptake import config
from uptake_alerting.roster import Roster
from uptake_alerting.working_time import add_business_days, add_business_hours, in_working_hours, next_working_instant

ROSTER = config.parse(
    """
people:
- {name: ann, region: west, away: [{from: 2026-06-08, to: 2026-06-09}, {from: 2026-06-10T12:00, to: 2026-06-10T15:00}]}
- {name: ben, time_zone: Europe/Berlin, working_hours: {days: [sun, mon, tue, wed, thu], from: "08:00", to: "16:00"}}
- {name: nox, time_zone: UTC, working_hours: {days: [fri, sat], from: "22:00", to: "06:00"}}
- {name: gone, away: [{from: 2026-01-01, to: 2029-01-01}]}
holidays: {us: {2026-07-03: Independence Day (observed)}}
regions: {west: {time_zone: America/Los_Angeles, holidays: us}}
""",
    Roster,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("person", "now", "next_instant"),
    [
        # Los Angeles, 09:00 to 17:00: 16:00 to 00:00 UTC in summer, 17:00 to 01:00 in winter.
        ("ann", "2026-06-01T16:00", "2026-06-01T16:00"),
        ("ann", "2026-06-01T15:59", "2026-06-01T16:00"),
        ("ann", "2026-06-02T00:00", "2026-06-02T16:00"),
        ("ann", "2026-06-06T18:00", "2026-06-10T16:00"),  # Saturday; then two days of leave
        ("ann", "2026-06-10T19:30", "2026-06-10T22:00"),  # some hours of leave
        ("ann", "2026-07-02T23:59", "2026-07-02T23:59"),
        ("ann", "2026-07-03T18:00", "2026-07-06T16:00"),  # a holiday, then the weekend
        ("ann", "2026-03-07T18:00", "2026-03-09T16:00"),  # the clock goes forward on the weekend
        ("ann", "2026-10-31T18:00", "2026-11-02T17:00"),  # and back
        ("ben", "2026-03-28T12:00", "2026-03-29T06:00"),  # Sunday is a working day, and a day of 23 hours
        ("ben", "2026-10-24T12:00", "2026-10-25T07:00"),
        ("ben", "2026-10-23T12:00", "2026-10-25T07:00"),  # Friday is none
        ("nox", "2026-06-06T05:59", "2026-06-06T05:59"),  # Saturday, still the night of Friday
        ("nox", "2026-06-06T06:00", "2026-06-06T22:00"),
        ("gone", "2026-06-01T12:00", "2026-06-01T12:00"),  # nothing waits for years
        ("nobody knows", "2026-06-06T03:00", "2026-06-06T03:00"),
        (None, "2026-06-06T03:00", "2026-06-06T03:00"),
    ],
)
def test_when_somebody_works_next(person, now, next_instant):
    found = next_working_instant(ROSTER, person, at(now))
    assert found == at(next_instant)
    assert in_working_hours(ROSTER, person, at(now)) == (now == next_instant and person != "gone")


@pytest.mark.parametrize(
    ("person", "start", "hours", "end"),
    [
        ("ann", "2026-06-01T16:00", 4, "2026-06-01T20:00"),
        ("ann", "2026-06-01T23:00", 4, "2026-06-02T19:00"),  # one today, three tomorrow
        ("ann", "2026-06-05T22:00", 4, "2026-06-08T18:00"),  # over the weekend; leave does not stop the clock
        ("ann", "2026-07-02T22:00", 4, "2026-07-06T18:00"),  # nor does it run on a holiday
        ("ann", "2026-10-30T23:00", 4, "2026-11-02T20:00"),  # Friday 16:00 to Monday 12:00, an hour later in UTC
        ("ann", "2026-06-01T03:00", 0, "2026-06-01T16:00"),
        ("nobody knows", "2026-06-05T16:00", 4, "2026-06-08T12:00"),  # Monday to Friday, 9 to 17 UTC
        (None, "2026-06-06T03:00", 16, "2026-06-09T17:00"),
    ],
)
def test_hours_of_business_time(person, start, hours, end):
    assert add_business_hours(ROSTER, person, at(start), hours) == at(end)


@pytest.mark.parametrize(
    ("person", "start", "days", "end"),
    [
        ("ann", "2026-06-01T18:00", 2, "2026-06-03T18:00"),
        ("ann", "2026-06-05T18:00", 1, "2026-06-08T18:00"),
        ("ann", "2026-07-02T18:00", 1, "2026-07-06T18:00"),
        ("ann", "2026-06-06T18:00", 1, "2026-06-09T16:00"),  # from a Saturday they run from Monday 09:00
        ("ann", "2026-10-30T18:00", 1, "2026-11-02T19:00"),  # the same time on the wall
        ("ann", "2026-03-06T18:00", 1, "2026-03-09T17:00"),
        ("ben", "2026-10-22T12:00", 1, "2026-10-25T13:00"),
        ("nobody knows", "2026-06-05T20:00", 2, "2026-06-09T20:00"),
        (None, "2026-06-06T03:00", 0, "2026-06-08T09:00"),
    ],
)
def test_days_of_business_time(person, start, days, end):
    assert add_business_days(ROSTER, person, at(start), days) == at(end)


def test_a_time_that_does_not_exist_on_the_day_it_falls_on():
    """From Thursday 02:30 in Berlin to Sunday, when the clock jumps from 02:00 to 03:00."""
    assert add_business_days(ROSTER, "ben", at("2026-03-26T01:30"), 1) == at("2026-03-29T01:00")
