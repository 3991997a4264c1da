"""The duties of a person as a calendar, read back by a program that reads calendars."""

from datetime import UTC, datetime, timedelta

from icalendar import Calendar

from uptake import config
from uptake_alerting.ical import calendar
from uptake_alerting.roster import Roster
from uptake_alerting.wall import Span

NOW = datetime(2026, 10, 28, 12, tzinfo=UTC)
ROSTER = config.parse(
    """
people: [{name: ann}, {name: "bob\\\\, the; second"}]
rotations:
  west:
    title: US West
    time_zone: America/Los_Angeles
    layers: [{people: [ann, "bob\\\\, the; second"], start: 2026-10-26, handover: "09:00"}]
  day:
    time_zone: UTC
    layers: [{people: [ann], start: 2026-10-26, only: {days: [fri], from: "09:00", to: "17:00"}}]
""",
    Roster,
)


def read(person: str, since: datetime = NOW, days: int = 14) -> Calendar:
    return Calendar.from_ical(calendar(ROSTER, person, Span(since, since + timedelta(days=days)), NOW))


def test_every_shift_in_full_and_in_utc_over_the_change_of_the_clock():
    found = sorted((event.start, event.end, str(event["SUMMARY"])) for event in read("ann").events)
    assert found == [
        (datetime(2026, 10, 26, 16, tzinfo=UTC), datetime(2026, 11, 2, 17, tzinfo=UTC), "On call: US West"),
        (datetime(2026, 10, 30, 9, tzinfo=UTC), datetime(2026, 10, 30, 17, tzinfo=UTC), "On call: day"),
        (datetime(2026, 11, 6, 9, tzinfo=UTC), datetime(2026, 11, 6, 17, tzinfo=UTC), "On call: day"),
        (datetime(2026, 11, 9, 17, tzinfo=UTC), datetime(2026, 11, 16, 17, tzinfo=UTC), "On call: US West"),
    ]


def test_a_shift_keeps_its_id_whenever_it_is_exported():
    first, later = read("ann"), read("ann", NOW + timedelta(days=3))
    assert first.events[0]["UID"] == later.events[0]["UID"]
    assert len({event["UID"] for event in first.events}) == len(first.events)


def test_a_name_with_marks_of_the_format_stays_one_name():
    text = calendar(ROSTER, "bob\\, the; second", Span(NOW, NOW + timedelta(days=7)), NOW)
    assert max(len(line) for line in text.split(b"\r\n")) <= 75
    (event,) = Calendar.from_ical(text).events
    assert str(event["DESCRIPTION"]) == "bob\\, the; second, layer 1 of west"


def test_somebody_without_a_duty_has_an_empty_calendar():
    assert read("nobody").events == []
