"""Published values: every revision stays, the newest is found, and what NATS has not got yet is known."""

from datetime import UTC, date, datetime, timedelta

import pytest

from uptake_metrics import snapshots
from uptake_metrics.snapshots import Snapshot

DAY = date(2026, 8, 3)
NOW = datetime(2026, 8, 4, 2, tzinfo=UTC)


def one(subject="account:acme", day=DAY, revision=1, **body):
    return Snapshot(subject, day, revision, body)


@pytest.fixture
def store(engine):
    async def store(function, *arguments):
        async with engine.begin() as connection:
            return await function(connection, *arguments)

    return store


async def test_the_newest_revision_of_each_day_is_found(store):
    first, second = one(mau=1), one(revision=2, mau=2)
    next_day = one(day=DAY + timedelta(days=1), mau=3)
    await store(snapshots.insert, [second, first, next_day, one("account:bolt", mau=9)], NOW)
    assert await store(snapshots.latest, "account:acme", date.min) == {DAY: second, next_day.day: next_day}
    assert await store(snapshots.latest, "account:acme", next_day.day) == {next_day.day: next_day}
    assert await store(snapshots.revisions, "account:acme", DAY, DAY) == {DAY: 2}
    assert await store(snapshots.revisions_on, DAY) == {"acme": 2, "bolt": 1}


async def test_what_is_published_is_never_overwritten(store):
    await store(snapshots.insert, [one(mau=1)], NOW)
    await store(snapshots.insert, [one(mau=2)], NOW)
    assert (await store(snapshots.latest, "account:acme", DAY))[DAY].body == {"mau": 1}


async def test_how_far_each_account_is_published(store):
    days = [one(day=DAY), one(day=DAY + timedelta(days=5)), one("account:a:b", day=DAY), one("trial:x", day=DAY)]
    await store(snapshots.insert, days, NOW)
    assert await store(snapshots.published_through) == {"acme": DAY + timedelta(days=5), "a:b": DAY}


async def test_what_is_not_sent_is_handed_out_oldest_first_until_it_is(store):
    """Limited to the oldest; a subject's stand together, so that its parts can be sent one after the other."""
    later = one("account:aaa", mau=1)
    await store(snapshots.insert, [one(mau=1), one(revision=2, mau=2)], NOW)
    await store(snapshots.insert, [later], NOW + timedelta(seconds=1))
    waiting = await store(snapshots.unsent, 10)
    assert waiting == [later, one(mau=1), one(revision=2, mau=2)]
    assert await store(snapshots.unsent, 2) == [one(mau=1), one(revision=2, mau=2)]
    await store(snapshots.mark_sent, waiting[:1])
    assert await store(snapshots.unsent, 10) == waiting[1:]


async def test_nothing_to_publish_is_no_statement(store):
    await store(snapshots.insert, [], NOW)
    assert await store(snapshots.unsent, 10) == []


async def test_the_newest_revision_of_many_days_as_text_accounts_before_trials(engine, store):
    days = [one(mau=1), one(revision=2, mau=2), one(day=DAY + timedelta(days=9)), one("account:bolt", mau=3)]
    trials = [one("trial:x", outcome=None), one("trial:x", revision=2, outcome="win")]
    await store(snapshots.insert, [*days, *trials], NOW)
    async with engine.connect() as connection:
        found = [line async for line in snapshots.bodies(connection, DAY, DAY + timedelta(days=1))]
    assert found == [
        ("account", '{"mau": 2}'),
        ("account", '{"mau": 3}'),
        ("trial", '{"outcome": null}'),
        ("trial", '{"outcome": "win"}'),
    ]
