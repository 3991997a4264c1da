"""When many alerts are a storm, and which alerts belong to it."""

from datetime import UTC, datetime, timedelta

import pytest

from uptake_alerting.breaker import Breaker, Held, held, may_trip, trips

TRIPPED = datetime(2026, 5, 4, 10, tzinfo=UTC)
UNTIL = TRIPPED + timedelta(hours=24)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("rule", "unannounced", "subjects", "expected"),
    [
        ("adoption-below-target", 20, 20, False),
        ("adoption-below-target", 21, 20, True),
        ("adoption-below-target", 21, 209, True),
        ("adoption-below-target", 21, 210, False),
        ("adoption-below-target", 1000, 10_000, False),
        ("adoption-below-target", 1001, 10_000, True),
        ("telemetry-silent", 5, 10_000, False),
        ("telemetry-silent", 6, 10_000, True),
    ],
)
def test_more_than_twenty_and_more_than_a_tenth_are_a_storm(rule, unannounced, subjects, expected):
    assert trips(rule, unannounced, subjects) is expected


def test_a_storm_may_be_coming_before_it_is_one():
    assert may_trip("adoption-below-target", 21)
    assert not may_trip("adoption-below-target", 20)


@pytest.mark.parametrize(
    ("detected", "announced", "released", "now", "expected"),
    [
        (0, False, None, 1, Held(UNTIL)),
        (-59, False, None, 1, Held(UNTIL)),
        (-61, False, None, 1, Held()),
        (5, False, None, 6, Held(UNTIL)),
        (0, True, None, 1, Held()),
        (0, False, 30, 29, Held(TRIPPED + 30 * MINUTE)),
        (0, False, 30, 30, Held(None, released=True)),
        (40, False, 30, 41, Held()),
        (0, False, None, 24 * 60, Held(None, released=True)),
    ],
)
def test_what_belongs_to_a_storm_is_held_until_it_is_over_and_then_told_in_a_digest(
    detected, announced, released, now, expected
):
    storm = Breaker("r", TRIPPED, UNTIL, TRIPPED + released * MINUTE if released is not None else None)
    assert held([storm], TRIPPED + detected * MINUTE, announced, TRIPPED + now * MINUTE) == expected
