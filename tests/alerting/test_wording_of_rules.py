"""The words of every shipped rule, at its beginning and at its end, as its reader gets them."""

from datetime import UTC, datetime

import pytest

from uptake_alerting.rule_file import RulesFile
from uptake_alerting.rules import Rule
from uptake_alerting.wording import NEXT_STEPS, digest, notice, summary
from uptake_alerting.wording.examples import example
from uptake_alerting.wording.sentences import SENTENCES

NOW = datetime(2026, 5, 4, 2, tzinfo=UTC)
RULES = RulesFile(None).current().by_name
WHY = "this channel serves ce-1, who owns the account"
HEADLINES = {
    "adoption-below-target": (
        "Warning: Acme Corp is below its adoption target: 24 % (24/100 seats), target 50 %",
        "Resolved: Acme Corp is back on its adoption target: 52 % (52/100 seats), target 50 %",
    ),
    "adoption-step-up-at-risk": (
        "Info: Acme Corp is at 24 % (24/100 seats), and its target rises to 75 % after day 180",
        "Resolved: Acme Corp has reached its next adoption target: 76 % (76/100 seats)",
    ),
    "seats-exceeded": (
        "Warning: Acme Corp has outgrown its seats: 110 % (110/100 seats), limit 100 %",
        "Resolved: Acme Corp has room in its seats again: 24 % (24/100 seats), limit 100 %",
    ),
    "usage-unhealthy": (
        "Warning: Acme Corp is not in the habit: usage 25 %, limit 30 %",
        "Resolved: Acme Corp is in the habit again: usage 35.1 %",
    ),
    "account-dormant": (
        "Critical: Acme Corp: nobody was active in the 30 days to 2026-05-03",
        "Resolved: Acme Corp is active again: 24 active users",
    ),
    "feature-first-use": (
        "Info: Acme Corp used for the first time: deploy",
        "Info: Acme Corp used for the first time: deploy",
    ),
    "telemetry-silent": (
        "Warning: Acme Corp has sent nothing since 2026-04-28",
        "Resolved: Acme Corp sends data again",
    ),
    "production-overdue": (
        "Warning: Acme Corp has no production date; its contract began on 2025-12-01",
        "Resolved: Acme Corp went into production on 2026-01-01",
    ),
    "trial-approaching": (
        "Info: Trial opp-1 of Acme Corp is near its 21 days",
        "Resolved: Trial opp-1 of Acme Corp: the trial has stopped",
    ),
    "trial-breached": (
        "Warning: Trial opp-1 of Acme Corp runs past its 21 days",
        "Resolved: Trial opp-1 of Acme Corp: the trial has stopped",
    ),
    "trial-overlong": (
        "Warning: Trial opp-1 of Acme Corp runs for more than 30 days",
        "Resolved: Trial opp-1 of Acme Corp: the trial has stopped",
    ),
    "trial-policy": (
        "Warning: Trial opp-1 of Acme Corp runs for more than three months",
        "Resolved: Trial opp-1 of Acme Corp: the trial has stopped",
    ),
    "closure-below-target": (
        "Warning: Technical closure of 2026Q2 is 70 % (7/10 trials) so far, target 80 %",
        "Resolved: Technical closure of 2026Q2 is on target again: 80 % (8/10 trials)",
    ),
    "instance-unattributed": (
        "Warning: Installation installation-1 sends data, and nobody knows whose it is",
        "Resolved: Installation installation-1 belongs to an account now",
    ),
}
ACCOUNT = (
    "Adoption 24 % = 24 active users of 100 seats over 30 days, as of 2026-05-03.",
    "Target 50 % on day 122 (ce-2022), until day 180, then 75 %.",
    "Usage 25 % = 168 user-days of 672 (concerning).",
    "Trend of adoption: 24 % now, 26 % 7 days before, 31 % 28 days before.",
    "Trend of usage: 25 % now, 24.7 % 7 days before, 29.9 % 28 days before.",
)
BODY = {
    "adoption-below-target": ACCOUNT,
    "usage-unhealthy": ACCOUNT,
    "adoption-step-up-at-risk": ACCOUNT,
    "production-overdue": (ACCOUNT[0], *ACCOUNT[2:]),
    "telemetry-silent": (*ACCOUNT, "The data are stale: last contact 2026-04-28."),
    "account-dormant": (
        "Adoption 0 % = 0 active users of 100 seats over 30 days, as of 2026-05-03.",
        ACCOUNT[1],
        "Trend of adoption: 0 % now, 26 % 7 days before, 31 % 28 days before.",
    ),
    "trial-breached": (
        "A standard trial, started on 2026-04-10, due in 21 days, so it is over from 2026-05-02.",
        "Trial users: 8 in 30 days, 5 in 7 days, as of 2026-05-03.",
    ),
    "closure-below-target": ("Technical closure 70 % = 7 technical wins of 10 concluded in 2026Q2, target 80 %.",),
    "instance-unattributed": (
        "Its data wait since 2026-05-02T09:00:00Z and are counted, on their own days, once it is mapped.",
    ),
}
SINCE = "Since 2026-05-01."
OWNER = f"Owner: ce-1. You get this because {WHY}."


def test_every_shipped_rule_has_words_and_a_next_step():
    shipped = {name for name, rule in RULES.items() if rule.when is not None}
    assert shipped == HEADLINES.keys()
    assert RULES.keys() <= SENTENCES.keys()


@pytest.mark.parametrize("name", HEADLINES)
def test_the_headline_of_the_beginning_and_of_the_end(name):
    said = [notice(example(RULES[name], NOW, over=over), WHY).headline for over in (False, True)]
    assert said == list(HEADLINES[name])


@pytest.mark.parametrize("name", BODY)
def test_the_numbers_whose_it_is_why_you_and_what_next(name):
    said = notice(example(RULES[name], NOW), WHY)
    assert said.lines == (SINCE, *BODY[name], OWNER, f"Next step: {NEXT_STEPS[name]}")


def test_the_end_of_a_trial_tells_its_outcome_and_no_next_step():
    said = notice(example(RULES["trial-breached"], NOW, over=True), WHY, "terminal")
    assert said.lines == (
        "Since 2026-05-01; over because the trial has stopped.",
        "A standard trial, started on 2026-04-10, due in 21 days.",
        "It took 24 days; outcome: win.",
        OWNER,
    )


@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("adoption-below-target", "it has been on target for 3 closed days in a row"),
        ("usage-unhealthy", "its condition no longer holds"),
        ("telemetry-silent", "data arrive again"),
        ("trial-breached", "the trial has stopped"),
        ("instance-unattributed", "the installation belongs to an account now"),
    ],
)
def test_the_end_says_why(name, because):
    said = notice(example(RULES[name], NOW, over=True), WHY, "terminal")
    assert said.lines[0] == f"Since 2026-05-01; over because {because}."


@pytest.mark.parametrize(
    ("terms", "headline", "because"),
    [
        (
            {"when": {"metric": "usage", "at_most": "25 %"}},
            "Warning: Acme Corp is not in the habit: usage 25 %, limit 25 %",
            "its condition no longer holds",
        ),
        (
            {
                "when": {
                    "all": [{"metric": "usage", "at_most": "25 %"}, {"metric": "mau", "above": 5}],
                }
            },
            "Warning: Acme Corp is not in the habit: usage 25 %, limit usage at most 25 % and mau above 5",
            "its condition no longer holds",
        ),
    ],
)
def test_an_edited_rule_tells_its_own_limit(terms, headline, because):
    rule = Rule.model_validate({"alert": "usage-unhealthy", "subject": "account", **terms})
    assert notice(example(rule, NOW), WHY).headline == headline
    assert because in notice(example(rule, NOW, over=True), WHY, "terminal").lines[0]


@pytest.mark.parametrize(
    ("keep", "said"),
    [(1, "1 closed day"), (5, "5 closed days in a row"), ("1 day", "1 day"), ("2 business days", "2 business days")],
)
def test_an_edited_rule_tells_how_long_it_has_been_well(keep, said):
    target = {"metric": "adoption_status", "is": "off_target"}
    rule = Rule.model_validate(
        {
            "alert": "adoption-below-target",
            "subject": "account",
            "when": target,
            "clear": target | {"is": "on_target"},
            "keep_firing_for": keep,
        }
    )
    over = notice(example(rule, NOW, over=True), WHY, "terminal")
    assert over.lines[0] == f"Since 2026-05-01; over because it has been on target for {said}."


@pytest.mark.parametrize(
    ("mau", "said"),
    [
        (0, "nobody was active"),
        (1, "1 user was active"),
        (3, "3 users were active"),
        (None, "nobody knows who was active"),
    ],
)
def test_a_dormant_account_tells_how_many_were_active(mau, said):
    values = example(RULES["account-dormant"], NOW).values | {"mau": mau}
    assert summary("account-dormant", "acme", values, "firing", "firing").startswith(
        f"Acme Corp: {said} in the 30 days"
    )


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("trigger", "Warning"),
        ("update", "Update (Warning)"),
        ("reminder", "Reminder (Warning)"),
        ("escalation", "Escalated (Warning)"),
    ],
)
def test_each_kind_says_what_it_is(kind, label):
    said = notice(example(RULES["usage-unhealthy"], NOW), WHY, kind)
    assert said.headline == f"{label}: Acme Corp is not in the habit: usage 25 %, limit 30 %"


def test_a_digest_has_a_line_each_the_worst_first_and_then_what_is_over():
    names = ("trial-approaching", "usage-unhealthy", "account-dormant", "feature-first-use")
    over = example(RULES["seats-exceeded"], NOW, over=True)
    once = example(RULES["feature-first-use"], NOW).model_copy(update={"state": "closed", "reason": "one_shot"})
    said = digest([*(example(RULES[name], NOW) for name in names[:3]), over, once], "ce-1", "Alerts")
    assert said.headline == "Alerts for ce-1: 3 open, 2 over"
    assert said.lines == (
        "Critical: Acme Corp: nobody was active in the 30 days to 2026-05-03",
        "Warning: Acme Corp is not in the habit: usage 25 %, limit 30 %",
        "Info: Trial opp-1 of Acme Corp is near its 21 days",
        "Resolved: Acme Corp has room in its seats again: 24 % (24/100 seats), limit 100 %",
        "Info: Acme Corp used for the first time: deploy",
    )


def test_a_rule_of_ones_own_says_what_its_annotations_say():
    own = RULES["usage-unhealthy"].model_copy(
        update={"annotations": {"summary": "{who} uses it at {usage} {nothing}", "next_step": "Call them."}}
    )
    said = notice(example(own, NOW), WHY)
    assert said.headline == "Warning: Acme Corp uses it at 25 % unknown"
    assert said.lines[-1] == "Next step: Call them."
