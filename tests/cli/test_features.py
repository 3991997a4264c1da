"""`uptake features`, `uptake calendar` and `uptake correlation`: what they ask, and how shares and the unknown look."""

import json
from typing import Any

import pytest

ACME, ALL, CORRELATION = "/api/v1/accounts/acme/features", "/api/v1/features", "/api/v1/correlation"
CALENDAR = "/api/v1/accounts/acme/calendar"
SHARE = {"value": 0.3333, "num": 1, "den": 3, "reason": None}
NO_SHARE = {"value": None, "num": None, "den": None, "reason": "no_telemetry"}
LINE = {"kind": "use_case", "name": "review", "title": "Code review", "dau": 0, "wau": 1, "mau": 1}
LINE |= {"saturation": SHARE, "first_used": "2026-03-05"}
FEATURE = LINE | {"kind": "feature", "name": "merge", "title": None}
DARK = FEATURE | {"dau": None, "wau": None, "mau": None, "saturation": NO_SHARE, "first_used": None}
FEATURES = {"account": "acme", "as_of": "2026-08-25", "environment": "production", "partial": True, "mau": 3}
FEATURES |= {"reason": None, "breadth": {"used": 1, "of": 2, "per_user": SHARE}, "use_cases": [LINE]}
FEATURES |= {"features": [FEATURE, DARK], "not_counted": {"actor": 7}}
OVERALL = {"kind": "use_case", "name": "review", "title": None, "accounts": 2, "users": 5, "mean_saturation": 0.25}
OVERALL |= {"known": 3, "unknown": 1, "reason": None}
MONTH = {"account": "acme", "month": "2026-08", "partial": True, "mau_calendar": 20, "reason": None}
TOGETHER = {"kind": "feature", "name": "merge", "title": None, "n": 9, "left_out": 1, "pearson": -0.5, "spearman": 0.0}
TOGETHER |= {"reason": None}
ALONE = TOGETHER | {"n": 3, "pearson": None, "spearman": None, "reason": "too_few_accounts"}


@pytest.mark.parametrize(
    ("arguments", "path", "query", "answer"),
    [
        (["features"], ALL, {}, [OVERALL]),
        (["features", "--as-of", "2026-08-01"], ALL, {"as_of": ["2026-08-01"]}, [OVERALL]),
        (["features", "acme", "--environment", "trial"], ACME, {"environment": ["trial"]}, FEATURES),
        (["calendar", "acme", "--from", "2026-07"], CALENDAR, {"from": ["2026-07"]}, [MONTH]),
        (["correlation", "--as-of", "2026-08-01"], CORRELATION, {"as_of": ["2026-08-01"]}, [TOGETHER]),
    ],
)
def test_json_is_the_answer_as_it_came(
    fake: Any, arguments: list[str], path: str, query: dict[str, list[str]], answer: Any, ask: Any
) -> None:
    fake.answers[path] = (200, answer)
    result = ask(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(answer) + "\n")
    assert fake.gets == [(path, query)]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["features"], ALL),
        (["features", "acme"], ACME),
        (["calendar", "acme"], CALENDAR),
        (["correlation"], CORRELATION),
    ],
)
def test_csv_is_asked_for(fake: Any, arguments: list[str], path: str, ask: Any) -> None:
    fake.answers[path] = (200, [])
    assert ask(*arguments, "--csv").exit_code == 0
    assert fake.gets == [(path, {"format": ["csv"]})]


def test_the_features_of_an_account(shown: Any) -> None:
    lines = shown(ACME, FEATURES, "features", "acme")
    assert "day 2026-08-25, production, still open" in lines
    assert "use cases 1 of 2 in use, 0.3333 per active user" in lines
    assert "not counted 7 by actor events" in lines
    assert lines[-3:] == [
        "Code review 0 1 1 33.3 % 1/3 2026-03-05",
        "merge 0 1 1 33.3 % 1/3 2026-03-05",
        "merge – no_telemetry – no_telemetry – no_telemetry – no_telemetry –",
    ]


def test_over_all_accounts(shown: Any) -> None:
    assert shown(ALL, [OVERALL], "features")[-1] == "review 2 5 25.0 % 3 known, 1 unknown"


def test_the_users_of_a_use_case_are_asked_for(fake: Any, ask: Any) -> None:
    path = "/api/v1/accounts/acme/users"
    fake.answers[path] = (200, {})
    ask("users", "acme", "--as-of", "2026-08-01", "--use-case", "review", "--environment", "trial", "--json")
    query = {"as_of": ["2026-08-01"], "window": ["mau"], "use_case": ["review"], "environment": ["trial"]}
    assert fake.gets == [(path, query)]


def test_a_month_that_is_not_over_says_so(shown: Any) -> None:
    dark = MONTH | {"partial": False, "mau_calendar": None, "reason": "no_telemetry"}
    assert shown(CALENDAR, [MONTH, dark], "calendar", "acme")[-2:] == [
        "2026-08, still open 20",
        "2026-08 – no_telemetry",
    ]


def test_what_goes_together_and_with_how_many(shown: Any) -> None:
    assert shown(CORRELATION, [TOGETHER, ALONE], "correlation")[-2:] == [
        "merge -0.5 0 9 1",
        "merge – too_few_accounts – too_few_accounts 3 1",
    ]


def test_what_makes_no_sense_is_not_asked(fake: Any, ask: Any) -> None:
    assert ask("features", "--environment", "trial").exit_code == 2
    assert ask("calendar", "acme", "--from", "May").exit_code == 2
    assert fake.gets == []
