"""Tests of rules: every shipped rule has some that can fail, and what differs is said."""

import io
import json
import sys
from pathlib import Path

import pytest

from uptake import config
from uptake.rule_tests import RuleTests
from uptake_alerting import rule_testing
from uptake_alerting.rehearsal import sample_of
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import SHIPPED
from uptake_alerting.rules import Rules
from uptake_metrics import sampling
from uptake_metrics.config import shipped_policies

FILES = sorted((Path(rule_testing.__file__).parent / "shipped/tests").glob("*.yml"))
RULES = config.parse(SHIPPED, Rules)
FILE = """\
rules: shipped
tests:
- name: a dip shorter than the hold tells nobody
  account: {account: acme, time_zone: UTC, production_date: 2026-01-01, owner: ce-1, seats: 100}
  start: 2026-02-01                 # first closed day of the series
  series: {mau: "24 24 26 24x3", userdays28: "600x6"}   # one value a day; NxK repeats; _ = no data that day
  expect:
  - {day: 2026-02-06, rule: adoption-below-target, state: firing, since: 2026-02-04}
  - {day: 2026-02-03, rule: adoption-below-target, state: ok}
  notices: [{day: 2026-02-06, rule: adoption-below-target, kind: trigger, to: ce-1}]   # exactly these
- name: a trial runs over without any event
  trial: {opportunity: o1, account: acme, complexity: standard, engineer: ce-2, stage_4: 2026-02-02}
  start: 2026-02-02
  days: 25                          # only the clock moves
  expect: [{day: 2026-02-24, rule: trial-breached, state: firing}]
"""


def samples_of(case):
    return [sample_of({"kind": kind, "snapshot": made}) for kind, made in sampling.samples(case, shipped_policies())]


@pytest.fixture(scope="module")
def shipped():
    cases = [case for file in FILES for case in config.parse(file.read_text(), RuleTests).tests]
    return [(case, samples_of(case)) for case in cases]


def differs(text: str, rules: Rules = RULES, roster: Roster | None = None) -> list[list[str]]:
    cases = config.parse(text, RuleTests).tests
    return [rule_testing.failures(case, samples_of(case), rules, roster or Roster()) for case in cases]


def test_the_example_of_the_design_passes_word_for_word():
    assert differs(FILE) == [[], []]


def test_every_shipped_test_passes(shipped):
    assert len(shipped) >= 18
    failed = {case.name: rule_testing.failures(case, made, RULES, Roster()) for case, made in shipped}
    assert {name: wrong for name, wrong in failed.items() if wrong} == {}


def test_every_shipped_rule_about_accounts_and_trials_is_tested_firing(shipped):
    """Quarters and installations have no history of days or of a clock alone: tests/alerting judges them."""
    fires = {one.rule for case, _ in shipped for one in case.expect if one.state in ("firing", "resolved", "closed")}
    told = {one.rule for case, _ in shipped for one in case.notices or ()}
    rules = {rule.name for rule in RULES.alerts if rule.subject_kind in ("account", "trial")}
    assert rules - fires - told == set()
    assert {rule.name for rule in RULES.alerts} - rules == {"closure-below-target", "instance-unattributed"}


@pytest.mark.parametrize(
    ("was", "instead"),
    [
        (
            "for: 3\n    keep_firing_for: 3\n    severity: warning\n    applies_to: {from_day: 30, outside",
            "for: 2\n    keep_firing_for: 3\n    severity: warning\n    applies_to: {from_day: 30, outside",
        ),
        (
            "for: 3\n    keep_firing_for: 3\n    severity: warning\n    applies_to: {from_day: 30, outside",
            "for: 3\n    keep_firing_for: 2\n    severity: warning\n    applies_to: {from_day: 30, outside",
        ),
        ("{from_day: 30, outside_seat_grace: true}", "{from_day: 31, outside_seat_grace: true}"),
        ("outside_seat_grace: true", "outside_seat_grace: false"),
        ("{metric: days_to_step, at_most: 13 days}", "{metric: days_to_step, at_most: 12 days}"),
        ("{metric: days_to_step, at_most: 13 days}", "{metric: days_to_step, at_most: 14 days}"),
        ("when: {metric: adoption, above: 1}", "when: {metric: adoption, at_least: 1}"),
        ("when: {metric: adoption, above: 1}", "when: {metric: adoption, above: 1.01}"),
        ("to: [owner, executive]", "to: [owner]"),
        ("when: {metric: usage, at_most: 30 %}", "when: {metric: usage, at_most: 29.9 %}"),
        ("{metric: usage, at_most: 20 %}", "{metric: usage, at_most: 19.9 %}"),
        ("{metric: mau, at_most: 0}", "{metric: mau, at_most: 30}"),
        ("to: [owner, manager]", "to: [owner]"),
        ("inhibits: [usage-unhealthy, adoption-below-target]", "inhibits: [usage-unhealthy]"),
        ("one_shot: true", "one_shot: false"),
        ("when: {metric: data_health, is: stale}", "when: {metric: data_health, is: fresh}\n    for: 9"),
        ("{metric: contract_day, at_least: 30 days}", "{metric: contract_day, at_least: 29 days}"),
        ("{metric: contract_day, at_least: 30 days}", "{metric: contract_day, at_least: 31 days}"),
        ("{reached: approaching_on}", "{reached: breached_on}"),
        ("{reached: breached_on}", "{reached: approaching_on}"),
        ("{reached: overlong_on}", "{reached: breached_on}"),
        ("{reached: policy_on}", "{reached: breached_on}"),
    ],
    ids=lambda text: text[:60],
)
def test_a_shipped_rule_that_is_changed_fails_a_test(shipped, was, instead):
    assert was in SHIPPED
    changed = SHIPPED.replace(was, instead)
    if "is: fresh" in instead:
        changed = changed.replace("    clear: {metric: data_health, is: fresh}\n", "")
    rules = config.parse(changed, Rules)
    assert any(rule_testing.failures(case, made, rules, Roster()) for case, made in shipped)


@pytest.mark.parametrize(
    ("was", "instead", "said"),
    [
        (
            "state: firing, since: 2026-02-04",
            "state: firing, since: 2026-02-05",
            "2026-02-06 adoption-below-target: expected firing since 2026-02-05, got firing since 2026-02-04",
        ),
        (
            "state: firing, since: 2026-02-04",
            "state: firing, severity: critical",
            "2026-02-06 adoption-below-target: expected firing critical, got firing warning",
        ),
        ("state: ok", "state: pending", "2026-02-03 adoption-below-target: expected pending, got ok"),
        ("to: ce-1}]", "to: ce-2}]", "2026-02-06 adoption-below-target: trigger to ce-2: expected, but nobody is told"),
        (
            "notices: [{",
            "notices: []  # [{",
            "2026-02-06 adoption-below-target: trigger to ce-1: told, but not expected",
        ),
    ],
)
def test_what_differs_is_said(was, instead, said):
    assert was in FILE
    assert said in differs(FILE.replace(was, instead))[0]


def test_one_too_many_of_the_same_notice_is_missed(shipped):
    twice = FILE.replace("kind: trigger, to: ce-1}]", "kind: trigger, to: ce-1}, {day: 2026-02-06, rule: "
                         "adoption-below-target, kind: trigger, to: ce-1}]")  # fmt: skip
    assert differs(twice)[0] == ["2026-02-06 adoption-below-target: trigger to ce-1: expected, but nobody is told"]


def test_a_notice_that_waits_for_the_morning_after_the_last_day_counts_for_that_day():
    roster = Roster.model_validate({"people": [{"name": "ce-1", "time_zone": "UTC"}]})
    text = FILE.replace("2026-02-01 ", "2026-01-31 ")  # the last close is early on a Friday
    text = text.replace("day: 2026-02-06", "day: 2026-02-05").replace("since: 2026-02-04", "since: 2026-02-03")
    text = text.replace("day: 2026-02-03, rule", "day: 2026-02-02, rule")
    assert differs(text, roster=roster)[0] == []


def run(monkeypatch, capsys, *words: object, text: str = FILE) -> tuple[int, str, str]:
    lines = [
        json.dumps({"test": number, "kind": kind, "snapshot": made})
        for number, case in enumerate(config.parse(text, RuleTests).tests)
        for kind, made in sampling.samples(case, shipped_policies())
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    code = rule_testing.main([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_program_ends_with_1_when_a_test_fails_and_says_which(tmp_path, monkeypatch, capsys):
    file = tmp_path / "t.yml"
    file.write_text(FILE)
    assert run(monkeypatch, capsys, file) == (0, f"{file}: 2 of 2 passed\n", "")
    wrong = FILE.replace("state: ok", "state: pending")
    file.write_text(wrong)
    code, out, _ = run(monkeypatch, capsys, file, text=wrong)
    assert (code, out.splitlines()[0]) == (1, f"FAILED {file}: a dip shorter than the hold tells nobody")
    code, out, _ = run(monkeypatch, capsys, file, "--json", text=wrong)
    assert (code, [one["passed"] for one in json.loads(out)["tests"]]) == (1, [False, True])


@pytest.mark.parametrize(
    ("was", "instead", "said"),
    [
        (
            "rule: trial-breached",
            "rule: usage-unhealthy",
            "line 15: usage-unhealthy is no rule about trials; one of tr",
        ),
        ("rule: trial-breached", "rule: closure-below-target", "line 15: closure-below-target is no rule about trials"),
        ("kind: trigger", "kind: trigger, rules: 1", "line 10: tests.0.notices.0.rules: is not known here"),
        ("rules: shipped", "rules: mine.yml", "mine.yml: line 1: groups.0.rules.0.alert: is missing"),
        ("rules: shipped", "rules: absent.yml", "absent.yml"),
        ("rules: shipped", "rules: shipped\nroster: team.yml", "team.yml: line 1: people.0.name: is missing"),
    ],
)
def test_a_wrong_file_ends_with_2_and_is_told_with_its_line(tmp_path, monkeypatch, capsys, was, instead, said):
    (tmp_path / "mine.yml").write_text("groups: [{name: g, rules: [{subject: account}]}]\n")
    (tmp_path / "team.yml").write_text("people: [{email: a@example.com}]\n")
    file = tmp_path / "t.yml"
    assert was in FILE
    file.write_text(FILE.replace(was, instead, 1))
    code, out, err = run(monkeypatch, capsys, file)
    assert (code, out) == (2, "")
    assert err.startswith(f"{file}: ")
    assert said in err


def test_the_program_names_the_files_that_are_shipped(capsys):
    assert rule_testing.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [str(file) for file in FILES]
    assert rule_testing.main(["a", "b"]) == 2
