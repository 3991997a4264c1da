"""`uptake kpis --explain`: each number with its formula, inputs and window, readable without the API's JSON."""

import json
from typing import Any

import pytest

PATH = "/api/v1/accounts/acme/explain"
WINDOW = {"first_day": "2026-05-09", "last_day": "2026-05-10", "days": 2}
WINDOW |= {"begins_at": "2026-05-08T22:00:00Z", "ends_at": "2026-05-10T22:00:00Z"}
FACT = {"id": "fact-1", "source": "crm", "type": "license.issued", "occurred_at": "2026-01-01T00:00:00Z"}
USAGE = {"name": "usage", "value": 0.75, "exact": "3/4", "formula": "user-days / (days x MAU)", "window": WINDOW}
USAGE |= {"inputs": {"dau": [1, 2], "user_days": 3, "provisional": True}, "reason": None, "known_if": None}
MAU = USAGE | {"name": "mau", "value": 2, "exact": None, "formula": "distinct users"}
MAU |= {"inputs": {"days": [{"day": "2026-05-09", "dau": 1, "newcomers": 1}]}}
SEATS = USAGE | {"name": "seats", "value": None, "exact": None, "formula": "sum", "window": None, "inputs": {}}
SEATS |= {"reason": "no_seats", "known_if": "a licence is in force"}
TARGET = SEATS | {"name": "target", "value": 0.25, "reason": None, "known_if": None}
TARGET |= {"inputs": {"steps": [{"day": 0, "target": "1/4"}], "in_force": {}}}
LICENSE = {"license": "main", "seats": 4, "environment": "production", "starts_at": "2026-01-01T00:00:00Z"}
LICENSE |= {"expires_at": "2026-03-01T00:00:00Z", "revoked": False, "in_force": False, "fact": FACT}
SAID = {"account": "acme", "as_of": "2026-05-10", "time_zone": "Europe/Berlin", "partial": False, "revision": 2}
SAID |= {"closes_at": "2026-05-11T00:00:00Z", "numbers": [MAU, USAGE, SEATS, TARGET], "licenses": [LICENSE]}
SAID |= {"attributes": {"policy": None, "telemetry": "full"}, "said_by": {"policy": None, "telemetry": FACT}}
SAID |= {"kpis": {}}


@pytest.fixture
def text(fake: Any, ask: Any) -> str:
    fake.answers[PATH] = (200, SAID)
    return ask("kpis", "acme", "--explain").stdout


def test_json_is_the_answer_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, SAID)
    result = ask("kpis", "acme", "--explain", "--as-of", "2026-05-10", "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(SAID) + "\n")
    assert fake.gets == [(PATH, {"as_of": ["2026-05-10"]})]


def test_a_number_stands_over_its_formula_window_and_inputs(text: str) -> None:
    assert (
        """usage: 0.75 = 3/4
    user-days / (days x MAU)
    over 2026-05-09 to 2026-05-10 (2 days), 2026-05-08T22:00:00Z until 2026-05-10T22:00:00Z
    dau: 1, 2
    user days: 3
    provisional: yes
"""
        in text
    )


def test_the_unknown_is_a_dash_and_says_what_would_make_it_known(text: str) -> None:
    assert "seats: –\n    not known: no_seats; known if a licence is in force\n    sum\n" in text


def test_days_and_steps_are_read_as_sentences(text: str) -> None:
    assert "    days: 2026-05-09 1 (+1)\n" in text
    assert "    steps: 1/4 from day 0\n    in force: none\n" in text


def test_licences_and_attributes_name_the_fact_that_said_so(text: str) -> None:
    said = "said by fact-1 of crm at 2026-01-01T00:00:00Z"
    spell = "from 2026-01-01T00:00:00Z until 2026-03-01T00:00:00Z"
    assert f"    main: 4 seats in production, not in force, {spell}, {said}\n" in text
    assert "    policy is –, which nobody ever said\n" in text
    assert f"    telemetry is full, {said}\n" in text


def test_the_first_lines_say_which_day_and_revision_it_is(fake: Any, text: str, ask: Any) -> None:
    assert text.splitlines()[:2] == [
        "acme on 2026-05-10 (Europe/Berlin; closed 2026-05-11T00:00:00Z)",
        "revision 2",
    ]
    fake.answers[PATH] = (200, SAID | {"partial": True, "revision": 0})
    assert "still open, closes 2026-05-11T00:00:00Z)\nnever published\n" in ask("kpis", "acme", "--explain").stdout
