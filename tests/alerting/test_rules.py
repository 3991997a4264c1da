"""Rules as a file: what is refused, on which line, and what the shipped file says."""

import pytest

from uptake import config
from uptake.config import InvalidConfig
from uptake_alerting.rule_file import RulesFile, check
from uptake_alerting.rules import Hold, Rules

ONE = """\
groups:
- name: mine
  rules:
  - alert: quiet
    subject: account
    when: {metric: usage, at_most: 30 %}
"""


def refused(text):
    with pytest.raises(InvalidConfig) as error:
        config.parse(text, Rules)
    return str(error.value)


@pytest.mark.parametrize(
    ("when", "problem"),
    [
        ("{metric: usge, at_most: 30 %}", "no such metric of accounts: usge"),
        ("{metric: usage, at_most: 30}", "usage is a ratio: write 30 % or 0.3"),
        ("{metric: usage, at_most: 3 days}", "usage is in ratio, not in days"),
        ("{metric: usage, at_most: seats}", "usage is in ratio, not in seats"),
        ("{metric: usage, at_most: 1e999999999}", "no such metric of accounts: 1e999999999"),
        ("{metric: mau, at_most: 1e400 users}", "1e400 is no number, or out of all proportion"),
        ("{metric: usage, at_most: nothing}", "no such metric of accounts: nothing"),
        ("{metric: data_health, is: sick}", "data_health is never sick; one of fresh, stale"),
        ("{metric: data_health, above: 1}", "data_health is a state: compare it with `is`"),
        ("{metric: usage, at_most: 1, above: 0}", "a metric needs one of below"),
        ("{metric: usage}", "a metric needs one of below"),
        ("{at_most: 1}", "needs one of metric, all, any, reached"),
        ("{reached: breached_on}", "no such limit of accounts: breached_on"),
        ("{metric: usage, at_most: 3 weeks}", "no such unit: weeks"),
    ],
)
def test_a_condition_that_means_nothing_is_refused_with_its_line(when, problem):
    said = refused(ONE.replace("{metric: usage, at_most: 30 %}", when))
    assert said.startswith(("line 4: ", "line 6: "))
    assert problem in said


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("clear: {metric: usage, above: 29 %}", "clear is looser than when"),
        ("clear: {metric: usage, at_least: 30 %}", "clear is looser than when"),
        ("for: soon", "must be a number of closed days"),
        ("to: [boss]", "to.0"),
        ("inhibits: [unheard-of]", "inhibits an unknown alert: unheard-of"),
        ("colour: red", "colour"),
        ("severity: bad", "severity"),
        (r'annotations: {next_step: "a\0b"}', "annotations.next_step: must not hold control characters"),
        (r'annotations: {next_step: "a\ud800b"}', "annotations.next_step: "),
        (f"annotations: {{runbook: {'x' * 2_001}}}", "annotations.runbook"),
        ("annotations: {" + ", ".join(f"a{n}: x" for n in range(17)) + "}", "annotations"),
        (r'labels: {team: "a\nb"}', "labels.team: must be one line"),
        ("labels: {no name: x}", "labels"),
    ],
)
def test_a_line_that_does_not_fit_is_refused(line, problem):
    assert problem in refused(f"{ONE}    {line}\n")


@pytest.mark.parametrize("line", ["clear: {metric: usage, above: 30 %}", "clear: {metric: usage, at_least: 35 %}"])
def test_a_clear_that_is_stricter_is_taken(line):
    (rule,) = config.parse(f"{ONE}    {line}\n", Rules).alerts
    assert rule.clear is not None


@pytest.mark.parametrize(
    ("text", "hold"),
    [("3", Hold(3, "samples")), ("2 days", Hold(2, "days")), ("5 business days", Hold(5, "business_days"))],
)
def test_how_long_a_condition_has_to_hold(text, hold):
    (rule,) = config.parse(f"{ONE}    for: {text}\n", Rules).alerts
    assert rule.hold == hold


@pytest.mark.parametrize(
    ("when", "limit"),
    [
        ("{metric: mau, at_most: 1234567}", "1234567 users"),
        ("{metric: usage, at_most: 12.34567 %}", "12.34567 %"),
        ("{metric: usage, at_most: 0.3}", "30 %"),
        ("{metric: seats, above: 1000000}", "1000000 seats"),
        ("{metric: days_to_step, below: 13.5 days}", "13.5 days"),
    ],
)
def test_a_limit_is_told_with_all_its_digits(when, limit):
    (rule,) = config.parse(ONE.replace("{metric: usage, at_most: 30 %}", when), Rules).alerts
    assert rule.terms["limit"] == limit


def test_a_name_stands_once_and_is_not_built_in():
    second = ONE.partition("  rules:\n")[2]
    assert "alert quiet stands twice" in refused(ONE + second)
    assert "built in" in refused(ONE.replace("quiet", "mass-breach"))
    assert "quiet inhibits itself" in refused(f"{ONE}    inhibits: [quiet]\n")


def test_the_fingerprint_follows_what_decides_and_nothing_else():
    (rule,), (told,), (moved,) = (
        config.parse(text, Rules).alerts for text in (ONE, f"{ONE}    to: [manager]\n", ONE.replace("30 %", "31 %"))
    )
    assert rule.fingerprint == told.fingerprint != moved.fingerprint


def test_every_rule_of_the_domain_is_shipped():
    assert {rule.name for rule in RulesFile(None).current().alerts} == {
        "account-dormant",
        "adoption-below-target",
        "adoption-step-up-at-risk",
        "closure-below-target",
        "feature-first-use",
        "instance-unattributed",
        "production-overdue",
        "seats-exceeded",
        "telemetry-silent",
        "trial-approaching",
        "trial-breached",
        "trial-overlong",
        "trial-policy",
        "usage-unhealthy",
    }


def test_a_bad_file_leaves_the_last_good_one_in_force(tmp_path):
    path = tmp_path / "rules.yml"
    path.write_text(ONE)
    rules = RulesFile(path)
    assert [rule.name for rule in rules.current().alerts] == ["quiet"]
    path.write_text(ONE.replace("usage", "usge"))
    assert [rule.name for rule in rules.current().alerts] == ["quiet"]
    assert "usge" in rules.error
    assert "rules.yml: line 4" in check(tmp_path)[0]


@pytest.mark.parametrize(
    ("subject", "line", "problem"),
    [
        ("trial", "when: {all: [{reached: breached_on}]}", "write one limit"),
        ("instance", "when: {any: [{metric: unattributed_hours, at_least: 24}]}", "write one limit"),
        ("instance", "when: {metric: unattributed_hours, below: 24 hours}", "write one limit"),
        ("instance", "when: {metric: unattributed_hours, at_least: 100000000 hours}", "at most 87600 hours"),
        ("trial", "when: {reached: breached_on}, applies_to: {regions: [emea]}", "applies_to is about accounts"),
        ("team", "when: {metric: concluded, at_least: 5}, applies_to: {plans: [x]}", "applies_to is about accounts"),
        ("trial", "when: {reached: breached_on}, clear: {reached: policy_on}", "clear and severity_when are about"),
    ],
)
def test_what_only_a_clock_tells_is_one_limit_and_what_would_be_ignored_is_refused(subject, line, problem):
    text = f"groups: [{{name: a, rules: [{{alert: x, subject: {subject}, {line}}}]}}]"
    with pytest.raises(InvalidConfig, match=problem):
        config.parse(text, Rules)
