"""`uptake alerts`: what the list and one alert show, and which alerts are asked for."""

import re
from typing import Any

import pytest

ALERTS = "/api/v1/alerts"
HANDLING: dict[str, Any] = {"state": "unacked", "acked_by": None, "ack_until": None, "snoozed_until": None}
HANDLING |= {"assignee": None, "escalation": 0}
NOTICE: dict[str, Any] = {
    "channel": "ops",
    "kind": "trigger",
    "person": "ce-1",
    "destination": "x",
    "status": "delivered",
}
NOTICE |= {"attempts": 1, "reason": None}
FIRED: dict[str, Any] = {
    "at": "2026-05-10T02:00:00Z",
    "kind": "firing",
    "reason": "firing",
    "by": None,
    "via": None,
    "note": None,
}
NOTED = {**FIRED, "kind": "noted", "reason": "by_hand", "by": "ann", "via": "slack", "note": "asked the champion"}
ALERT: dict[str, Any] = {
    "id": "a1b2",
    "rule": "usage-unhealthy",
    "subject_kind": "account",
    "subject": "acme",
    "state": "firing",
}
ALERT |= {"reason": "firing", "severity": "critical", "since": "2026-05-08", "owner": "ce-1", "undeliverable": False}
ALERT |= {"summary": "Acme hardly uses it", "next_step": "Call.", "handling": HANDLING, "gates": [], "route": None}
ALERT |= {"deliveries": [NOTICE], "transitions": [FIRED, NOTED]}


def gate(reason: str, until: str | None = None, what: str | None = None) -> dict[str, Any]:
    return {"reason": reason, "until": until, "what": what}


def handled(**what: Any) -> dict[str, Any]:
    return {**ALERT, "handling": HANDLING | what}


@pytest.mark.parametrize("words", [(), ("list",)])
def test_the_list_asks_for_what_every_option_names(fake: Any, ask: Any, words: tuple[str, ...]) -> None:
    fake.answers[ALERTS] = (200, [])
    options = {"state": "unacked", "rule": "usage-unhealthy", "account": "a/b", "owner": "ce-1", "severity": "critical"}
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    result = ask("alerts", *words, *given, "--limit", 5)
    assert fake.gets == [(ALERTS, {name: [value] for name, value in options.items()} | {"limit": ["5"]})]
    assert result.stdout == "No alert is so.\n"


def test_csv_is_the_answer_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[ALERTS] = (200, "id,rule")
    assert ask("alerts", "--csv").stdout == '"id,rule"'
    assert fake.gets == [(ALERTS, {"format": ["csv"], "limit": ["200"]})]


@pytest.mark.parametrize(
    ("alert", "owner", "shown_as"),
    [
        (ALERT, "ce-1", "–"),
        (handled(state="acked", acked_by="ann", assignee="bob"), "bob", "acked by ann"),
        (handled(state="snoozed", snoozed_until="2026-06-01T00:00:00Z"), "ce-1", "snoozed"),
        ({**ALERT, "gates": [gate("silenced"), gate("inhibited")]}, "ce-1", "silenced, inhibited"),
    ],
)
def test_a_row_says_who_has_it_and_what_keeps_it_quiet(
    fake: Any, ask: Any, alert: Any, owner: str, shown_as: str
) -> None:
    fake.answers[ALERTS] = (200, [alert])
    row = re.split(" {2,}", ask("alerts").stdout.splitlines()[-1].strip())
    assert row[4:6] == [owner, shown_as]


def test_one_alert_says_why_who_was_told_and_why_nobody_is_told_now(shown: Any) -> None:
    acked = {"state": "acked", "acked_by": "ann", "ack_until": "2026-06-01T00:00:00Z", "escalation": 2}
    alert = handled(**acked) | {
        "route": {"level": 2, "steps": ["ce-1 owns the account, but is away", "bob is on call: told through ops"]},
        "gates": [gate("silenced", "2026-05-20T00:00:00Z", "s1"), gate("inhibited", what="telemetry-silent")],
    }
    lines = shown(f"{ALERTS}/a1b2", alert, "alerts", "show", "a1b2")
    assert "handling acked by ann until 2026-06-01T00:00:00Z, escalated to level 2" in lines
    assert "why ce-1 owns the account, but is away" in lines
    assert "bob is on call: told through ops" in [line.strip() for line in lines]
    assert "held back silenced (s1) until 2026-05-20T00:00:00Z" in lines
    assert "inhibited (telemetry-silent)" in [line.strip() for line in lines]
    assert "2026-05-10T02:00:00Z noted by_hand ann (slack) asked the champion" in lines
    assert "ops trigger ce-1 delivered 1" in lines


@pytest.mark.parametrize(("limit", "says"), [(2, "These are the newest 2; there may be more."), (3, "")])
def test_a_list_that_may_go_on_says_so(fake: Any, ask: Any, limit: int, says: str) -> None:
    fake.answers[ALERTS] = (200, [ALERT, ALERT])
    assert ask("alerts", "--limit", limit).stderr.startswith(says)
    assert bool(ask("alerts", "--limit", limit).stderr) == bool(says)
