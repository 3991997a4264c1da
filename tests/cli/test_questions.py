"""The commands that ask: what they send, what they show, and that `--json` shows exactly what came."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

USAGE = {"value": 0.3214, "num": 180, "den": 560, "status": "healthy", "provisional": False, "reason": None}
ADOPTION = {"value": 0.4999, "num": 2499, "den": 5000, "basis": "purchased", "target": 0.5, "on_target": False}
ADOPTION |= {"status": "off_target", "n": 129, "policy": "ce-2022", "pace": 0.36, "reason": None}
ADOPTION |= {"next_target": 0.75, "band_end": 180}
KPIS = {"account": "acme", "as_of": "2026-05-10", "time_zone": "UTC", "partial": False, "revision": 2, "reason": None}
KPIS |= {"data_health": "fresh", "last_contact": "2026-05-10", "dau": 12, "wau": 17, "mau": 20}
KPIS |= {"usage": USAGE, "adoption": ADOPTION}
NO_ADOPTION = {**ADOPTION, "value": None, "num": None, "den": None, "target": None, "status": "unknown"}
DARK = {**KPIS, "dau": None, "wau": None, "mau": None, "reason": "no_telemetry"}
DARK |= {"usage": {**USAGE, "value": None, "status": "unknown", "reason": "no_telemetry"}}
DARK |= {"adoption": {**NO_ADOPTION, "n": None, "next_target": None, "reason": "no_seats"}}
REVISION = {"account": "acme", "as_of": "2026-05-10", "revision": 2, "published_at": "2026-05-11T07:00:00Z"}
REVISION |= {"causes": ["import", "license"], "import_id": "job", "facts": [{"id": "fact-1"}], "kpis": KPIS}
REVISION |= {"differs": [{"field": "kpis.mau", "before": None, "after": 20}]}
ACCOUNT = {"account": "acme", "name": "Acme [red]", "owner": "ce-1", "seats": 40, "kpis": KPIS}
TRIAL = {"opportunity": "opp-1", "account": "acme", "complexity": "standard", "engineer": None, "state": "running"}
TRIAL |= {"started": "2026-04-01", "stopped": None, "outcome": None, "cycle_days": 26, "target_days": 21}
TRIAL |= {"within": False, "flags": ["paused"], "usage": {"dau": 2, "wau": 3, "mau": 5, "reason": None}}
ALERT = {
    "id": "a1b2",
    "undeliverable": False,
    "rule": "adoption-below-target",
    "subject_kind": "account",
    "subject": "acme",
}
ALERT |= {"severity": "warning", "state": "firing", "reason": "firing", "since": "2026-05-08", "owner": "ce-1"}
ALERT |= {"summary": "Acme is below its adoption target", "next_step": "Ask the champion."}
ALERT |= {"transitions": [{"at": "2026-05-10T02:00:00Z", "kind": "firing", "reason": "firing"}]}
ALERT["transitions"][0] |= dict.fromkeys(("by", "via", "note"))
ALERT |= {"deliveries": [{"channel": "ops", "kind": "trigger", "status": "delivered", "attempts": 1, "reason": None}]}
ALERT["deliveries"][0] |= {"person": None, "destination": "ops.example.com #1a2b3c"}
ALERT |= {"handling": {"state": "unacked", "acked_by": None, "ack_until": None, "snoozed_until": None}}
ALERT["handling"] |= {"assignee": None, "escalation": 0}
ALERT |= {"gates": [], "route": None}

ACCOUNTS, ALERTS = "/api/v1/accounts", "/api/v1/alerts"
QUESTIONS = [
    (["accounts"], ACCOUNTS, {}, [ACCOUNT]),
    (["accounts", "--as-of", "2026-05-10"], ACCOUNTS, {"as_of": ["2026-05-10"]}, [ACCOUNT]),
    (["kpis", "acme"], f"{ACCOUNTS}/acme/kpis", {}, KPIS),
    (["kpis", "a/b c", "--as-of", "2026-05-10"], f"{ACCOUNTS}/a%2Fb%20c/kpis", {"as_of": ["2026-05-10"]}, KPIS),
    (
        ["history", "acme", "--from", "2026-05-01", "--to", "2026-05-10"],
        f"{ACCOUNTS}/acme/history",
        {"from": ["2026-05-01"], "to": ["2026-05-10"]},
        [KPIS, DARK],
    ),
    (
        ["history", "acme", "--from", "2026-05-01", "--to", "2026-05-10", "--revisions"],
        f"{ACCOUNTS}/acme/history",
        {"from": ["2026-05-01"], "to": ["2026-05-10"], "revisions": ["all"]},
        [REVISION],
    ),
    (
        ["users", "acme", "--as-of", "2026-05-10", "--window", "wau", "--feature", "web"],
        f"{ACCOUNTS}/acme/users",
        {"as_of": ["2026-05-10"], "window": ["wau"], "feature": ["web"]},
        {"account": "acme", "as_of": "2026-05-10", "window": "wau", "count": 2, "users": ["ada", "bob"]},
    ),
    (["trials"], "/api/v1/trials", {}, [TRIAL]),
    (["alerts"], ALERTS, {"limit": ["200"]}, [ALERT]),
    (["alerts", "--state", "firing"], ALERTS, {"state": ["firing"], "limit": ["200"]}, [ALERT]),
    (["alerts", "list", "--state", "firing"], ALERTS, {"state": ["firing"], "limit": ["200"]}, [ALERT]),
    (["alerts", "show", "a1b2"], f"{ALERTS}/a1b2", {}, ALERT),
]


@pytest.mark.parametrize(("arguments", "path", "query", "answer"), QUESTIONS)
def test_json_is_the_answer_as_it_came(
    fake: Any, arguments: list[str], path: str, query: dict[str, list[str]], answer: Any, ask: Any
) -> None:
    fake.answers[path] = (200, answer)
    result = ask(*arguments, "--json")
    assert result.stdout == json.dumps(answer) + "\n"
    assert (result.exit_code, result.stderr, fake.gets) == (0, "", [(path, query)])


def test_a_percentage_is_cut_and_stands_beside_its_exact_numbers(shown: Any) -> None:
    text = "\n".join(shown(f"{ACCOUNTS}/acme/kpis", KPIS, "kpis", "acme"))
    assert "32.1 % 180/560 healthy" in text
    assert "49.9 % 2499/5000 off_target" in text
    assert "50.0 % day 129 of ce-2022, 75.0 % after day 180" in text


def test_the_unknown_is_a_dash_with_its_reason_and_never_a_zero(shown: Any) -> None:
    for lines in (
        shown(f"{ACCOUNTS}/acme/kpis", DARK, "kpis", "acme"),
        shown(ACCOUNTS, [{**ACCOUNT, "seats": None, "kpis": DARK}], "accounts"),
    ):
        text = "\n".join(lines)
        assert "– no_telemetry" in text
        assert "– no_seats" in text
        assert "0 %" not in text


def test_a_revision_says_what_made_it_and_what_it_changed(shown: Any) -> None:
    days = ("--from", "2026-05-10", "--to", "2026-05-10")
    lines = shown(f"{ACCOUNTS}/acme/history", [REVISION], "history", "acme", *days, "--revisions")
    assert lines[-1] == "2026-05-10 2 2026-05-11T07:00:00Z import, license (job, fact-1) mau – -> 20"


def test_a_pipe_gets_whole_lines_without_colour(shown: Any) -> None:
    name = "an-account-with-a-very-long-name-" * 5
    lines = shown(ACCOUNTS, [{**ACCOUNT, "account": name}], "accounts")
    row = next(line for line in lines if name in line)
    assert "ce-1" in row
    assert "\x1b" not in "".join(lines)


def test_customer_text_is_never_markup(shown: Any) -> None:
    lines = shown(ACCOUNTS, [{**ACCOUNT, "account": "[red]x[/red]"}], "accounts")
    assert lines[-1].startswith("[red]x[/red] ")


def test_the_list_of_users_is_one_a_line_and_the_count_stays_out_of_it(fake: Any, ask: Any) -> None:
    answer = {"account": "acme", "as_of": "2026-05-10", "window": "mau", "count": 2, "users": ["ada", "bob"]}
    fake.answers[f"{ACCOUNTS}/acme/users"] = (200, answer)
    result = ask("users", "acme", "--as-of", "2026-05-10")
    assert (result.stdout, result.stderr) == ("ada\nbob\n", "2 users in the mau of acme on 2026-05-10\n")


def test_trials_and_alerts_show_what_matters(shown: Any) -> None:
    row = shown("/api/v1/trials", [TRIAL], "trials")[-1].split()
    assert row[-7:] == ["26", "21", "no", "paused", "2", "3", "5"]
    quiet = {**TRIAL, "usage": dict.fromkeys(("dau", "wau", "mau")) | {"reason": "no_telemetry"}}
    assert "– no_telemetry" in shown("/api/v1/trials", [quiet], "trials")[-1]
    assert shown(ALERTS, [ALERT], "alerts")[-1].startswith("a1b2 ")
    text = "\n".join(shown(f"{ALERTS}/a1b2", ALERT, "alerts", "show", "a1b2"))
    assert "Ask the champion." in text
    assert "delivered" in text


@pytest.mark.parametrize(
    ("arguments", "path", "says"),
    [
        (["accounts"], ACCOUNTS, "No accounts yet"),
        (["trials"], "/api/v1/trials", "No trials"),
        (["alerts"], ALERTS, "No al"),
    ],
)
def test_nothing_there_is_said_in_words(arguments: list[str], path: str, says: str, shown: Any) -> None:
    assert shown(path, [], *arguments)[0].startswith(says)


def test_an_unknown_account_is_answered_with_close_names(fake: Any, ask: Any) -> None:
    fake.answers[ACCOUNTS] = (200, [ACCOUNT, {**ACCOUNT, "account": "zebra"}])
    result = ask("kpis", "acne")
    assert result.exit_code == 1
    assert "No account 'acne'. Did you mean acme?" in result.stderr


@pytest.mark.usefixtures("fake")
def test_an_unknown_alert_is_exit_code_1_in_the_words_of_the_service(ask: Any) -> None:
    result = ask("alerts", "show", "nope")
    assert (result.exit_code, result.stderr) == (1, f"Error: nothing at {ALERTS}/nope\n")


def test_a_service_that_is_not_ready_is_exit_code_3(fake: Any, ask: Any) -> None:
    fake.answers[ACCOUNTS] = (503, {"detail": "recovering"})
    result = ask("accounts")
    assert (result.exit_code, "recovering" in result.stderr) == (3, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["kpis", "acme", "--as-of", "yesterday"],
        ["history", "acme", "--from", "2026-05-10", "--to", "2026-05-01"],
        ["users", "acme"],
        ["users", "acme", "--as-of", "2026-05-10", "--window", "year"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], ask: Any) -> None:
    assert ask(*arguments).exit_code == 2


def test_the_folder_may_be_named_before_or_after_the_command(
    fake: Any, monkeypatch: pytest.MonkeyPatch, ask: Any
) -> None:
    monkeypatch.delenv("UPTAKE_DATA")
    fake.answers["/api/v1/trials"] = (200, [])
    assert ask("--data", str(fake.data), "trials").exit_code == 0
    assert ask("trials", "--data", str(fake.data)).exit_code == 0


@pytest.mark.parametrize(
    ("status", "undeliverable", "told"),
    [("delivered", False, "ops"), ("pending", False, "not yet"), ("failed", True, "nobody")],
)
def test_an_alert_says_who_was_told(fake: Any, status: str, undeliverable: bool, told: str, ask: Any) -> None:
    alert = {**ALERT, "undeliverable": undeliverable, "deliveries": [{**ALERT["deliveries"][0], "status": status}]}
    fake.answers[ALERTS] = (200, [alert])
    assert told in re.split(" {2,}", ask("alerts").stdout.splitlines()[-1])


def test_a_terminal_without_our_dashes_shows_a_mark_in_their_place(fake: Any) -> None:
    fake.answers["/api/v1/trials"] = (200, [TRIAL])
    command = [sys.executable, "-m", "uptake_cli", "--data", str(fake.data), "trials"]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout
