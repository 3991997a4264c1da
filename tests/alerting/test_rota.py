"""Who is on call when: turns over the changes of the clock, hours, holidays, leave, overrides, layers; and the gaps."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake import config
from uptake_alerting.roster import Roster
from uptake_alerting.rota import gap_days, gaps, on_call, schedule, shifts, stints
from uptake_alerting.wall import Span

PEOPLE = "people: [{name: ann}, {name: bob}, {name: cem}]\n"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days(first: str, count: int) -> Span:
    return Span(at(first), at(first) + timedelta(days=count))


def rota_of(rotation: str, people: str = PEOPLE, other: str = "") -> Roster:
    """One rotation `r`, in the form of the file."""
    return config.parse(f"{people}{other}rotations:\n  r: {rotation}\n", Roster)


def layer(people: str, zone: str = "America/New_York", other: str = "start: 2026-01-05", beside: str = "") -> str:
    return f"{{time_zone: {zone}, layers: [{{people: [{people}], {other}}}]{beside}}}"


def shown(shifts: list) -> list[tuple[str, str, str]]:
    return [(s.person, f"{s.start:%m-%dT%H:%M}", f"{s.end:%m-%dT%H:%M}") for s in shifts]


@pytest.mark.parametrize(
    ("zone", "instant", "there"),
    [
        # Weekly turns from Monday 09:00 to Monday 09:00 in New York: 14:00 UTC in winter, 13:00 in summer.
        ("America/New_York", "2026-01-05T13:59", []),  # before the first turn
        ("America/New_York", "2026-01-05T14:00", ["ann"]),
        ("America/New_York", "2026-01-12T13:59", ["ann"]),
        ("America/New_York", "2026-01-12T14:00", ["bob"]),
        # The clock goes forward on 8 March: 168 hours after the turn began it would be an hour too late.
        ("America/New_York", "2026-03-09T12:59", ["ann"]),
        ("America/New_York", "2026-03-09T13:00", ["bob"]),
        ("America/Los_Angeles", "2026-03-09T15:59", ["ann"]),
        ("America/Los_Angeles", "2026-03-09T16:00", ["bob"]),
        # And back on 1 November.
        ("America/New_York", "2026-11-02T13:59", ["ann"]),
        ("America/New_York", "2026-11-02T14:00", ["bob"]),
        # Europe: 29 March and 25 October.
        ("Europe/Berlin", "2026-03-30T06:59", ["bob"]),
        ("Europe/Berlin", "2026-03-30T07:00", ["ann"]),
        ("Europe/Berlin", "2026-10-26T07:59", ["bob"]),
        ("Europe/Berlin", "2026-10-26T08:00", ["ann"]),
        ("Europe/London", "2026-03-30T07:59", ["bob"]),
        ("Europe/London", "2026-03-30T08:00", ["ann"]),
    ],
)
def test_a_weekly_turn_changes_at_the_same_local_time_all_year(zone, instant, there):
    assert list(on_call(rota_of(layer("ann, bob", zone)), "r", at(instant))) == there


@pytest.mark.parametrize(
    ("zone", "handover", "start", "instant", "there"),
    [
        # 1 November, 01:30 comes twice, at 05:30 and 06:30 UTC: both have the duty in between.
        ("America/New_York", "01:30", "2026-10-30", "2026-11-01T05:29", ["bob"]),
        ("America/New_York", "01:30", "2026-10-30", "2026-11-01T05:30", ["bob", "ann"]),
        ("America/New_York", "01:30", "2026-10-30", "2026-11-01T06:29", ["bob", "ann"]),
        ("America/New_York", "01:30", "2026-10-30", "2026-11-01T06:30", ["ann"]),
        # 8 March, 02:30 does not exist: it changes at once when the clock jumps, at 07:00 UTC.
        ("America/New_York", "02:30", "2026-03-06", "2026-03-08T06:59", ["bob"]),
        ("America/New_York", "02:30", "2026-03-06", "2026-03-08T07:00", ["ann"]),
        ("Europe/Berlin", "02:30", "2026-10-23", "2026-10-25T00:29", ["bob"]),
        ("Europe/Berlin", "02:30", "2026-10-23", "2026-10-25T00:30", ["bob", "ann"]),
        ("Europe/Berlin", "02:30", "2026-10-23", "2026-10-25T01:30", ["ann"]),
        ("Europe/Berlin", "02:30", "2026-03-27", "2026-03-29T00:59", ["bob"]),
        ("Europe/Berlin", "02:30", "2026-03-27", "2026-03-29T01:00", ["ann"]),
        ("Europe/London", "01:30", "2026-03-27", "2026-03-29T00:59", ["bob"]),
        ("Europe/London", "01:30", "2026-03-27", "2026-03-29T01:00", ["ann"]),
    ],
)
def test_a_daily_turn_that_changes_while_the_clock_does(zone, handover, start, instant, there):
    roster = rota_of(layer("ann, bob", zone, f'start: {start}, every: day, handover: "{handover}"'))
    assert sorted(on_call(roster, "r", at(instant))) == sorted(there)


def test_turns_go_round():
    found = schedule(rota_of(layer("ann, bob, cem", "UTC")), "r", days("2026-01-05T09:00", 28))
    assert [shift.person for shift in found] == ["ann", "bob", "cem", "ann"]
    assert all(one.end == other.start for one, other in pairwise(found))


WORKING = 'start: 2026-11-16, only: {from: "09:00", to: "17:00"}'


def test_working_days_and_hours_with_a_holiday():
    roster = rota_of(
        layer("ann, bob", other=WORKING, beside=", holidays: us"), other="holidays: {us: {2026-11-26: Thanksgiving}}\n"
    )
    found = schedule(roster, "r", days("2026-11-23T00:00", 7))
    assert shown(found) == [("bob", f"11-{day}T14:00", f"11-{day}T22:00") for day in (23, 24, 25, 27)]
    assert gaps(roster, "r", days("2026-11-16T00:00", 60)) == []  # nights, weekends and holidays are not promised
    assert [(one.person, one.on_duty) for one in stints(found)] == [("bob", timedelta(hours=32))]


def test_hours_over_midnight_and_over_the_change_of_the_clock():
    roster = rota_of(layer("ann", other='start: 2026-10-01, only: {days: [sat], from: "22:00", to: "06:00"}'))
    assert shown(schedule(roster, "r", days("2026-10-31T00:00", 3))) == [("ann", "11-01T02:00", "11-01T11:00")]  # 9 h


AWAY = "people: [{name: ann, away: [{from: 2026-02-03, to: 2026-02-04}], time_zone: Europe/Berlin}, {name: bob}]\n"


def test_leave_is_a_gap_that_a_second_layer_fills():
    alone = rota_of(layer("ann", "UTC"), AWAY)
    away = Span(at("2026-02-02T23:00"), at("2026-02-04T23:00"))  # two days on ann's own clock
    assert gaps(alone, "r", days("2026-02-01T00:00", 7)) == [away]
    assert gap_days(alone, "r", days("2026-02-01T00:00", 7)) == [date(2026, 2, day) for day in (2, 3, 4)]
    both = "{time_zone: UTC, layers: [{people: [ann], start: 2026-01-05}, {people: [bob], start: 2026-01-05}]}"
    filled = rota_of(both, AWAY)
    assert gaps(filled, "r", days("2026-02-01T00:00", 7)) == []
    assert shown(schedule(filled, "r", days("2026-02-02T10:00", 6)))[1] == ("bob", "02-02T23:00", "02-04T23:00")


def test_an_override_takes_the_duty_and_no_more():
    beside = ", overrides: [{person: cem, from: 2026-11-18T12:00, to: 2026-11-19T10:00}]"
    found = schedule(
        rota_of(layer("ann", "Europe/Berlin", "start: 2026-01-05", beside)), "r", days("2026-11-18T00:00", 2)
    )
    assert shown(found) == [
        ("ann", "11-18T00:00", "11-18T11:00"),
        ("cem", "11-18T11:00", "11-19T09:00"),
        ("ann", "11-19T09:00", "11-20T00:00"),
    ]


@pytest.mark.parametrize(
    ("people", "there"),
    [
        ("people: [{name: ann}, {name: cem, away: [{from: 2026-11-18, to: 2026-11-18}]}]\n", ["ann"]),
        ("people: [{name: ann}, {name: cem, active: false}]\n", ["ann"]),
        ("people: [{name: ann, active: false}, {name: cem, active: false}]\n", []),
    ],
)
def test_nobody_who_is_away_or_gone_has_a_duty(people, there):
    beside = ", overrides: [{person: cem, from: 2026-11-18, to: 2026-11-18}]"
    assert list(on_call(rota_of(layer("ann", "UTC", beside=beside), people), "r", at("2026-11-18T12:00"))) == there


def test_an_override_of_days_counts_its_last_one():
    beside = ", overrides: [{person: cem, from: 2026-11-18, to: 2026-11-19}]"
    found = schedule(rota_of(layer("ann", "UTC", beside=beside)), "r", days("2026-11-18T00:00", 3))
    assert [(shift.person, shift.start.day, shift.end.day) for shift in found] == [("cem", 18, 20), ("ann", 20, 21)]


def test_shifts_in_full_and_the_stints_they_make():
    beside = ", overrides: [{person: cem, from: 2026-11-18, to: 2026-11-29}]"
    roster = rota_of(layer("ann, bob", "UTC", "start: 2026-11-02", beside))
    found = shifts(roster, "r", days("2026-11-20T00:00", 12))
    assert shown(found) == [
        ("cem", "11-18T00:00", "11-30T00:00"),
        ("bob", "11-30T00:00", "11-30T09:00"),
        ("ann", "11-30T09:00", "12-07T09:00"),
    ]
    assert [
        (one.person, f"{one.start:%m-%d}") for one in stints(shifts(roster, "r", days("2026-11-01T00:00", 25)))
    ] == [
        ("ann", "11-02"),
        ("bob", "11-09"),
        ("ann", "11-16"),
        ("cem", "11-18"),
    ]


def test_before_the_first_turn_is_a_gap():
    roster = rota_of(layer("ann", "UTC", "start: 2026-06-01"))
    assert gaps(roster, "r", days("2026-05-31T00:00", 3)) == [Span(at("2026-05-31T00:00"), at("2026-06-01T09:00"))]


def test_regions_hand_over_to_each_other_in_summer_and_in_winter():
    """11:00 in New York is 08:00 in Los Angeles, on the Fridays and Mondays around both changes of the clock."""
    roster = config.parse(
        PEOPLE
        + """rotations:
  west:
    time_zone: America/Los_Angeles
    layers: [{people: [ann], start: 2026-01-01, only: {from: "08:00", to: "16:00"}}]
  east:
    time_zone: America/New_York
    layers: [{people: [bob], start: 2026-01-01, only: {from: "03:00", to: "11:00"}}]
""",
        Roster,
    )
    for day in ("2026-03-06", "2026-03-09", "2026-10-30", "2026-11-02"):
        (west,), (east,) = (schedule(roster, name, days(f"{day}T06:00", 1)) for name in ("west", "east"))
        assert (east.person, west.person, east.end) == ("bob", "ann", west.start)


@given(
    st.sampled_from(
        ["America/New_York", "America/Los_Angeles", "Europe/Berlin", "Europe/London", "Australia/Lord_Howe"]
    ),
    st.sampled_from(["day", "week"]),
    st.times(datetime.min.time(), datetime.max.time()),
    st.dates(date(2026, 1, 5), date(2027, 12, 1)),
)
def test_a_rotation_without_hours_has_somebody_at_any_instant(zone, every, handover, day):
    roster = rota_of(layer("ann, bob", zone, f'start: 2026-01-04, every: {every}, handover: "{handover:%H:%M}"'))
    around = days(f"{day + timedelta(days=2)}T00:00", 14)
    found = schedule(roster, "r", around)
    assert gaps(roster, "r", around) == []
    assert all(one.start <= other.start <= one.end for one, other in pairwise(found))
    assert max(shift.end for shift in found) == around.end
