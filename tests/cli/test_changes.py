"""`uptake changes`: what it asks, and that it says what moved and who."""

import json
from typing import Any

import pytest

PATH = "/api/v1/accounts/acme/changes"
DAYS = ("--from", "2026-05-01", "--to", "2026-05-10")
PEOPLE = {"entered": 2, "left": 1, "entered_users": ["ann", "bob"], "left_users": ["[red]cat"]}
ANSWER = {"account": "acme", "lines": ["2 users entered, 1 left: MAU 3 -> 4", "seats 4 -> 8"], "people": PEOPLE}


def test_json_is_the_answer_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, ANSWER)
    result = ask("changes", "acme", *DAYS, "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(ANSWER) + "\n")
    assert fake.gets == [(PATH, {"from": ["2026-05-01"], "to": ["2026-05-10"]})]


def test_every_sentence_is_a_line_and_people_are_named(fake: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, ANSWER)
    assert ask("changes", "acme", *DAYS).stdout.splitlines() == [
        *ANSWER["lines"],
        "entered: ann, bob",
        "left: [red]cat",
    ]


@pytest.mark.parametrize("people", [None, PEOPLE | {"entered_users": None, "left_users": None}])
def test_where_nobody_is_listed_nobody_is_named(fake: Any, people: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, ANSWER | {"people": people})
    assert ask("changes", "acme", *DAYS).stdout.splitlines() == ANSWER["lines"]


@pytest.mark.parametrize("arguments", [DAYS[:2], DAYS[2:], ("--from", "2026-05-02", "--to", "2026-05-01")])
def test_wrong_usage_is_exit_code_2(fake: Any, arguments: tuple[str, ...], ask: Any) -> None:
    assert (ask("changes", "acme", *arguments).exit_code, fake.gets) == (2, [])
