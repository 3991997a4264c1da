"""`uptake growth` and `uptake time-to-value`: what they ask, and how months, days and the unknown are shown."""

import json
from typing import Any

import pytest

GROWTH = "/api/v1/accounts/acme/growth"
MONTH = {"account": "acme", "month": "2026-07", "partial": False, "active": 21, "new": 1, "retained": 12}
MONTH |= {"resurrected": 8, "churned": 4, "users": None}
RUNNING = MONTH | {"month": "2026-08", "partial": True}
TTV = "/api/v1/accounts/acme/time-to-value"
STEP = {"on": "2026-05-20", "days": 19, "days_from_production": 0, "reason": None}
NONE = {"on": None, "days": None, "days_from_production": None, "reason": "not_reached"}
ANSWER = {"account": "acme", "as_of": "2026-08-25", "contract_start": "2026-05-01", "target_days": 30, "status": "met"}
ANSWER |= {"production": STEP, "first_user": STEP, "adoption_25": STEP, "adoption_50": NONE, "adoption_75": NONE}


@pytest.mark.parametrize(
    ("arguments", "path", "query", "answer"),
    [
        (["growth", "acme"], GROWTH, {}, [MONTH]),
        (
            ["growth", "acme", "--from", "2026-07", "--to", "2026-08", "--list", "churned"],
            GROWTH,
            {"from": ["2026-07"], "to": ["2026-08"], "list": ["churned"]},
            [MONTH],
        ),
        (["time-to-value", "acme"], TTV, {}, ANSWER),
        (["time-to-value"], "/api/v1/time-to-value", {}, [ANSWER]),
    ],
)
def test_json_is_the_answer_as_it_came(
    fake: Any, arguments: list[str], path: str, query: dict[str, list[str]], answer: Any, ask: Any
) -> None:
    fake.answers[path] = (200, answer)
    result = ask(*arguments, "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(answer) + "\n")
    assert fake.gets == [(path, query)]


def test_a_month_that_is_not_over_says_so(shown: Any) -> None:
    assert shown(GROWTH, [MONTH, RUNNING], "growth", "acme")[-2:] == [
        "2026-07 21 1 12 8 4",
        "2026-08, still open 21 1 12 8 4",
    ]


def test_the_people_behind_a_number_stand_beside_it(shown: Any) -> None:
    lines = shown(GROWTH, [MONTH | {"users": ["[red]ann", "bob"]}], "growth", "acme", "--list", "new")
    assert lines[0].endswith("new users")
    assert lines[-1] == "2026-07 21 1 12 8 4 [red]ann, bob"


def test_each_step_says_how_many_days_it_took_and_when_it_was(shown: Any) -> None:
    step = "day 19 (2026-05-20)"
    expected = f"acme 2026-05-01 met {step} {step} {step} – not_reached – not_reached"
    assert shown(TTV, ANSWER, "time-to-value", "acme")[-1] == expected
    assert shown("/api/v1/time-to-value", [ANSWER], "time-to-value")[-1] == expected


def test_without_a_contract_there_is_a_day_and_no_number(shown: Any) -> None:
    step = STEP | {"days": None, "reason": "no_contract_start"}
    answer = ANSWER | {"contract_start": None, "status": "unknown", "production": step}
    assert shown(TTV, answer, "time-to-value", "acme")[-1].startswith(
        "acme – unknown 2026-05-20 – no_contract_start day 19"
    )


@pytest.mark.parametrize("arguments", [["--from", "2026"], ["--to", "2026-13"], ["--list", "gone"]])
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: list[str], ask: Any) -> None:
    assert (ask("growth", "acme", *arguments).exit_code, fake.gets) == (2, [])
