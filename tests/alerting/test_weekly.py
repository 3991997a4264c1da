"""The weekly digest on a real PostgreSQL: who gets it, when, and once."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.alerting.two_rules import RULES
from uptake_alerting import evaluation, weekly
from uptake_alerting.dispatch import InForce
from uptake_alerting.roster import Roster
from uptake_alerting.tables import delivery

MONDAY = datetime(2026, 5, 4, 8, tzinfo=UTC)
ROUTES = """
channels:
  mail: {type: webhook, url: "http://mail.test/", serves: [ce-1, ce-2]}
  pager: {type: pagerduty, routing_key: abc, serves: [ce-1]}
default: [mail]
"""


@pytest.fixture
def roster():
    tokyo = {"name": "ce-2", "time_zone": "Asia/Tokyo"}
    return Roster.model_validate({"people": [{"name": "ce-1"}, tokyo, {"name": "ce-3", "active": False}]})


@pytest.fixture
def take(engine):
    async def run(*snapshots):
        async with engine.begin() as connection:
            await evaluation.take(connection, snapshots, RULES, MONDAY)

    return run


@pytest.fixture
def make(engine, routes_file, roster):
    """Makes what is due at an instant, twice and by two replicas; whom the rows are for."""
    routes = routes_file(ROUTES).current()

    async def run(now, roster=roster):
        in_force = InForce(RULES.by_name, roster, routes)
        await asyncio.gather(*(weekly.make(engine, in_force, now) for _ in range(2)))
        await weekly.make(engine, in_force, now)
        async with engine.connect() as connection:
            rows = await connection.execute(select(delivery).where(delivery.c.episode.is_(None)))
            return [(row.person, row.channel, row.kind, row.status, row.content["headline"]) for row in rows]

    return run


async def test_on_monday_morning_whoever_owns_accounts_hears_of_them_once(take, make, account_day):
    await take(account_day(date(2026, 5, 2), 60), account_day(date(2026, 5, 3), 24))
    assert await make(MONDAY - timedelta(seconds=1)) == []
    headline = "Week of 2026-05-04 for ce-1: 1 accounts, 1 off target; 0 running trials; 0 open alerts, 0 new, 0 over"
    assert await make(MONDAY) == [("ce-1", "mail", "digest", "pending", headline)]
    assert len(await make(MONDAY + timedelta(hours=30))) == 1
    assert len(await make(MONDAY + timedelta(days=7))) == 2


async def test_morning_is_where_the_person_is(take, make, account_day):
    await take(account_day(date(2026, 5, 3), 24, owner="ce-2"))
    assert await make(MONDAY - timedelta(hours=9, seconds=1)) == []
    assert [row[0] for row in await make(MONDAY - timedelta(hours=9))] == ["ce-2"]


@pytest.mark.parametrize(
    ("known", "day"),
    [
        ({}, 4),
        ({"away": [{"from": "2026-05-04", "to": "2026-05-05"}]}, 6),
        ({"working_hours": {"days": ["thu", "fri"]}}, 7),
        ({"region": "uk"}, 5),
        ({"away": [{"from": "2026-05-01", "to": "2026-05-10"}]}, 11),
    ],
)
async def test_it_comes_on_the_first_morning_at_work_of_the_week(take, make, account_day, known, day):
    await take(account_day(date(2026, 5, 3), 24))
    roster = Roster.model_validate(
        {
            "people": [{"name": "ce-1"} | known],
            "regions": {"uk": {"time_zone": "UTC", "holidays": "uk"}},
            "holidays": {"uk": {"2026-05-04": "Early May"}},
        }
    )
    told = [at for at in (MONDAY + timedelta(hours=hour) for hour in range(8 * 24)) if await make(at, roster)]
    assert told[0] == datetime(2026, 5, day, 8, tzinfo=UTC)


async def test_a_morning_that_was_missed_by_more_than_a_day_is_let_go(take, make, account_day):
    await take(account_day(date(2026, 5, 3), 24))
    assert await make(MONDAY + timedelta(hours=37)) == []


@pytest.mark.parametrize("owner", ["ce-3", "somebody whom no channel serves", None])
async def test_who_left_whom_no_channel_serves_and_nobody_get_none(take, make, account_day, owner):
    await take(account_day(date(2026, 5, 3), 24, owner=owner))
    assert await make(MONDAY) == []


async def test_who_runs_a_trial_and_owns_no_account_gets_one(take, make, trial):
    await take(trial(engineer="ce-1"), trial(opportunity="o2", engineer="ce-2", state="stopped", breached_on=None))
    ((person, *_, headline),) = await make(MONDAY)
    assert person == "ce-1"
    assert "0 accounts, 0 off target; 1 running trials" in headline


@pytest.mark.parametrize(("left", "told"), [("2026-05-01T00:00:00Z", 0), ("9999-01-01T00:00:00Z", 1)])
async def test_an_account_that_left_is_not_told_of(take, make, account_day, left, told):
    await take(account_day(date(2026, 5, 3), 24, churned_at=left))
    assert len(await make(MONDAY)) == told
