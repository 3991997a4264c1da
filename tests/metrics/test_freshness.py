"""How long silence may last, to the hour, over days of 23 and 25 hours too."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from uptake_metrics.accounts import Account
from uptake_metrics.config import Config
from uptake_metrics.freshness import Heard, data_health, events_are_fresh, judged_at, limit, turns_at
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


def test_events_are_fresh_by_their_own_rule_whatever_else_was_heard() -> None:
    alive = {"heartbeat": END, "ping": END}
    assert events_are_fresh(Heard(event=ago(days=5), **alive), END)
    assert not events_are_fresh(Heard(event=ago(days=5) - SECOND, **alive), END)
    assert not events_are_fresh(Heard(**alive), END)


@pytest.mark.parametrize(
    ("now", "judged"),
    [
        (datetime(2024, 3, 10, 12, tzinfo=UTC), datetime(2024, 3, 10, 12, tzinfo=UTC)),
        (datetime(2024, 3, 11, 4, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)),  # a day of 23 hours ends now
        (datetime(2024, 3, 11, 5, 59, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)),  # it settles
        (datetime(2025, 1, 1, tzinfo=UTC), datetime(2024, 3, 11, 4, tzinfo=UTC)),
    ],
)
def test_a_day_is_judged_at_its_end_and_an_open_one_now(now: datetime, judged: datetime) -> None:
    assert judged_at(date(2024, 3, 10), "America/New_York", now) == judged


@given(
    heard=st.builds(Heard, *[st.none() | st.integers(-5, 900).map(lambda hours: ago(hours=hours))] * 3),
    hours=st.integers(0, 1000),
)
@example(heard=Heard(heartbeat=ago(days=29, hours=12), event=ago(days=3)), hours=13)  # the heartbeat exists no more
def test_health_only_turns_when_it_was_foretold(heard: Heard, hours: int) -> None:
    later, turn = END + timedelta(hours=hours), turns_at(heard, END)
    if turn is None or later <= turn:
        assert data_health(heard, later) == data_health(heard, END)
        assert events_are_fresh(heard, later) == events_are_fresh(heard, END)


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
