"""What one snapshot says about each shipped rule, as tables."""

from datetime import UTC, date, datetime

import pytest

from uptake_alerting.rules import judge_adoption, judge_trial, start_of, trial_limit

DAY = date(2026, 5, 1)


@pytest.mark.parametrize(
    ("what", "kind", "reason"),
    [
        ({"mau": 49}, "breach", "off_target"),
        ({"mau": 50}, "clear", "on_target"),
        ({"mau": 0}, "breach", "off_target"),
        ({"mau": None}, "nodata", "no_telemetry"),
        ({"partial": True}, "nodata", "partial"),
        ({"data_health": "stale"}, "nodata", "stale"),
        ({"data_health": "none"}, "nodata", "no_telemetry"),
        ({"status": "ramping", "n": 12}, "gone", "date_corrected"),
        ({"status": "not_started", "n": None, "on_target": None}, "gone", "date_corrected"),
        ({"status": "unknown", "reason": "no_seats", "on_target": None}, "nodata", "no_seats"),
        ({"target": None, "on_target": None}, "nodata", "unknown"),
        ({"seat_grace_until": DAY}, "nodata", "seat_grace"),
        ({"seat_grace_until": date(2026, 4, 30)}, "breach", "off_target"),
        ({"churned_at": "2026-05-01T23:59:59Z"}, "gone", "churned"),
        ({"churned_at": "2026-05-02T00:00:00Z"}, "breach", "off_target"),
        ({"churned_at": "2026-05-02T03:59:59Z", "time_zone": "America/New_York"}, "gone", "churned"),
        ({"churned_at": "2026-05-02T04:00:00Z", "time_zone": "America/New_York"}, "breach", "off_target"),
        ({"churned_at": "2026-05-01T14:59:59Z", "time_zone": "Asia/Tokyo"}, "gone", "churned"),
        ({"churned_at": "2026-05-01T15:00:00Z", "time_zone": "Asia/Tokyo"}, "breach", "off_target"),
        ({"churned_at": "9999-12-31T23:59:59Z", "time_zone": "Asia/Tokyo"}, "breach", "off_target"),
        ({"churned_at": "9999-12-31T23:59:59Z", "time_zone": "America/New_York"}, "breach", "off_target"),
        ({"churned_at": "0001-01-01T00:00:00Z", "time_zone": "Asia/Tokyo"}, "gone", "churned"),
        ({"churned_at": "0001-01-01T00:00:00Z", "time_zone": "America/New_York"}, "gone", "churned"),
        ({"churned_at": "2026-04-01T00:00:00Z", "data_health": "stale"}, "gone", "churned"),
    ],
)
def test_a_closed_day_against_the_adoption_target(account_day, what, kind, reason):
    verdict = judge_adoption(account_day(DAY, **what))
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("what", "now", "kind", "reason"),
    [
        ({}, "2026-02-23T22:59:59", "gone", "within_target"),  # Berlin is an hour ahead of UTC in February
        ({}, "2026-02-23T23:00:00", "breach", "over_target"),
        ({"breached_on": date(2026, 3, 5), "complexity": "complex"}, "2026-02-24T12:00:00", "gone", "within_target"),
        ({"breached_on": None, "flags": ["paused"]}, "2026-03-24T12:00:00", "nodata", "paused"),
        ({"state": "stopped", "breached_on": None}, "2026-03-24T12:00:00", "clear", "trial_stopped"),
        ({"state": "stopped"}, "2026-03-24T12:00:00", "clear", "trial_stopped"),
    ],
)
def test_a_trial_against_its_limit(trial, what, now, kind, reason):
    verdict = judge_trial(trial(**what), datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert (verdict.kind, verdict.reason) == (kind, reason)


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
    assert start_of(day, zone) == datetime.fromisoformat(instant).replace(tzinfo=UTC)


def test_only_a_running_trial_has_a_limit(trial):
    assert trial_limit(trial()) == datetime(2026, 2, 23, 23, tzinfo=UTC)
    assert trial_limit(trial(breached_on=None)) is None
    assert trial_limit(trial(state="stopped")) is None
