"""What an alert tells of days that are over when it is found: against a real PostgreSQL and the shipped rules."""

from datetime import UTC, date, datetime, timedelta

import pytest

from uptake_alerting import evaluation, listing
from uptake_alerting.listing import Choice
from uptake_alerting.rule_file import RulesFile

START, NOW = date(2026, 4, 1), datetime(2026, 5, 8, 3, tzinfo=UTC)
RULES = RulesFile(None).current()


@pytest.fixture
def told(engine):
    """What is told of the alerts of one rule after some snapshots."""

    async def run(rule, *snapshots):
        async with engine.begin() as connection:
            await evaluation.take(connection, snapshots, RULES, NOW)
        async with engine.connect() as connection:
            return [one for one in await listing.alerts(connection, Choice(), 100, NOW) if one.rule == rule]

    return run


def days(account_day, *users, **other):
    return [account_day(START + timedelta(days=number), mau, **other) for number, mau in enumerate(users)]


async def test_what_was_used_first_is_that_of_its_own_day(told, account_day):
    first = account_day(START, 60, features_first_used=["deploy", "search"])
    (alert,) = await told("feature-first-use", first, *days(account_day, 60, 60, 60)[1:])
    assert (alert.state, alert.reason, alert.since) == ("closed", "one_shot", START)
    assert alert.summary == "Acme Corp used for the first time: deploy, search"


async def test_an_alert_that_was_over_before_tells_the_numbers_of_its_end(told, account_day):
    (alert,) = await told("adoption-below-target", *days(account_day, 24, 24, 24, 60, 60, 60, 80, 90))
    assert alert.state == "resolved"
    assert alert.summary == "Acme Corp is back on its adoption target: 60 % (60/100 seats), target 50 %"


async def test_one_that_lasts_tells_the_newest_numbers(told, account_day):
    (alert,) = await told("adoption-below-target", *days(account_day, 24, 25, 26, 27))
    assert alert.summary == "Acme Corp is below its adoption target: 27 % (27/100 seats), target 50 %"
