"""`uptake rules backtest` and `uptake route test`, with the real program of alerting and answers of a small Uptake."""

import json

import pytest

from uptake.rule_tests import Case
from uptake_metrics.config import shipped_policies
from uptake_metrics.sampling import samples

CASE = {
    "name": "one day",
    "account": {"account": "acme", "production_date": "2026-01-01", "owner": "ce-1", "seats": 100},
    "start": "2026-05-04",
    "series": {"mau": "120"},
    "notices": [],
}
RULES = """\
groups:
- name: own
  rules:
  - {alert: any-users, subject: account, when: {metric: mau, at_least: 1}}
"""
DAYS = ("--from", "2026-05-01", "--to", "2026-05-10")


@pytest.fixture
def history(fake):
    """One closed day of one account."""
    ((kind, snapshot),) = samples(Case.model_validate(CASE), shipped_policies())
    fake.answers["/api/v1/snapshots"] = (200, {"kind": kind, "snapshot": snapshot})


@pytest.fixture
def candidate(tmp_path):
    file = tmp_path / "new.yml"
    file.write_text(RULES)
    return file


def test_what_a_file_would_have_told_beside_the_rules_in_force(history, fake, ask, candidate):
    done = ask("rules", "backtest", "--rules", candidate, *DAYS, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)
    by_rule = {one["rule"]: one["notices"] for one in found["rules"]}
    assert by_rule["any-users"] == {"baseline": 0, "candidate": 1}
    assert fake.gets[-1] == ("/api/v1/snapshots", {"from": ["2026-04-01"], "to": ["2026-05-10"]})
    table = ask("rules", "backtest", "--rules", candidate, *DAYS).stdout
    assert "any-users 0 → 1 0 → 1 0" in [" ".join(line.split()) for line in table.splitlines()]


def test_the_gate_refuses(history, ask, candidate):
    done = ask("rules", "backtest", "--rules", candidate, *DAYS, "--max-notices-per-engineer-week", "0")
    assert done.exit_code == 1
    assert "ce-1 would get 1 notices in the week of 2026-05-04, more than 0: any-users 1" in done.stderr


def test_a_wrong_file_and_days_that_make_no_sense(history, ask, candidate):
    candidate.write_text(RULES.replace("mau", "mood"))
    done = ask("rules", "backtest", "--rules", candidate, *DAYS)
    assert done.exit_code == 2
    assert "new.yml: line 4: " in done.stderr
    assert ask("rules", "backtest", "--from", "2026-05-10", "--to", "2026-05-01").exit_code == 2


@pytest.mark.parametrize("wrong", ["candidate", "baseline", "roster"])
def test_what_is_wrong_with_a_file_is_told_before_a_day_is_asked_for(fake, ask, candidate, tmp_path, wrong):
    (fake.data / "config").mkdir()
    files = {"candidate": candidate, "baseline": tmp_path / "old.yml", "roster": fake.data / "config/roster.yml"}
    files["baseline"].write_text(RULES)
    files["roster"].write_text("people: []\n")
    words = ("rules", "backtest", "--rules", candidate, "--baseline", files["baseline"], *DAYS)
    assert ask(*words).exit_code == 1  # this Uptake has no history to tell
    asked = len(fake.gets)
    files[wrong].write_text(files[wrong].read_text() + "surplus: 1\n")
    done = ask(*words)
    assert (done.exit_code, len(fake.gets) - asked) == (2, 0)
    assert f"{files[wrong]}: line " in done.stderr


def test_nothing_needs_to_run_to_find_a_wrong_file(ask, candidate, tmp_path):
    words = ("rules", "backtest", "--rules", candidate, "--data", tmp_path / "none")
    assert ask(*words).exit_code == 3
    candidate.write_text(RULES.replace("mau", "mood"))
    done = ask(*words)
    assert (done.exit_code, "new.yml: line 4: " in done.stderr) == (2, True)


def test_an_uptake_that_is_not_ready_is_one_to_ask_again(fake, ask, candidate):
    fake.answers["/api/v1/snapshots"] = (503, {"detail": "starting"})
    done = ask("rules", "backtest", "--rules", candidate, *DAYS)
    assert (done.exit_code, "not ready yet" in done.stderr) == (3, True)


def test_who_would_be_told(fake, ask):
    told = {"person": "ce-1", "channel": "mail", "channel_type": "webhook", "destination": "x", "why": "she owns it"}
    steps = [
        {"level": 0, "told": [told | {"at": "2026-05-04T10:00:00Z", "digest": False}], "looked_at": ["ce-1 owns it"]},
        {"level": 1, "told": [], "looked_at": ["nobody is on call"]},
    ]
    fake.answers["/api/v1/route"] = (200, {"steps": steps})
    done = ask("route", "test", "--rule", "r", "--account", "acme", "--at", "2026-05-04T10:00:00+0000")
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "0 ce-1 mail 2026-05-04T10:00:00Z she owns it" in lines
    assert "1 nobody nobody who does not know of it by then" in lines
    assert "level 1: nobody is on call" in lines
    query = {"rule": ["r"], "account": ["acme"], "at": ["2026-05-04T10:00:00+00:00"]}
    assert fake.gets[-1] == ("/api/v1/route", query)
