"""`uptake team`: what it asks, and how it shows numbers, money and what is not known."""

import json
from typing import Any

import pytest

TEAM = "/api/v1/team"
STANDARD = {"n": 3, "within": 2, "share": 0.6667, "met": True, "median_days": 11.5, "p90_days": 25, "reason": None}
NO_TRIALS = dict.fromkeys(STANDARD) | {"n": 0, "within": 0, "reason": "no_trials_stopped"}
CLOSURE = {"num": 3, "den": 4, "value": 0.75, "target": 0.8, "met": False, "reason": None}
ACV = {"currency": "EUR", "cents": 123_456_789, "net_cents": -5, "customers": 2, "opportunities": 4, "products": 7}
ANSWER = {"quarter": "2026Q3", "standard": STANDARD, "complex": NO_TRIALS, "closure": CLOSURE}
ANSWER |= {"new_acv": ACV | {"reason": None}}
MIXED = ACV | {"currency": None, "cents": None, "net_cents": None, "reason": "mixed_currencies"}


def test_json_is_the_answer_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[TEAM] = (200, ANSWER)
    result = ask("team", "--quarter", "2026Q3", "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(ANSWER) + "\n")
    assert fake.gets == [(TEAM, {"quarter": ["2026Q3"]})]


def test_without_a_quarter_the_service_says_which_is_running(fake: Any, ask: Any) -> None:
    fake.answers[TEAM] = (200, ANSWER)
    result = ask("team")
    assert (result.exit_code, fake.gets) == (0, [(TEAM, {})])
    assert "quarter 2026Q3" in " ".join(result.stdout.split())


def test_ratios_stand_beside_their_exact_numbers(shown: Any) -> None:
    lines = shown(TEAM, ANSWER, "team", "--quarter", "2026Q3")
    assert "standard 3 2 66.6 % 2/3 yes 11.5 25" in lines
    assert "closure 75.0 % 3/4 target 80.0 %, met no" in lines


def test_money_is_whole_cents_in_its_currency(shown: Any) -> None:
    lines = shown(TEAM, ANSWER, "team", "--quarter", "2026Q3")
    assert "New ACV 1,234,567.89 EUR" in lines
    assert "net -0.05 EUR" in lines
    assert "customers 2" in lines


def test_the_unknown_is_a_dash_with_its_reason(shown: Any) -> None:
    lines = shown(TEAM, ANSWER | {"new_acv": MIXED}, "team", "--quarter", "2026Q3")
    assert "complex 0 0 – no_trials_stopped – – no_trials_stopped – no_trials_stopped" in lines
    assert "New ACV – mixed_currencies" in lines
    assert "opportunities 4" in lines


@pytest.mark.parametrize("arguments", [["--quarter", "2026"], ["--quarter", "2026Q5"], ["--quarter", "2026q3"]])
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: list[str], ask: Any) -> None:
    assert (ask("team", *arguments).exit_code, fake.gets) == (2, [])
