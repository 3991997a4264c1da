"""Rules that are new, changed or gone, over what is stored: against a real PostgreSQL."""

from datetime import UTC, date, datetime, timedelta

import pytest

from uptake_alerting import evaluation, following, listing, recording, store
from uptake_alerting.listing import Choice
from uptake_alerting.rules import Group, Rule, Rules

START, NOW = date(2026, 4, 1), datetime(2026, 5, 8, 3, tzinfo=UTC)


def rules(*many):
    return Rules(groups=(Group(name="some", rules=tuple(map(Rule.model_validate, many))),))


def few_users(below, name="few-users", **other):
    when = {"metric": "mau", "below": below}
    return {"alert": name, "subject": "account", "when": when, "for": "2"} | other


LATE_TRIALS = {"alert": "late-trials", "subject": "trial", "when": {"reached": "breached_on"}, "to": ["engineer"]}


@pytest.fixture
def follow(engine):
    return lambda found: following.follow(engine, found, NOW)


@pytest.fixture
def take(engine):
    async def run(found, *snapshots):
        async with engine.begin() as connection:
            await evaluation.take(connection, snapshots, found, NOW)

    return run


@pytest.fixture
def alerts(engine):
    async def run():
        async with engine.connect() as connection:
            found = await listing.alerts(connection, Choice(), 100, NOW)
        return sorted(f"{one.rule} {one.subject} {one.state} {one.reason}" for one in found)

    return run


@pytest.fixture
def days(account_day):
    def make(*users, account="acme"):
        return [account_day(START + timedelta(days=n), mau, account=account) for n, mau in enumerate(users)]

    return make


async def test_a_new_rule_looks_at_the_days_that_are_stored(take, follow, alerts, days):
    await take(rules(), *days(9, 8, 7), *days(40, 8, account="blue"))
    assert await follow(rules(few_users(10))) == ["few-users"]
    assert await alerts() == ["few-users acme firing firing"]


async def test_a_rule_that_was_loosened_takes_its_alert_back_and_one_that_was_tightened_fires(
    take, follow, alerts, days
):
    await take(rules(), *days(9, 9), *days(19, 19, account="blue"))
    await follow(rules(few_users(10)))
    await follow(rules(few_users(5)))
    assert await alerts() == ["few-users acme closed rule_changed"]
    await follow(rules(few_users(20)))
    assert await alerts() == [
        "few-users acme closed rule_changed",
        "few-users acme firing firing",
        "few-users blue firing firing",
    ]


async def test_an_alert_of_a_rule_that_is_gone_closes_and_the_rule_may_come_back(take, follow, alerts, days):
    await take(rules(), *days(9, 9))
    await follow(rules(few_users(10)))
    assert await follow(rules()) == ["few-users"]
    assert await alerts() == ["few-users acme closed rule_removed"]
    assert await follow(rules()) == []
    await follow(rules(few_users(10)))
    assert await alerts() == ["few-users acme closed rule_removed", "few-users acme firing firing"]


async def test_what_does_not_decide_when_it_fires_is_followed_without_a_look(take, follow, alerts, days):
    await take(rules(), *days(9, 9))
    await follow(rules(few_users(10)))
    told = few_users(10, to=["manager"], labels={"team": "north"}, annotations={"next_step": "Call."})
    assert await follow(rules(told)) == []
    assert await alerts() == ["few-users acme firing firing"]


async def test_a_new_rule_about_trials_finds_those_that_run(take, follow, alerts, trial):
    await take(rules(), trial(), trial(opportunity="o2", state="stopped", breached_on=None))
    await follow(rules(LATE_TRIALS))
    assert await alerts() == ["late-trials o1 firing firing"]


async def test_what_a_crash_interrupts_is_begun_again_and_told_once(monkeypatch, take, follow, alerts, engine, days):
    await take(rules(), *days(9, 9), *days(9, 9, account="blue"))
    monkeypatch.setattr(following, "ACCOUNTS_AT_A_TIME", 1)
    written, write = [], recording.write

    async def dies_at_the_second(connection, findings, now):
        found = list(findings)
        written.extend(found)
        if len(written) > 1:
            raise ConnectionError("the process dies here")
        await write(connection, found, now)

    monkeypatch.setattr(recording, "write", dies_at_the_second)
    with pytest.raises(ConnectionError):
        await follow(rules(few_users(10)))
    assert await alerts() == ["few-users acme firing firing"]
    async with engine.connect() as connection:
        assert await store.fingerprints(connection) == {}
    monkeypatch.setattr(recording, "write", write)
    assert await follow(rules(few_users(10))) == ["few-users"]
    assert await alerts() == ["few-users acme firing firing", "few-users blue firing firing"]
    async with engine.connect() as connection:
        (one, _) = await listing.alerts(connection, Choice(), 100, NOW)
        assert len((await listing.alert(connection, one.episode, NOW)).transitions) == 1


async def test_more_accounts_than_one_transaction_takes_are_all_looked_at(monkeypatch, take, follow, alerts, days):
    monkeypatch.setattr(following, "ACCOUNTS_AT_A_TIME", 2)
    names = [f"account-{number}" for number in range(5)]
    await take(rules(), *(day for name in names for day in days(9, 9, account=name)))
    await follow(rules(few_users(10)))
    assert await alerts() == [f"few-users {name} firing firing" for name in names]


async def test_an_alert_of_a_rule_that_is_about_something_else_now_closes(take, follow, alerts, days):
    await take(rules(), *days(9, 9))
    await follow(rules(few_users(10)))
    assert await follow(rules(LATE_TRIALS | {"alert": "few-users"})) == ["few-users"]
    assert await alerts() == ["few-users acme closed rule_removed"]


async def test_what_a_replica_opened_under_a_file_that_is_no_longer_there_closes(take, follow, alerts, days):
    await follow(rules())
    await take(rules(few_users(10)), *days(9, 9))  # it had not seen the new file yet
    assert await follow(rules()) == ["few-users"]
    assert await alerts() == ["few-users acme closed rule_removed"]
