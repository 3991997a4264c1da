"""When somebody's digest goes: on the morning of a day on which they work, whatever their hours are."""

import random
from datetime import UTC, datetime, time, timedelta

import pytest

from uptake_alerting.contacts import Book
from uptake_alerting.roster import Roster
from uptake_alerting.routes import Routes

MONDAY = datetime(2026, 5, 4, 10, tzinfo=UTC)


def digest_at(now=MONDAY, at=time(8), person="ce-1", **known):
    roster = Roster.model_validate(
        {
            "people": [{"name": "ce-1"} | known],
            "regions": {"uk": {"time_zone": "Europe/London", "holidays": "uk"}},
            "holidays": {"uk": {"2026-05-05": "A day"}},
        }
    )
    return Book(roster, Routes(), now, at).digest_at(person)


@pytest.mark.parametrize(
    ("known", "at", "goes"),
    [
        ({}, time(8), "2026-05-05T08:00"),
        ({}, time(18), "2026-05-04T18:00"),
        ({"working_hours": {"from": "02:15", "to": "02:45"}}, time(8), "2026-05-05T08:00"),
        ({"working_hours": {"from": "22:00", "to": "06:00"}}, time(8), "2026-05-05T08:00"),
        ({"working_hours": {"days": ["sat"]}}, time(8), "2026-05-09T08:00"),
        ({"region": "uk"}, time(8), "2026-05-06T07:00"),
        ({"away": [{"from": "2026-05-05", "to": "2026-05-06"}]}, time(8), "2026-05-07T08:00"),
        ({"away": [{"from": "2026-05-05", "to": "2026-05-06T10:00"}]}, time(8), "2026-05-06T08:00"),
        ({"away": [{"from": "2026-05-01", "to": "8999-12-31"}]}, time(8), "2026-05-05T08:00"),
    ],
)
def test_it_goes_at_its_time_on_the_next_day_at_work(known, at, goes):
    assert digest_at(at=at, **known) == datetime.fromisoformat(f"{goes}:00Z")


def test_whom_no_roster_knows_gets_it_from_monday_to_friday():
    assert digest_at(MONDAY + timedelta(days=4), person="a stranger") == MONDAY.replace(hour=8) + timedelta(days=7)


@pytest.mark.parametrize("seed", range(40))
def test_it_always_comes_and_is_to_come(seed):
    dice = random.Random(seed)
    hours = {
        "from": f"{dice.randrange(24):02}:00",
        "to": f"{dice.randrange(24):02}:30",
        "days": [dice.choice(["mon", "wed", "sun"])],
    }
    away = [{"from": "2026-05-01", "to": dice.choice(["2026-05-20", "2027-12-31", "8999-12-31"])}]
    zone = dice.choice(["America/New_York", "Pacific/Kiritimati", "Europe/Berlin", "Asia/Kolkata"])
    now = MONDAY + timedelta(hours=dice.randrange(24 * 400))
    found = digest_at(
        now, time(dice.randrange(24), dice.choice([0, 30])), working_hours=hours, away=away, time_zone=zone
    )
    assert now < found <= now + timedelta(days=402)
