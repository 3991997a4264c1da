"""What one snapshot says about each shipped rule, as tables."""

from datetime import date

import pytest

from uptake_alerting.judging import judge
from uptake_alerting.rule_file import RulesFile

RULES = RulesFile(None).current()
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
    verdict = judge(RULES.by_name["adoption-below-target"], account_day(DAY, **what))
    assert (verdict.kind, verdict.reason) == (kind, reason)


@pytest.mark.parametrize(
    ("rule", "what", "told"),
    [
        ("seats-exceeded", {"mau": 100}, "clear"),
        ("seats-exceeded", {"mau": 101}, "breach warning"),
        ("account-dormant", {"mau": 0}, "breach critical"),
        ("account-dormant", {"mau": 1}, "clear"),
        ("account-dormant", {"mau": 0, "n": 29}, "gone"),
        ("account-dormant", {"mau": 0, "data_health": "stale"}, "nodata"),
        ("telemetry-silent", {"data_health": "stale"}, "breach warning"),
        ("telemetry-silent", {"data_health": "fresh"}, "clear"),
        ("telemetry-silent", {"data_health": "none"}, "nodata"),
        ("adoption-step-up-at-risk", {"mau": 74, "n": 257, "band_end": 270}, "breach info"),
        ("adoption-step-up-at-risk", {"mau": 74, "n": 256, "band_end": 270}, "clear"),
        ("adoption-step-up-at-risk", {"mau": 75, "n": 257, "band_end": 270}, "clear"),
        ("adoption-step-up-at-risk", {"mau": 74, "n": 257, "band_end": 270, "next_target": 0.5}, "clear"),
        ("adoption-step-up-at-risk", {"mau": 74, "n": 300, "band_end": None, "next_target": None}, "clear"),
        ("production-overdue", {"contract_start": date(2026, 4, 1), "production_date": None}, "breach warning"),
        ("production-overdue", {"contract_start": date(2026, 4, 2), "production_date": None}, "clear"),
        ("production-overdue", {"contract_start": date(2026, 4, 1)}, "clear"),
        ("production-overdue", {"contract_start": None, "production_date": None}, "nodata"),
        ("feature-first-use", {"features_first_used": ["deploy"]}, "breach info"),
        ("feature-first-use", {}, "clear"),
    ],
)
def test_a_closed_day_against_each_other_rule(account_day, rule, what, told):
    verdict = judge(RULES.by_name[rule], account_day(DAY, **what))
    assert " ".join(filter(None, (verdict.kind, verdict.severity))) == told


@pytest.mark.parametrize(
    ("num", "told"),
    [
        (280, "clear"),
        (279, "breach warning"),
        (187, "breach warning"),
        (186, "breach critical"),
        (0, "breach critical"),
    ],
)
def test_usage_is_judged_exactly_at_both_of_its_limits(account_day, num, told):
    day = account_day(DAY)
    usage = day.kpis.usage.model_copy(update={"num": num, "den": 930, "value": num / 930})
    kpis = day.kpis.model_copy(update={"usage": usage})
    verdict = judge(RULES.by_name["usage-unhealthy"], day.model_copy(update={"kpis": kpis}))
    assert " ".join(filter(None, (verdict.kind, verdict.severity))) == told
