"""Acting on alerts: what each command sends in whose name, what it says, and how it ends when it is not done."""

import getpass
import json
from typing import Any

import pytest

API = "/api/v1"
ALERTS = f"{API}/alerts"
ALERT = {"id": "a1b2"}

ACTIONS: list[tuple[list[str], str, dict[str, Any]]] = [
    (["ack", "a1"], "alerts/a1/ack", {}),
    (["ack", "a1", "--for", "4h", "--comment", "mine"], "alerts/a1/ack", {"for": "4h", "comment": "mine"}),
    (["unack", "a1"], "alerts/a1/unack", {}),
    (["snooze", "a1", "--until", "2026-06-01T09:30+02:00"], "alerts/a1/snooze", {"until": "2026-06-01T07:30:00+00:00"}),
    (["close", "a/1", "--comment", "moved"], "alerts/a%2F1/close", {"comment": "moved"}),
    (["assign", "a1", "bob"], "alerts/a1/assign", {"to": "bob"}),
    (["assign", "a1", "--owner", "--comment", "back"], "alerts/a1/assign", {"to": None, "comment": "back"}),
    (["note", "a1", "asked them"], "alerts/a1/note", {"note": "asked them"}),
]


@pytest.mark.parametrize(("words", "path", "body"), ACTIONS)
def test_an_action_says_who_does_it_from_where_and_what_came_of_it(
    fake: Any, ask: Any, words: list[str], path: str, body: dict[str, Any]
) -> None:
    answer = {"changed": True, "said": "Done so.", "alert": ALERT}
    fake.replies[f"{API}/{path}"] = (200, answer)
    result = ask("alerts", *words, "--by", "ann")
    assert (result.exit_code, result.stdout) == (0, "a1b2: Done so.\n")
    assert json.loads(ask("alerts", *words, "--json").stdout) == answer
    mine = {"by": getpass.getuser(), "via": "cli"}
    assert fake.posts == [(f"{API}/{path}", {"by": "ann", "via": "cli"} | body), (f"{API}/{path}", mine | body)]


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [(400, "invalid_request", 2), (409, "alert_ended", 1), (404, "unknown_alert", 1), (503, "unavailable", 3)],
)
def test_what_is_not_done_ends_with_its_code_in_the_words_of_the_service(
    fake: Any, ask: Any, status: int, error: str, code: int
) -> None:
    fake.replies[f"{ALERTS}/a1/ack"] = (status, {"error": error, "detail": "the alert is over"})
    result = ask("alerts", "ack", "a1")
    assert (result.exit_code, "the alert is over" in result.stderr) == (code, True)


@pytest.mark.parametrize(
    "words",
    [["close", "a1"], ["assign", "a1"], ["assign", "a1", "bob", "--owner"], ["snooze", "a1", "--until", "later"]],
)
def test_an_action_that_says_too_little_or_too_much_is_not_sent(fake: Any, ask: Any, words: list[str]) -> None:
    assert ask("alerts", *words).exit_code == 2
    assert fake.posts == []


def test_a_machine_that_does_not_say_who_somebody_is(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("uid 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    result = ask("alerts", "ack", "a1")
    assert (result.exit_code, "give --by NAME" in result.stderr) == (2, True)


STORM: dict[str, Any] = {
    "rule": "usage-unhealthy",
    "tripped_at": "2026-05-10T02:00:00Z",
    "until": "2026-05-11T02:00:00Z",
}
STORM |= {"breaching": 300, "accounts": 900, "released_at": None, "released_by": None}


def test_storms_are_listed_and_released(fake: Any, ask: Any, shown: Any) -> None:
    assert shown(f"{API}/breakers", [], "alerts", "storms") == ["Nothing is held back."]
    lines = shown(f"{API}/breakers", [STORM], "alerts", "storms")
    assert lines[-1] == "usage-unhealthy 2026-05-10T02:00:00Z 2026-05-11T02:00:00Z 300 900"
    fake.replies[f"{API}/breakers/usage-unhealthy/release"] = (200, {"changed": True, "storm": STORM})
    result = ask("alerts", "release", "usage-unhealthy", "--by", "ann")
    assert result.stdout == "Released: 300 alerts of usage-unhealthy go out in one digest a person.\n"
    assert fake.posts == [(f"{API}/breakers/usage-unhealthy/release", {"by": "ann", "via": "cli"})]
