"""`uptake silences`: what the list shows, and what making and ending one sends and says."""

from datetime import UTC, datetime
from typing import Any

import pytest

SILENCES = "/api/v1/silences"
SILENCE: dict[str, Any] = {
    "id": "s1",
    "state": "active",
    "matchers": ["account=acme", "region!=emea"],
    "created_by": "ann",
}
SILENCE |= {"comment": "they migrate", "created_at": "2026-05-08T09:00:00Z", "starts_at": "2026-05-08T09:00:00Z"}
SILENCE |= {"ends_at": "2026-05-15T09:00:00Z", "expired_by": None, "covers": 2}


def test_the_list_shows_what_each_covers(shown: Any) -> None:
    assert shown(SILENCES, [], "silences") == ["No silences."]
    line = shown(SILENCES, [SILENCE], "silences", "list")[-1]
    assert line == "s1 active account=acme, region!=emea 2026-05-15T09:00:00Z 2 ann they migrate"


def test_the_list_asks_for_a_state_and_a_form(fake: Any, ask: Any) -> None:
    fake.answers[SILENCES] = (200, [])
    assert ask("silences", "--state", "expired").stdout == "No silence is expired.\n"
    ask("silences", "list", "--csv")
    assert fake.gets == [(SILENCES, {"state": ["expired"]}), (SILENCES, {"format": ["csv"]})]


@pytest.mark.parametrize(
    ("changed", "covers", "says"),
    [
        (True, 2, "s1: Silenced until 2026-05-15T09:00:00Z; 2 open alerts match now.\n"),
        (True, 1, "s1: Silenced until 2026-05-15T09:00:00Z; 1 open alert matches now.\n"),
        (False, 0, "s1: Silenced already until 2026-05-15T09:00:00Z; no open alert matches now. Is every name and"),
    ],
)
def test_making_one_says_how_many_alerts_it_covers(fake: Any, ask: Any, changed: bool, covers: int, says: str) -> None:
    fake.replies[SILENCES] = (200, {"changed": changed, "silence": SILENCE | {"covers": covers}})
    words = ("account=acme", "region!=emea", "--for", "7d", "--from", "2026-05-09", "--comment", "they migrate")
    result = ask("silences", "add", *words, "--by", "ann")
    assert result.stdout.startswith(says)
    here = datetime(2026, 5, 9)  # noqa: DTZ001  # a day of this machine's zone
    body: dict[str, Any] = {"matchers": ["account=acme", "region!=emea"], "comment": "they migrate", "for": "7d"}
    body |= {"starts_at": here.astimezone(UTC).isoformat(), "by": "ann", "via": "cli"}
    assert fake.posts == [(SILENCES, body)]


@pytest.mark.parametrize(("changed", "says"), [(True, "s1: Expired.\n"), (False, "s1: It is over already.\n")])
def test_one_is_ended_by_hand(fake: Any, ask: Any, changed: bool, says: str) -> None:
    fake.replies[f"{SILENCES}/s1/expire"] = (200, {"changed": changed, "silence": SILENCE})
    assert ask("silences", "expire", "s1", "--by", "ann").stdout == says
    assert fake.posts == [(f"{SILENCES}/s1/expire", {"by": "ann", "via": "cli"})]


@pytest.mark.parametrize("words", [["--comment", "x"], ["account=acme"]])
def test_one_needs_a_matcher_and_a_reason(fake: Any, ask: Any, words: list[str]) -> None:
    assert ask("silences", "add", *words).exit_code == 2
    assert fake.posts == []


def test_a_refused_one_is_wrong_usage_in_the_words_of_the_service(fake: Any, ask: Any) -> None:
    fake.replies[SILENCES] = (400, {"error": "invalid_request", "detail": "a silence is refused: it is over already"})
    result = ask("silences", "add", "account=acme", "--comment", "x", "--until", "2026-01-01")
    assert (result.exit_code, result.stderr) == (2, "Error: a silence is refused: it is over already\n")
