"""`uptake oncall`: what it asks, and how it shows times on the clocks of the people they are about."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from uptake_cli.app import main

ROOT = "/api/v1/oncall"
WEST = {"rotation": "west", "title": "US West", "time_zone": "America/Los_Angeles"}
DUTY = {"person": "bob", "start": "2026-11-09T17:00:00Z", "end": "2026-11-10T01:00:00Z", "channels": ["hook", "mail"]}
NEXT = {"person": "ann", "start": "2026-11-16T17:00:00Z", "end": "2026-11-17T01:00:00Z", "channels": []}
GAP = {**WEST, "start": "2026-03-06T17:00:00Z", "end": "2026-03-09T16:00:00Z"}
ALERT = {"id": "a-1", "severity": "critical", "since": "2026-11-02", "acked_by": None, "summary": "Acme is low"}
CHANGE = {**WEST, "at": "2026-11-09T17:00:00Z", "from": "ann", "to": "bob", "alerts": [ALERT]}


def ask(fake: Any, path: str, answer: Any, *arguments: str) -> Result:
    fake.answers[f"{ROOT}{path}"] = (200, answer)
    return CliRunner().invoke(main, ["oncall", *arguments])


def lines(result: Result) -> list[str]:
    assert result.exit_code == 0
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


@pytest.mark.parametrize(
    ("path", "arguments", "asked"),
    [
        ("", ["who"], {}),
        (
            "",
            ["who", "--at", "2026-11-09T18:00:00Z", "--rotation", "west"],
            {"at": ["2026-11-09T18:00:00Z"], "rotation": ["west"]},
        ),
        ("/gaps", ["gaps"], {"days": ["60"]}),
        ("/preview", ["preview", "--weeks", "2"], {"weeks": ["2"]}),
        ("/handover", ["handover"], {}),
    ],
)
def test_json_is_the_answer_as_it_came(fake: Any, path: str, arguments: list[str], asked: dict[str, Any]) -> None:
    result = ask(fake, path, [GAP], *arguments, "--json")
    assert (result.exit_code, result.stdout) == (0, json.dumps([GAP]) + "\n")
    assert fake.gets == [(f"{ROOT}{path}", asked)]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (
            {"on_call": [DUTY], "gap": False, "next": NEXT},
            "US West bob Mon 2026-11-09 17:00 hook, mail ann Mon 2026-11-16 09:00 America/Los_Angeles",
        ),
        ({"on_call": [], "gap": True, "next": None}, "US West nobody –"),
        (
            {"on_call": [DUTY | {"channels": []}], "gap": False, "next": None},
            "US West bob Mon 2026-11-09 17:00 no channel –",
        ),
    ],
)
def test_who_is_on_call_on_the_clock_of_the_rotation(fake: Any, answer: dict[str, Any], line: str) -> None:
    assert line in lines(ask(fake, "", [WEST | answer], "who"))


def test_a_gap_over_a_change_of_the_clock(fake: Any) -> None:
    found = lines(ask(fake, "/gaps", [GAP], "gaps"))
    assert "west Fri 2026-03-06 09:00 Mon 2026-03-09 09:00 America/Los_Angeles" in found


def test_who_has_the_duty_in_the_next_weeks(fake: Any) -> None:
    found = lines(ask(fake, "/preview", [GAP | {"person": "ann", "hours": 40.0}], "preview"))
    assert "west ann Fri 2026-03-06 09:00 Mon 2026-03-09 09:00 40 America/Los_Angeles" in found


def test_what_passes_over_at_the_change(fake: Any) -> None:
    found = lines(ask(fake, "/handover", [CHANGE], "handover"))
    assert "US West ann → bob, Mon 2026-11-09 09:00 America/Los_Angeles" in found
    assert "a-1 critical 2026-11-02 – Acme is low" in found
    assert "No open alert passes over." in lines(ask(fake, "/handover", [CHANGE | {"alerts": []}], "handover"))


def test_a_calendar_comes_byte_for_byte(fake: Any) -> None:
    text = "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    result = ask(fake, "/calendar", text, "calendar", "ann")
    assert json.loads(result.stdout_bytes) == text  # the fake wraps every answer into JSON
    assert fake.gets == [(f"{ROOT}/calendar", {"person": ["ann"], "weeks": ["26"]})]


@pytest.mark.parametrize(
    ("path", "command", "said"),
    [
        ("", "who", "There is no rotation."),
        ("/gaps", "gaps", "No gap in the next 60 days."),
        ("/preview", "preview", "Nobody has a duty in the next 8 weeks."),
        ("/handover", "handover", "There is no rotation."),
    ],
)
def test_an_empty_answer_is_said_in_words(fake: Any, path: str, command: str, said: str) -> None:
    assert ask(fake, path, [], command).stdout.startswith(said)


def test_an_unknown_rotation_is_refused_with_the_words_of_the_service(fake: Any) -> None:
    fake.answers[ROOT] = (404, {"error": "unknown_rotation", "detail": "roster.yml has no rotation 'mars'"})
    result = CliRunner().invoke(main, ["oncall", "who", "--rotation", "mars"])
    assert (result.exit_code, "roster.yml has no rotation 'mars'" in result.stderr) == (1, True)
