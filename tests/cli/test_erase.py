"""`uptake erase`: asks first, sends the wish like every other fact, follows it, and prints the receipt."""

import json
from typing import Any

import pytest

RECEIPT = {
    "id": "0a1b",
    "account": "acme",
    "state": "done",
    "asked_at": "2026-08-25T12:00:00Z",
    "finished_at": "2026-08-25T12:00:02Z",
    "found": True,
    "tables": {"person": 1, "activity_mask": 12, "fact": 0},
    "streams": {"USAGE": 3},
    "remains": ["backups made before"],
}
PATH = "/api/v1/erasures"
ACCOUNT = "/api/v1/accounts/acme/kpis"


@pytest.fixture(autouse=True)
def known(fake: Any) -> None:
    fake.answers[ACCOUNT] = (200, {})


def test_it_follows_the_erasure_and_prints_the_receipt(fake: Any, ask: Any) -> None:
    says: list[list[dict[str, Any]]] = [[], [RECEIPT | {"state": "searching"}], [RECEIPT]]

    def get(path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        if path == ACCOUNT:
            return 200, {}
        assert (path, query) == (PATH, {"fact": [fake.events[0]["id"]]})
        return 200, says.pop(0)

    fake.get = get
    result = ask("erase", "acme", "ann", "--yes")
    assert result.exit_code == 0, result.output
    (sent,) = fake.events
    assert (sent["type"], sent["account"], sent["user"]) == ("user.deleted", "acme", "ann")
    assert "ann" not in sent["id"]
    for words in ("0a1b", "activity_mask 12, person 1", "USAGE 3", "- backups made before"):
        assert words in result.stdout
    assert says == []


def test_json_is_the_receipt_as_it_came(fake: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, [RECEIPT])
    assert json.loads(ask("erase", "acme", "ann", "--yes", "--json").stdout) == RECEIPT


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_that_nobody_of_that_id_was_found_is_told_and_exit_code_1(
    fake: Any, arguments: tuple[str, ...], ask: Any
) -> None:
    fake.answers[PATH] = (200, [RECEIPT | {"found": False, "tables": {"fact": 1}, "streams": {"FACTS": 1}}])
    result = ask("erase", "acme", "amn", "--yes", *arguments)
    assert result.exit_code == 1
    assert "Nobody of that id was found in 'acme'" in result.stderr
    assert "amn" not in result.stderr
    if arguments:
        assert json.loads(result.stdout)["found"] is False
    else:
        assert "found no: nothing named such a person" in " ".join(result.stdout.split())


@pytest.mark.parametrize(("said", "sent"), [("y\n", 1), ("n\n", 0), ("", 0)])
def test_it_asks_before_it_does_what_cannot_be_undone(fake: Any, said: str, sent: int, ask: Any) -> None:
    fake.answers[PATH] = (200, [RECEIPT])
    result = ask("erase", "acme", "ann", stdin=said)
    assert (result.exit_code, len(fake.events)) == (0 if sent else 1, sent)


def test_the_id_can_come_from_standard_input(fake: Any, ask: Any) -> None:
    fake.answers[PATH] = (200, [RECEIPT])
    assert ask("erase", "acme", "-", "--yes", stdin="ann smith\n").exit_code == 0
    assert fake.events[0]["user"] == "ann smith"


def test_a_refusal_is_told(fake: Any, monkeypatch: pytest.MonkeyPatch, ask: Any) -> None:
    monkeypatch.setattr("uuid.uuid4", lambda: "1")
    fake.verdicts["erase-1"] = ("refused", "invalid")
    result = ask("erase", "acme", "ann", "--yes")
    assert (result.exit_code, fake.gets) == (1, [(ACCOUNT, {})])
    assert "invalid" in result.output


def test_an_account_that_nobody_has_heard_of_is_told_before_anything_is_sent(fake: Any, ask: Any) -> None:
    fake.answers["/api/v1/accounts"] = (200, [{"account": "acme"}])
    result = ask("erase", "acmee", "ann", "--yes")
    assert (result.exit_code, fake.events) == (1, [])
    assert "acme" in result.output
