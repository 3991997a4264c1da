"""A message says what broke, the numbers, since when, who owns it, why you, and what next; customers cannot inject."""

import re
from datetime import UTC, date, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uptake.messages.alerts import AlertData
from uptake_alerting.wording import (
    NEXT_STEPS,
    SLACK_LENGTH,
    Notice,
    notice,
    percent,
    slack_text,
    summary,
    values_of_account,
    values_of_trial,
)

NOW = datetime(2026, 5, 4, 2, 0, 30, tzinfo=UTC)


def data_of(rule, kind, subject, values, state="firing", reason="firing", owner="ce-1"):
    return AlertData(
        episode="e1",
        number=1,
        rule=rule,
        subject_kind=kind,
        subject=subject,
        account="acme",
        region="emea",
        severity="warning",
        state=state,
        reason=reason,
        since=date(2026, 5, 1),
        fired_at=datetime(2026, 5, 4, 2, tzinfo=UTC),
        detected_at=NOW,
        owner=owner,
        summary=summary(rule, subject, values, state, reason),
        next_step=NEXT_STEPS[rule],
        values=values,
    )


@pytest.fixture
def adoption(account_day):
    def make(state="firing", reason="firing", **what):
        values = values_of_account(account_day(date(2026, 5, 3), **what))
        return data_of("adoption-below-target", "account", "acme", values, state, reason)

    return make


def test_an_adoption_alert_says_everything_that_its_reader_needs(adoption):
    said = notice(
        adoption(seats_changed_on=date(2026, 4, 1), seats_before=80),
        "this channel serves ce-1, who owns the account",
    )
    assert said == Notice(
        "Warning: Acme Corp is below its adoption target: 24 % (24/100 seats), target 50 %",
        (
            "Since 2026-05-01.",
            "Adoption 24 % = 24 active users of 100 seats over 30 days, as of 2026-05-03.",
            "Target 50 % on day 200 (ce-2022), until day 270, then 75 %.",
            "Seats 80 -> 100 on 2026-04-01.",
            "Owner: ce-1. You get this because this channel serves ce-1, who owns the account.",
            "Next step: Ask the champion which teams have no access yet, and plan their onboarding.",
        ),
    )


def test_a_trial_alert_says_what_a_trial_is_about(trial):
    said = notice(data_of("trial-breached", "trial", "o1", values_of_trial(trial())), "this is a default channel")
    assert said.headline == "Warning: Trial o1 of Acme Corp runs past its 21 days"
    assert said.lines[1] == ("A standard trial, started on 2026-02-02, due in 21 days, so it is over from 2026-02-24.")


@pytest.mark.parametrize(
    ("state", "reason", "mau", "headline"),
    [
        (
            "resolved",
            "on_target",
            62,
            "Resolved: Acme Corp is back on its adoption target: 62 % (62/100 seats), target 50 %",
        ),
        ("closed", "churned", 10, "Closed: Acme Corp: the account has churned"),
        ("closed", "data_revised", 55, "Closed: Acme Corp: late data show that the condition did not hold"),
    ],
)
def test_the_end_says_what_ended_it(adoption, state, reason, mau, headline):
    said = notice(adoption(state, reason, mau=mau), "this is a default channel")
    assert said.headline == headline
    assert not any(line.startswith("Next step") for line in said.lines)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [("0", "0 %"), ("1/4", "25 %"), ("5/8", "62.5 %"), ("2496/10000", "24.9 %"), ("1/3", "33.3 %"), ("1.2", "120 %")],
)
def test_a_percentage_is_cut_and_never_rounded_up_to_the_target(ratio, text):
    assert percent(Fraction(ratio)) == text


def test_what_is_unknown_is_not_written_as_zero(adoption):
    assert "Adoption unknown" in notice(adoption(mau=None), "this is a default channel").lines[1]


def test_a_customers_name_cannot_call_the_channel_or_become_a_link(adoption):
    text = slack_text(
        notice(adoption(name="<!channel> <https://evil.example|Acme> & Sons"), "this is a default channel")
    )
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt;" in text
    assert "&amp; Sons" in text


@pytest.mark.parametrize("start", range(6))
def test_a_text_is_never_cut_within_an_entity(start):
    text = slack_text(Notice("x" * start + "&<>" * 1000, ()))
    assert len(text) <= SLACK_LENGTH
    assert re.fullmatch(r"\*x*(&(amp|lt|gt);)*…", text)


@given(st.text(max_size=4000), st.lists(st.text(max_size=500), max_size=8))
def test_slack_text_is_bounded_and_holds_no_markup_whatever_is_in_it(headline, lines):
    text = slack_text(Notice(headline, tuple(lines)))
    assert len(text) <= SLACK_LENGTH
    assert "<" not in text
    assert ">" not in text
    rest = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert "&" not in rest  # never half an entity


def test_a_long_name_is_shortened_to_one_line(adoption):
    headline = notice(replace_name(adoption(), "Acme\n" * 100), "this is a default channel").headline
    assert "\n" not in headline
    assert len(headline) < 200


def replace_name(data, name):
    values = {**data.values, "name": name}
    text = summary(data.rule, data.subject, values, data.state, data.reason)
    return data.model_copy(update={"values": values, "summary": text})
