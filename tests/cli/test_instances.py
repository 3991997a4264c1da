"""`uptake instances`: what it asks, and how it shows what nobody has mapped yet."""

import json
from typing import Any

INSTANCES = "/api/v1/instances"
SEEN = {"first_seen": "2026-05-01T07:00:00Z", "last_contact": "2026-05-10T07:00:00Z"}
UNKNOWN = {"instance": "i-9", "account": None, "environment": None, "waiting_events": 12, **SEEN}
MAPPED = {"instance": "i-1", "account": "acme", "environment": "production", "waiting_events": 0, **SEEN}
ANSWER = [UNKNOWN, MAPPED | {"first_seen": None}]


def test_json_is_the_answer_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[INSTANCES] = (200, ANSWER)
    result = ask("instances", "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps(ANSWER) + "\n")
    assert fake.gets == [(INSTANCES, {})]


def test_whose_each_is_and_what_waits(shown: Any) -> None:
    lines = shown(INSTANCES, ANSWER, "instances")
    assert "i-9 – not mapped – 2026-05-01T07:00:00Z 2026-05-10T07:00:00Z 12" in lines
    assert "i-1 acme production – 2026-05-10T07:00:00Z 0" in lines


def test_none_is_said_in_words(shown: Any) -> None:
    assert shown(INSTANCES, [], "instances")[0].startswith("No installation")
