"""Whom an alert is about: the same people from a snapshot as from what is stored of it."""

from datetime import date

import pytest

from uptake_alerting import about, whom
from uptake_alerting.cases import Case, case_of
from uptake_alerting.rule_file import RulesFile

RULES = RulesFile(None).current().by_name


def test_what_is_stored_names_whom_the_snapshot_names(account_day, trial):
    day, one = account_day(date(2026, 5, 4), executive="ae-1", manager="lead"), trial()
    rule = RULES["trial-breached"]
    for snapshot, stored in ((day, about.of_account([day])), (one, about.of_trial(one))):
        again = whom.about_of(rule.name, rule.to, stored.account, stored.region, stored.people)
        assert again == about.for_whom(rule, snapshot)
    assert about.people_of(one) == {"owner": "ce-1", "engineer": "ce-2", "executive": None}
    people = {"owner": "ce-1", "deputy": "ce-2", "executive": "ae-1", "manager": "lead"}
    assert about.people_of(day) == people


@pytest.mark.parametrize(
    ("rule", "severity", "delivery"),
    [
        ("usage-unhealthy", "critical", "at_once"),
        ("usage-unhealthy", "info", "digest"),
        (None, "info", "working_hours"),
    ],
)
def test_a_case_is_delivered_as_its_rule_has_it_while_there_is_one(rule, severity, delivery):
    concerns = whom.about_of("any", ("owner",), "acme", None, {"owner": "ce-1"})
    found = case_of("e1", RULES.get(rule), concerns, severity)
    assert found == Case("e1", "any", severity, concerns, delivery)
