"""From the wall clock to instants, over both changes of the clock on both sides of the Atlantic."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake_alerting import wall

NEW_YORK, LOS_ANGELES, BERLIN, LONDON = "America/New_York", "America/Los_Angeles", "Europe/Berlin", "Europe/London"


SHOWN = st.datetimes(datetime.fromisoformat("2024-01-01"), datetime.fromisoformat("2028-01-01"))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown", "first", "last"),
    [
        # 8 March 2026: 02:00 becomes 03:00 in America. What lies between does not exist.
        (NEW_YORK, "2026-03-08T01:59", "2026-03-08T06:59", "2026-03-08T06:59"),
        (NEW_YORK, "2026-03-08T02:00", "2026-03-08T07:00", "2026-03-08T07:00"),
        (NEW_YORK, "2026-03-08T02:30", "2026-03-08T07:00", "2026-03-08T07:00"),
        (NEW_YORK, "2026-03-08T02:59", "2026-03-08T07:00", "2026-03-08T07:00"),
        (NEW_YORK, "2026-03-08T03:00", "2026-03-08T07:00", "2026-03-08T07:00"),
        (LOS_ANGELES, "2026-03-08T02:30", "2026-03-08T10:00", "2026-03-08T10:00"),
        # 29 March: three weeks later in Europe, in all zones at 01:00 UTC.
        (BERLIN, "2026-03-29T02:30", "2026-03-29T01:00", "2026-03-29T01:00"),
        (LONDON, "2026-03-29T01:30", "2026-03-29T01:00", "2026-03-29T01:00"),
        # 25 October: Europe has an hour twice.
        (BERLIN, "2026-10-25T01:59", "2026-10-24T23:59", "2026-10-24T23:59"),
        (BERLIN, "2026-10-25T02:00", "2026-10-25T00:00", "2026-10-25T01:00"),
        (BERLIN, "2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        (BERLIN, "2026-10-25T03:00", "2026-10-25T02:00", "2026-10-25T02:00"),
        (LONDON, "2026-10-25T01:30", "2026-10-25T00:30", "2026-10-25T01:30"),
        # 1 November: America has one a week later.
        (NEW_YORK, "2026-11-01T01:00", "2026-11-01T05:00", "2026-11-01T06:00"),
        (LOS_ANGELES, "2026-11-01T01:30", "2026-11-01T08:30", "2026-11-01T09:30"),
        # Midnight itself is missing, half an hour is, and a whole day was.
        ("America/Santiago", "2026-09-06T00:00", "2026-09-06T04:00", "2026-09-06T04:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", "2026-10-03T15:30"),
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00", "2011-12-30T10:00"),
    ],
)
def test_the_first_and_the_last_time_that_a_clock_shows_something(zone, shown, first, last):
    stated = datetime.fromisoformat(shown)
    assert (wall.first(stated, zone), wall.last(stated, zone)) == (at(first), at(last))


@pytest.mark.parametrize(
    ("zone", "day", "hours", "long"),
    [
        (NEW_YORK, date(2026, 3, 7), ("22:00", "06:00"), 7),  # a night without 02:00 to 03:00
        (NEW_YORK, date(2026, 10, 31), ("22:00", "06:00"), 9),
        (NEW_YORK, date(2026, 11, 1), ("01:30", "02:00"), 1.5),
        (NEW_YORK, date(2026, 11, 1), ("01:00", "01:30"), 1.5),  # from the first 01:00 to the last 01:30
        (NEW_YORK, date(2026, 11, 1), ("09:00", "17:00"), 8),
        (BERLIN, date(2026, 3, 29), ("02:00", "03:00"), 0),
        (BERLIN, date(2026, 3, 29), ("00:00", "00:00"), 23),
        (BERLIN, date(2026, 10, 25), ("00:00", "00:00"), 25),
    ],
)
def test_how_long_hours_of_a_day_really_are(zone, day, hours, long):
    start, end = map(time.fromisoformat, hours)
    found = wall.hours_of(day, start, end, zone)
    assert found.end - found.start == timedelta(hours=long)


@given(
    st.sampled_from([NEW_YORK, LOS_ANGELES, BERLIN, LONDON, "Australia/Lord_Howe", "Asia/Kolkata", "America/Santiago"]),
    SHOWN,
    st.timedeltas(timedelta(minutes=1), timedelta(days=3)),
    st.timedeltas(timedelta(minutes=1), timedelta(days=3)),
)
def test_spans_that_meet_on_the_wall_never_leave_a_gap(zone, start, one, other):
    before, after = wall.span(start, start + one, zone), wall.span(start + one, start + one + other, zone)
    assert after.start <= before.end
    assert before.start <= before.end


@given(st.sampled_from([NEW_YORK, BERLIN, "Asia/Kolkata"]), SHOWN)
def test_an_instant_lies_between_the_first_and_the_last_of_what_its_clock_shows(zone, instant):
    now = instant.replace(tzinfo=UTC)
    shown = wall.local(now, zone)
    assert wall.first(shown, zone) <= now <= wall.last(shown, zone)


@pytest.mark.parametrize(
    ("day", "zone", "instant"),
    [
        (date(2026, 5, 2), "UTC", "2026-05-02T00:00:00"),
        (date(2026, 5, 2), "America/New_York", "2026-05-02T04:00:00"),
        (date(2026, 3, 29), "Europe/Berlin", "2026-03-28T23:00:00"),
        (date(2026, 9, 6), "America/Santiago", "2026-09-06T04:00:00"),  # it begins at 1:00: there is no midnight
    ],
)
def test_where_a_local_day_begins(day, zone, instant):
    assert wall.start_of(day, zone) == datetime.fromisoformat(instant).replace(tzinfo=UTC)
