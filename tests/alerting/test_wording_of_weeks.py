"""The week of one engineer, as it is read on Monday morning."""

from datetime import UTC, date, datetime, timedelta

from tests.alerting.test_wording import data_of
from uptake_alerting.wording import values_of_account, weekly

NOW = datetime(2026, 5, 4, 8, tzinfo=UTC)
MONDAY, DAY = date(2026, 5, 4), date(2026, 5, 3)


def test_accounts_stand_the_worst_first_then_trials_then_what_came_and_went(account_day, trial):
    accounts = [
        account_day(DAY, 60, account="fine", name="Fine"),
        account_day(DAY, 24, account="low", name="Low"),
        account_day(DAY, 40, account="near", name="Near"),
        account_day(DAY, None, account="mute", name="Mute", data_health="stale"),
    ]
    shown = values_of_account(accounts[1])
    old = data_of("adoption-below-target", "account", "low", shown)
    old = old.model_copy(update={"fired_at": NOW - timedelta(days=20)})
    new = data_of("usage-unhealthy", "account", "near", shown).model_copy(update={"fired_at": NOW - timedelta(2)})
    over = data_of("adoption-below-target", "account", "fine", shown, state="resolved", reason="on_target")
    over = over.model_copy(update={"fired_at": NOW - timedelta(days=9)})
    said = weekly("ce-1", MONDAY, accounts, [trial()], [old, new, over], NOW)
    assert said.headline == (
        "Week of 2026-05-04 for ce-1: 4 accounts, 2 off target; 1 running trials; 2 open alerts, 1 new, 1 over"
    )
    assert said.lines == (
        "Low: adoption 24 % (24/100); target 50 %, off target; usage unknown (unknown)",
        "Near: adoption 40 % (40/100); target 50 %, off target; usage unknown (unknown)",
        "Mute: adoption unknown (no telemetry); target 50 %, unknown; usage unknown (unknown); data stale",
        "Fine: adoption 60 % (60/100); target 50 %, on target; usage unknown (unknown)",
        "Trial o1 of Acme Corp: since 2026-02-02, 21 days over from 2026-02-24",
        f"New: {new.summary}",
        f"Over: {over.summary}",
    )


def test_nothing_to_say_is_no_notice():
    assert weekly("ce-1", MONDAY, [], [], [], NOW) is None


def test_of_very_many_the_worst_are_named_and_the_rest_is_counted(account_day, trial):
    accounts = [account_day(DAY, 24, account=f"a{number:03}", name=f"A{number:03}") for number in range(40)]
    said = weekly("ce-1", MONDAY, accounts, [trial(opportunity=f"o{n}") for n in range(11)], [], NOW)
    assert said.lines[14].startswith("A014: ")
    assert said.lines[15] == "And 25 more accounts."
    assert said.lines[-1] == "And 1 more trial."


def test_a_share_is_cut_and_never_rounded_up_to_the_target(account_day):
    said = weekly("ce-1", MONDAY, [account_day(DAY, 2499, den=10_000)], [], [], NOW)
    assert "24.9 %" in said.lines[0]
