"""`uptake policy`: what it asks, how changes are shown, and that nothing is written before somebody agrees."""

import json
from pathlib import Path
from typing import Any

import pytest

JUDGED = {"policy": "ce-2022", "policy_version": "2022-01-01", "status": "off_target", "n": 200, "target": 0.75}
BEFORE = JUDGED | {"value": 0.2, "reason": None}
AFTER = BEFORE | {"policy": "easy", "target": 0.125, "status": "on_target"}
CHANGE = {"account": "acme", "name": None, "owner": None, "as_of": "2026-08-25", "before": BEFORE, "after": AFTER}
PREVIEW = {
    "accounts": 4,
    "changed": 1,
    "moves": [{"before": "off_target", "after": "on_target", "accounts": 1}],
    "changes": [CHANGE],
    "later": ["2027-01-01"],
}
NONE = {"accounts": 4, "changed": 0, "moves": [], "changes": [], "later": []}


class Previews:
    """A metrics that previews: these answers one after the other."""

    def __init__(self, fake: Any) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, dict[str, list[str]], bytes]] = []
        fake.post = self.post

    def post(self, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        self.asked.append((path, query, body))
        return self.answers.pop(0)


@pytest.fixture
def previews(fake: Any) -> Previews:
    return Previews(fake)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "new.yml"
    file.write_text("default: é\n")
    return file


@pytest.fixture
def place(fake: Any) -> Path:
    folder: Path = fake.data / "config"
    folder.mkdir()
    (folder / "policies.yml").write_text("old")
    return folder / "policies.yml"


def lines(result: Any) -> list[str]:
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def test_a_preview_sends_the_file_as_it_is_and_shows_who_changes(previews: Previews, file: Path, ask: Any) -> None:
    previews.answers = [(200, PREVIEW)]
    result = ask("policy", "preview", file, "--as-of", "2026-08-25")
    assert result.exit_code == 0, result.output
    assert previews.asked == [("/api/v1/policies/preview", {"as_of": ["2026-08-25"]}, file.read_bytes())]
    shown = lines(result)
    assert "acme – 2026-08-25 ce-2022 2022-01-01 → easy 2022-01-01 75 % → 12.5 % 20.0 % off_target → on_target" in shown
    assert shown[-3:] == ["changed 1 of 4 accounts", "off_target → on_target 1", "later more from 2027-01-01 on"]


def test_a_preview_as_json_is_the_answer_as_it_came(previews: Previews, file: Path, ask: Any) -> None:
    previews.answers = [(200, PREVIEW)]
    assert '"changed": 1' in ask("policy", "preview", file, "--json").stdout


@pytest.mark.parametrize("command", ["preview", "apply"])
def test_a_bad_file_is_refused_with_its_line(
    previews: Previews, file: Path, place: Path, command: str, ask: Any
) -> None:
    previews.answers = [(400, {"error": "invalid_policies", "detail": "line 1: default: unheard of"})]
    result = ask("policy", command, file)
    assert result.exit_code == 1
    assert "line 1: default: unheard of" in result.output
    assert place.read_text() == "old"


@pytest.mark.parametrize(("arguments", "answer"), [((), "y\n"), (("--yes",), "")])
def test_a_file_is_put_in_force_after_it_said_whom_it_changes(
    previews: Previews, file: Path, place: Path, arguments: tuple[str, ...], answer: str, ask: Any
) -> None:
    previews.answers = [(200, PREVIEW), (200, NONE)]
    result = ask("policy", "apply", file, *arguments, stdin=answer)
    assert result.exit_code == 0, result.output
    assert place.read_bytes() == file.read_bytes()
    assert [path.name for path in place.parent.iterdir()] == ["policies.yml"]  # no draft is left
    assert "acme" in result.stdout
    assert f"In force: {place}" in result.stderr


def test_the_answer_of_apply_as_json_stands_alone(previews: Previews, file: Path, place: Path, ask: Any) -> None:
    previews.answers = [(200, PREVIEW), (200, NONE)]
    result = ask("policy", "apply", file, "--json", stdin="y\n")
    assert json.loads(result.stdout) == PREVIEW


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_nothing_is_written_when_nobody_agrees(
    previews: Previews, file: Path, place: Path, answer: str, ask: Any
) -> None:
    previews.answers = [(200, PREVIEW)]
    assert ask("policy", "apply", file, stdin=answer).exit_code == 1
    assert place.read_text() == "old"


def test_a_file_that_metrics_does_not_follow_is_not_called_in_force(
    previews: Previews, file: Path, place: Path, ask: Any
) -> None:
    previews.answers = [(200, PREVIEW), (200, PREVIEW)]
    result = ask("policy", "apply", file, "--yes")
    assert result.exit_code == 1
    assert "does not follow it" in result.output


def test_a_file_is_put_in_force_only_where_uptake_keeps_it(previews: Previews, file: Path, ask: Any) -> None:
    result = ask("policy", "apply", file, "--yes")
    assert (result.exit_code, previews.asked) == (1, [])
    assert "on the machine where Uptake keeps it" in result.output


def test_the_policies_in_force_are_shown(fake: Any, ask: Any) -> None:
    steps = [{"day": 0, "target": 0.25}, {"day": 91, "target": 0.5}]
    fake.answers["/api/v1/policies"] = (
        200,
        {
            "policies": {"ce-2022": [{"since": "2022-01-01", "anchor": "production", "steps": steps}]},
            "assignments": [
                {"since": "1970-01-01", "segment": None, "policy": "ce-2022"},
                {"since": "2026-01-01", "segment": "digital", "policy": None},
            ],
            "problem": "policies.yml: line 1: x",
        },
    )
    result = ask("policy", "show")
    shown = lines(result)
    assert "ce-2022 2022-01-01 production from day 0: 25 %, from day 91: 50 %" in shown
    assert "1970-01-01 (default) ce-2022" in shown
    assert "2026-01-01 digital (default)" in shown
    assert "A newer file is not in force: policies.yml: line 1: x" in result.stderr
    assert '"problem"' in ask("policy", "show", "--json").stdout


@pytest.mark.parametrize("content", ["", "\n \n"])
@pytest.mark.parametrize("command", ["preview", "apply"])
def test_an_empty_file_is_wrong_usage_and_asks_nobody(
    previews: Previews, file: Path, place: Path, ask: Any, command: str, content: str
) -> None:
    file.write_text(content)
    result = ask("policy", command, file)
    assert (result.exit_code, previews.asked, place.read_text()) == (2, [], "old")
    assert f"{file} is empty" in result.stderr


def test_a_preview_as_csv_is_asked_for(previews: Previews, file: Path, ask: Any) -> None:
    previews.answers = [(200, "account,name")]
    assert ask("policy", "preview", file, "--csv").stdout == '"account,name"'
    ((_, query, _),) = previews.asked
    assert query == {"format": ["csv"]}
