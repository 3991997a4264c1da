"""`uptake rules`: what is in force, what is wrong with a file, and what its rules would do."""

import json
from pathlib import Path

import pytest

from uptake_cli import programs
from uptake_cli.problems import Refused

LINE = {
    "rule": "usage-unhealthy",
    "subject": "account",
    "when": "usage at most 30 %",
    "hold": "3 samples",
    "severity": "warning",
    "deliver": "working_hours",
    "to": ["owner", "manager"],
    "inhibits": [],
    "open": 4,
}
TEST = """\
rules: RULES
tests:
- name: three days are enough
  account: {account: acme, production_date: 2026-01-01, owner: ce-1, seats: 100}
  start: 2026-02-02
  series: {mau: "24x3"}
  expect: [{day: 2026-02-04, rule: adoption-below-target, state: firing, since: 2026-02-02}]
"""
RULES = """\
groups:
- name: own
  rules:
  - alert: adoption-below-target
    subject: account
    when: {metric: adoption_status, is: off_target}
    for: 4
"""


def test_the_rules_in_force_as_a_table(shown):
    lines = shown("/api/v1/rules", {"rules": [LINE], "problem": None}, "rules", "list")
    assert lines[2] == "usage-unhealthy account usage at most 30 % 3 samples warning owner, manager 4"


def test_the_rules_in_force_as_they_come_and_a_file_that_is_not(fake, ask):
    fake.answers["/api/v1/rules"] = (200, {"rules": [LINE], "problem": "rules.yml: line 3: no"})
    assert json.loads(ask("rules", "list", "--json").stdout)["rules"] == [LINE]
    assert "not in force: rules.yml: line 3: no" in ask("rules", "list").stderr


def test_good_rules_of_a_folder_of_a_file_and_of_the_instance(tmp_path, ask):
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rules.yml").write_text(RULES)
    for words in ((tmp_path / "config",), (tmp_path / "config/rules.yml",), ("--data", tmp_path)):
        assert ask("rules", "check", *words).exit_code == 0
    assert ask("rules", "check", tmp_path / "config", "--json").stdout == '{"problems": []}\n'


@pytest.mark.parametrize("place", ["", "rules.yml"], ids=["folder", "file"])
def test_what_is_wrong_with_rules_is_told_with_its_line(tmp_path, ask, place):
    (tmp_path / "rules.yml").write_text(RULES.replace("adoption_status", "mood"))
    result = ask("rules", "check", tmp_path / place)
    assert (result.exit_code, "rules.yml: line 4: " in result.stderr) == (1, True)
    assert "no such metric of accounts: mood" in result.stderr


def test_a_place_that_is_not_there(tmp_path, ask):
    assert ask("rules", "check", "--data", tmp_path).exit_code == 1
    assert ask("rules", "check", tmp_path / "none").exit_code == 2
    assert ask("rules", "test", tmp_path / "none.yml").exit_code == 2


def test_a_folder_without_any_file_of_configuration_is_a_mistake(tmp_path, ask):
    done = ask("rules", "check", tmp_path)
    assert done.exit_code == 2
    assert f"There is none of rules.yml, routes.yml, roster.yml in {tmp_path}." in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("rules", "backtest", "--rules", "FILE", "--from", "0001-01-01", "--to", "0001-01-02"),
        ("rules", "backtest", "--rules", "FILE", "--from", "9999-12-30", "--to", "9999-12-31"),
        ("silences", "add", "account=a", "--from", "0001-01-01", "--for", "1d", "--comment", "c"),
        ("silences", "add", "account=a", "--until", "9999-12-31T23:59", "--comment", "c"),
    ],
)
def test_a_day_at_the_end_of_the_calendar_is_wrong_usage(tmp_path, ask, words):
    file = tmp_path / "rules.yml"
    file.write_text(RULES)
    done = ask(*(file if word == "FILE" else word for word in words))
    assert (done.exit_code, "does not lie in the years 1970 to 9000" in done.stderr) == (2, True)


def test_without_a_file_the_shipped_rules_are_tested(ask):
    result = ask("rules", "test")
    assert (result.exit_code, result.stdout.count(" passed\n")) == (0, 3)


def test_rules_of_ones_own_that_fail_a_test(tmp_path, ask):
    (tmp_path / "good.yml").write_text(TEST.replace("RULES", "shipped"))
    (tmp_path / "bad.yml").write_text(TEST.replace("RULES", "own.yml"))
    (tmp_path / "own.yml").write_text(RULES)
    result = ask("rules", "test", tmp_path / "good.yml", tmp_path / "bad.yml")
    assert (result.exit_code, result.stdout.splitlines()) == (
        1,
        [
            f"{tmp_path / 'good.yml'}: 1 of 1 passed",
            "FAILED three days are enough",
            "  2026-02-04 adoption-below-target: expected firing since 2026-02-02, got pending since 2026-02-02",
            f"{tmp_path / 'bad.yml'}: 0 of 1 passed",
        ],
    )
    result = ask("rules", "test", tmp_path / "bad.yml", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["passed"], answer["files"][0]["tests"][0]["passed"]) == (1, False, False)


@pytest.mark.parametrize(
    ("was", "instead", "said"),
    [
        ("24x3", "24y3", "line 6: tests.0.series.mau: 24y3 is neither a number"),
        ("adoption-below-target", "adoption-below", "line 7: adoption-below is no rule about accounts; one of "),
        ("RULES", "gone.yml", "gone.yml"),
    ],
)
def test_a_file_that_is_no_test_ends_with_2_and_its_line(tmp_path, ask, was, instead, said):
    file: Path = tmp_path / "t.yml"
    file.write_text(TEST.replace(was, instead, 1).replace("RULES", "shipped"))
    result = ask("rules", "test", file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_service_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(Refused, match="uptake-metrics is not installed beside this command"):
        programs.run("metrics", "sample")
