"""Histories of rule tests as snapshots: the numbers are those of the one KPI code."""

import json
import subprocess
import sysconfig
from fractions import Fraction
from pathlib import Path

import pytest

from uptake import config
from uptake.messages.kpi import AccountSnapshot, TrialSnapshot
from uptake.rule_tests import RuleTests
from uptake_metrics import sampling
from uptake_metrics.config import shipped_policies

HEAD = "rules: shipped\ntests:\n- name: one\n"
ACCOUNT = "  account: {account: acme, production_date: 2026-01-01, owner: ce-1, seats: 100, ABOUT}\n"
EXPECT = "  expect: [{day: 2026-02-01, rule: usage-unhealthy, state: ok}]\n"


def of_account(series: str, about: str = "region: emea", more: str = "") -> list[AccountSnapshot]:
    text = HEAD + ACCOUNT.replace("ABOUT", about) + f"  start: 2026-02-01\n  series: {{{series}}}\n{more}" + EXPECT
    (case,) = config.parse(text, RuleTests).tests
    made = list(sampling.samples(case, shipped_policies()))
    assert {kind for kind, _ in made} <= {"account"}
    return [AccountSnapshot.model_validate(snapshot) for _, snapshot in made]


def of_trial(about: str = "engineer: ce-2", more: str = "") -> list[TrialSnapshot]:
    trial = f"  trial: {{opportunity: o1, account: acme, stage_4: 2026-02-02, {about}}}\n"
    text = HEAD + trial + "  start: 2026-02-01\n  days: 40\n" + more + EXPECT
    (case,) = config.parse(text, RuleTests).tests
    return [TrialSnapshot.model_validate(s) for _, s in sampling.samples(case, shipped_policies())]


def test_each_day_is_a_closed_one_with_the_numbers_of_the_series():
    first, second = of_account('mau: "24 26", userdays28: "600 640", wau: "20 21", dau: "9 _"')
    assert [str(one.kpis.as_of) for one in (first, second)] == ["2026-02-01", "2026-02-02"]
    assert (first.kpis.mau, first.kpis.wau, first.kpis.dau) == (24, 20, 9)
    assert not first.kpis.partial
    assert str(first.closed_at) == "2026-02-02 02:00:00+00:00"
    adoption, usage = first.kpis.adoption, first.kpis.usage
    assert (adoption.num, adoption.den, adoption.target, adoption.n) == (24, 100, 0.25, 31)
    assert (adoption.status, second.kpis.adoption.status) == ("off_target", "on_target")
    assert Fraction(usage.num, usage.den) == Fraction(600, 28) / 24
    assert Fraction(second.kpis.usage.num, second.kpis.usage.den) == Fraction(640, 28) / 26


@pytest.mark.parametrize("mau", [1, 7, 40, 999])
@pytest.mark.parametrize("share", [0, 1, 3, 28])
def test_user_days_are_exactly_those_that_were_given(mau, share):
    (one,) = of_account(f'mau: "{mau}", userdays28: "{mau * share}"')
    assert Fraction(one.kpis.usage.num, one.kpis.usage.den) == Fraction(share, 28)


def test_without_user_days_everybody_came_on_every_other_day():
    (one,) = of_account('mau: "24"')
    assert Fraction(one.kpis.usage.num, one.kpis.usage.den) == Fraction(1, 2)


def test_a_day_without_data_is_no_sample_until_the_data_are_stale():
    days = of_account('mau: "24 _x7 25"')
    assert [(str(one.kpis.as_of)[-2:], one.kpis.data_health) for one in days] == [
        ("01", "fresh"),
        ("06", "stale"),
        ("07", "stale"),
        ("08", "stale"),
        ("09", "fresh"),
    ]
    assert days[1].kpis.mau == 24  # the last that is known


def test_an_account_closes_its_days_in_its_own_zone():
    (one,) = of_account('mau: "24"', "time_zone: America/New_York")
    assert str(one.closed_at) == "2026-02-02 07:00:00+00:00"


def test_facts_change_things_on_the_way():
    more = '  facts: [{type: account.updated, account: acme, owner: ce-9, occurred_at: "2026-02-02T10:00:00Z"}]\n'
    assert [one.owner for one in of_account('mau: "24x3"', more=more)] == ["ce-1", "ce-9", "ce-9"]


def test_a_trial_is_told_whenever_a_fact_moves_it():
    more = '  facts: [{type: trial.decided, opportunity: o1, outcome: win, occurred_at: "2026-02-10T10:00:00Z"}]\n'
    running, stopped = of_trial(more=more)
    assert (running.trial.state, str(running.breached_on), running.trial.engineer) == ("running", "2026-02-24", "ce-2")
    assert (stopped.trial.state, stopped.trial.cycle_days) == ("stopped", 8)
    assert str(of_trial("complexity: complex")[0].breached_on) == "2026-03-05"


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ("{type: account.moved, account: acme}", "facts.0."),
        ('{type: account.updated, account: acme, owner: 7, occurred_at: "2026-02-02T10:00:00Z"}', "owner"),
        ('{type: account.updated, account: acme, ownr: x, occurred_at: "2026-02-02T10:00:00Z"}', "ownr: is not known"),
    ],
)
def test_a_fact_that_is_none_is_named(fact, said):
    with pytest.raises(sampling.BadFact, match=said) as error:
        of_account('mau: "24"', more=f"  facts:\n  - {fact}\n")
    assert error.value.number == 0


def run(*words: object) -> subprocess.CompletedProcess[str]:
    script = Path(sysconfig.get_path("scripts")) / "uptake-metrics"
    return subprocess.run([script, "sample", *map(str, words)], capture_output=True, text=True, check=False)


def test_the_program_prints_one_snapshot_a_line(tmp_path):
    file = tmp_path / "t.yml"
    file.write_text(HEAD + ACCOUNT.replace(", ABOUT", "") + '  start: 2026-02-01\n  series: {mau: "24x2"}\n' + EXPECT)
    done = run(file)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["test"], line["kind"], line["snapshot"]["kpis"]["mau"]) for line in lines] == [(0, "account", 24)] * 2


def test_a_wrong_file_is_told_with_its_line(tmp_path, capsys):
    file = tmp_path / "t.yml"
    bad_fact = "  facts:\n  - {type: account.updated, account: acme}\n"
    text = HEAD + ACCOUNT.replace(", ABOUT", "") + '  start: 2026-02-01\n  series: {mau: "24x2"}\n' + bad_fact + EXPECT
    for broken, said in (
        (text, f"{file}: line 8: facts.0.account.updated.occurred_at: is missing"),
        (text.replace("24x2", "24y2"), f"{file}: line 6: tests.0.series.mau: 24y2 is neither"),
        ("policies: none.yml\n" + text, "none.yml"),
    ):
        file.write_text(broken)
        assert sampling.main([str(file)]) == 2
        assert said in capsys.readouterr().err
    assert sampling.main([]) == 2


def test_another_file_of_policies_judges_otherwise(tmp_path, capsys):
    file = tmp_path / "t.yml"
    version = "{since: 2020-01-01, anchor: production, steps: [{day: 0, target: 0.9}]}"
    strict = f"default: strict\npolicies:\n  strict:\n  - {version}\n"
    (tmp_path / "strict.yml").write_text(strict)
    text = HEAD + ACCOUNT.replace(", ABOUT", "") + '  start: 2026-02-01\n  series: {mau: "24"}\n' + EXPECT
    file.write_text("policies: strict.yml\n" + text)
    assert sampling.main([str(file)]) == 0, capsys.readouterr().err
    assert json.loads(capsys.readouterr().out)["snapshot"]["kpis"]["adoption"]["target"] == 0.9
