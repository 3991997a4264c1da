"""docs/rules.md says what a rule may say, and its examples do what it says they do."""

import re
from pathlib import Path

import pytest

from uptake import config
from uptake.rule_tests import AccountSeries, AccountUnderTest, Case, Expected, ExpectedNotice, RuleTests, TrialUnderTest
from uptake_alerting import rule_testing
from uptake_alerting.conditions import LIMITS, METRICS, Condition
from uptake_alerting.rehearsal import sample_of
from uptake_alerting.roster import Roster
from uptake_alerting.rule_file import SHIPPED
from uptake_alerting.rules import AppliesTo, Rule, Rules
from uptake_metrics import sampling
from uptake_metrics.config import shipped_policies

TEXT = (Path(__file__).parents[1] / "docs/rules.md").read_text()
EXAMPLE, TESTS = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[:2]
FIELDS = [
    (one, info.alias or name)
    for one in (Rule, AppliesTo, Condition, RuleTests, Case, AccountSeries, AccountUnderTest, TrialUnderTest)
    for name, info in one.model_fields.items()
]


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first cell of the heading is this."""
    table = TEXT.split(f"| {heading} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("kind", ["account", "team", "instance"])
def test_every_metric_is_there_with_its_unit_and_its_states(kind):
    article = "an" if kind[0] in "aeiou" else "a"
    told = {name.strip("`"): unit for name, unit, _ in rows(f"metric of {article} {kind}")}
    known = {name: ": ".join([one.unit, *_states(one.states)]) for name, one in METRICS[kind].items()}
    assert list(told.items()) == list(known.items())


def _states(states: tuple[str, ...]) -> list[str]:
    return [", ".join(f"`{state}`" for state in states)] if states else []


def test_every_limit_of_a_trial_is_there():
    assert [cells[0].strip("`") for cells in rows("limit of a trial")] == list(LIMITS["trial"])
    assert METRICS["trial"] == {}


@pytest.mark.parametrize(("part", "name"), FIELDS, ids=lambda found: getattr(found, "__name__", found))
def test_every_field_is_named(part, name):
    assert f"`{name}`" in TEXT, part


@pytest.mark.parametrize("part", [Expected, ExpectedNotice])
def test_every_field_of_an_expectation_is_named(part):
    assert [name for name in part.model_fields if f"`{name}`" not in TEXT] == []


def test_the_table_of_fields_is_that_of_a_rule():
    assert [cells[0].strip("`") for cells in rows("field")] == [
        info.alias or name for name, info in Rule.model_fields.items()
    ]


def test_the_example_of_a_file_can_be_in_force():
    (rule,) = config.parse(EXAMPLE, Rules).alerts
    assert rule.severity_when[0].when.text == "usage at most 10 % and seats at least 200"


def test_the_example_of_tests_passes():
    rules, cases = config.parse(SHIPPED, Rules), config.parse(TESTS, RuleTests).tests
    assert len(cases) == 3
    for case in cases:
        made = [sample_of({"kind": kind, "snapshot": one}) for kind, one in sampling.samples(case, shipped_policies())]
        assert rule_testing.failures(case, made, rules, Roster()) == []
