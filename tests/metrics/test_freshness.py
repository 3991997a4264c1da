"""How long silence may last, to the hour, over days of 23 and 25 hours too."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from uptake_metrics.accounts import Account
from uptake_metrics.config import Config
from uptake_metrics.freshness import Heard, data_health, limit
from uptake_metrics.instances import Told
from uptake_metrics.kpis import account_kpis
from uptake_metrics.zones import DAY, day_start

END = datetime(2026, 5, 11, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def ago(**time: float) -> datetime:
    return END - timedelta(**time)


@pytest.mark.parametrize(
    ("heard", "health"),
    [
        (Heard(), "none"),
        (Heard(heartbeat=ago(hours=48)), "fresh"),
        (Heard(heartbeat=ago(hours=48) - SECOND), "stale"),
        (Heard(ping=ago(days=8)), "fresh"),
        (Heard(ping=ago(days=8) - SECOND), "stale"),
        (Heard(event=ago(days=5)), "fresh"),
        (Heard(event=ago(days=5) - SECOND), "stale"),
        # any message is a contact, and the strictest kind that exists says how long silence may last
        (Heard(heartbeat=ago(days=3), event=ago(hours=47)), "fresh"),
        (Heard(heartbeat=ago(days=3), event=ago(hours=49)), "stale"),
        (Heard(heartbeat=ago(days=3), ping=ago(hours=49)), "stale"),
        (Heard(event=ago(days=6), ping=ago(days=7)), "fresh"),  # not only user events
        # an installation that was taken down long ago holds nobody to its rhythm
        (Heard(heartbeat=ago(days=30), event=ago(days=4)), "stale"),
        (Heard(heartbeat=ago(days=30) - SECOND, event=ago(days=4)), "fresh"),
        (Heard(ping=ago(days=31), event=ago(days=6)), "stale"),
        (Heard(heartbeat=ago(days=400)), "stale"),
        (Heard(heartbeat=END + timedelta(hours=1)), "fresh"),  # the day after, which is known already
    ],
)
def test_how_long_silence_may_last(heard: Heard, health: str) -> None:
    assert data_health(heard, END) == health


def test_the_limits_are_those_of_the_domain() -> None:
    kinds = (Heard(heartbeat=END), Heard(event=END), Heard(ping=END), Heard(event=END, ping=END, heartbeat=END))
    hours = [limit(heard, END) / timedelta(hours=1) for heard in kinds]
    assert hours == [48, 120, 192, 48]


def health(zone: str, day: date, event: date | None = None, told: Told = Told()) -> Any:  # noqa: B008  # frozen
    """Of a closed day of an account in a zone."""
    now = day_start(day + DAY * 3, zone)
    return account_kpis(
        Account("acme", time_zone=zone), day, None, event, now, 0, Config(None).policies, told
    ).data_health


@pytest.mark.parametrize(
    ("day", "days", "expected"),
    [
        (date(2024, 5, 10), 4, "fresh"),
        (date(2024, 5, 10), 5, "stale"),  # even its last instant is more than 120 hours back
        (date(2024, 3, 12), 5, "fresh"),  # a day of 23 hours among them: it may be 119 hours
        (date(2024, 3, 12), 6, "stale"),
        (date(2024, 11, 5), 4, "fresh"),
        (date(2024, 11, 5), 5, "stale"),  # 121 hours at least
    ],
)
def test_of_events_the_day_is_known_and_silence_is_told_once_it_is_certain(day: date, days: int, expected: str) -> None:
    assert health("America/New_York", day, day - DAY * days) == expected


@pytest.mark.parametrize("day", [date(2024, 5, 10), date(2024, 3, 10), date(2024, 3, 11), date(2024, 11, 4)])
@pytest.mark.parametrize("zone", ["America/New_York", "UTC", "Pacific/Kiritimati"])
def test_of_heartbeats_the_hours_count(zone: str, day: date) -> None:
    end = day_start(day + DAY, zone)
    exactly = end - timedelta(hours=48)
    assert health(zone, day, told=Told(heartbeat=exactly)) == "fresh"
    assert health(zone, day, told=Told(heartbeat=exactly - SECOND)) == "stale"
