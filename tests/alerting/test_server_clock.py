"""One clock for all replicas, whatever a machine's own says."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from tests.alerting.two_rules import RULES
from uptake_alerting import evaluation, server_clock
from uptake_alerting.dispatch import Dispatch, InForce
from uptake_alerting.roster import Roster
from uptake_alerting.server_clock import ServerClock
from uptake_alerting.tables import delivery, episode

FOUR_DAYS = timedelta(days=4)


@pytest.fixture
def wrong_clock(monkeypatch):
    """This machine is four days ahead of the database."""
    monkeypatch.setattr(server_clock, "utc_now", lambda: datetime.now(UTC) + FOUR_DAYS)


async def test_whoever_cannot_wait_has_it_right_within_a_second(engine, wrong_clock):
    clock = ServerClock(engine)
    assert clock() - datetime.now(UTC) > timedelta(days=3)
    running = asyncio.create_task(clock.run())
    async with asyncio.timeout(5):
        while abs(clock() - datetime.now(UTC)) > timedelta(seconds=5):  # noqa: ASYNC110  # a table is asked
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_is_found_by_the_clock_of_the_database_is_told_by_it(engine, account_day, routes_file, wrong_clock):
    routes = routes_file("channels: {ops: {type: webhook, url: 'http://x/'}}\ndefault: [ops]").current()
    today = datetime.now(UTC).date()
    days = [account_day(today - timedelta(days=before), 24) for before in (4, 3, 2)]
    async with engine.begin() as connection:
        await evaluation.take(connection, days, RULES, await server_clock.read(connection))
    dispatch = Dispatch(engine, lambda: InForce(RULES.by_name, Roster(), routes), settle_s=0)
    running = asyncio.create_task(dispatch.run())
    async with asyncio.timeout(10):
        while not await _all(engine, delivery.c.id):  # noqa: ASYNC110  # a table is asked
            await asyncio.sleep(0.05)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    (found_at,) = await _all(engine, episode.c.detected_at)
    assert abs(found_at - datetime.now(UTC)) < timedelta(minutes=1)


async def _all(engine, column):
    async with engine.connect() as connection:
        return list(await connection.scalars(select(column)))
