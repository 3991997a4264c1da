"""Where an account stands on its way: by which facts, from which day on."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from uptake_metrics.accounts import Account
from uptake_metrics.lifecycle import lifecycle

TODAY = date(2026, 5, 31)
LEFT = datetime(2026, 5, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("known", "has_running_trial", "stands"),
    [
        pytest.param({}, False, "unknown", id="nothing said"),
        pytest.param({}, True, "trial", id="a trial"),
        pytest.param({"contract_start": date(2026, 5, 31)}, False, "onboarding", id="a contract from today on"),
        pytest.param({"contract_start": date(2026, 6, 1)}, False, "unknown", id="a contract that has not begun"),
        pytest.param({"contract_start": date(2026, 6, 1)}, True, "trial", id="on trial until then"),
        pytest.param({"contract_start": date(2026, 5, 1)}, True, "onboarding", id="signed, trying something else"),
        pytest.param({"production_date": date(2026, 6, 1)}, False, "onboarding", id="production is planned"),
        pytest.param({"production_date": date(2026, 5, 31)}, True, "ramping", id="day 0"),
        pytest.param({"production_date": date(2026, 5, 2)}, False, "ramping", id="day 29"),
        pytest.param({"production_date": date(2026, 5, 1)}, False, "production", id="day 30"),
        pytest.param({"production_date": date(2026, 1, 1), "churned_at": LEFT}, True, "churned", id="left today"),
        pytest.param(
            {"production_date": date(2026, 1, 1), "churned_at": LEFT, "time_zone": "Europe/Berlin"},
            False,
            "production",
            id="there, it leaves tomorrow",
        ),
        pytest.param({"churned_at": LEFT}, True, "churned", id="left before production"),
    ],
)
def test_where_it_stands(known: dict[str, Any], has_running_trial: bool, stands: str) -> None:
    assert lifecycle(Account("acme", **known), TODAY, has_running_trial) == stands
