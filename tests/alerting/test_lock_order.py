"""Who records what came of a letter never waits for one alert while it holds another: no deadlock, no second copy."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import select, update

from tests.alerting.fakes.rows import Rows
from uptake_alerting import dispatch_store, meta, store
from uptake_alerting.tables import episode
from uptake_alerting.wording import values_of_account

NOW = datetime(2026, 5, 8, 3, tzinfo=UTC)


@pytest.fixture
def routes(routes_file, receiver):
    return routes_file(f'channels: {{team: {{type: slack, url: "{receiver.url}/team", allow_private: true}}}}')


@pytest.fixture
def rows(engine, account_day, routes):
    return Rows(engine, NOW, values_of_account(account_day(date(2026, 5, 7))), routes)


async def test_not_with_an_evaluation(rows, engine, courier_of, routes, receiver):
    """Ids are hashes: their order is another than that of subjects. Here it is turned around."""
    courier, _ = courier_of(routes)
    for name, due_at in (("a", NOW), ("b", NOW), ("m", NOW + timedelta(days=1))):
        await rows.notice(name, name, "team", "slack", due_at=due_at)
    subjects = {"a": "z", "m": "k", "b": "c"}
    async with engine.begin() as connection:
        for name, subject in subjects.items():
            await connection.execute(update(episode).where(episode.c.id == f"e-{name}").values(subject=subject))

    async def evaluate():
        async with engine.begin() as connection:
            await store.load_episodes(
                connection, [("adoption-below-target", name) for name in sorted(subjects.values())]
            )

    async with engine.begin() as connection:  # the evaluation has some of them, and waits for this one
        await connection.execute(select(episode.c.id).where(episode.c.id == "e-m").with_for_update())
        evaluating = asyncio.create_task(evaluate())
        await asyncio.sleep(0.2)
        sending = asyncio.create_task(courier.deliver_one(NOW))
        await receiver.arrived.wait()
        await asyncio.sleep(0.2)
    await asyncio.gather(evaluating, sending)
    assert not await courier.deliver_one(NOW + timedelta(minutes=2))
    assert len(receiver.got) == 1
    assert {row.status for name, row in (await rows.deliveries()).items() if name != "m"} == {"delivered"}


async def test_not_with_a_look_at_one_that_ends_another(rows, engine, courier_of, routes, receiver):
    """`alert-undelivered` is about the other, and both go to operators in one letter."""
    courier, _ = courier_of(routes)
    for name in ("a", "b"):
        await rows.notice(name, name, "team", "slack")
    async with engine.begin() as connection:
        about = update(episode).where(episode.c.id == "e-a").values(rule="alert-undelivered", subject="e-b")
        await connection.execute(about)
        await connection.execute(update(episode).where(episode.c.id == "e-b").values(look_at=NOW))
    async with engine.begin() as connection:
        looked = await dispatch_store.claim(connection, NOW, timedelta(), (), 500)
        assert [one.id for one in looked] == ["e-b"]
        sending = asyncio.create_task(courier.deliver_one(NOW))
        await receiver.arrived.wait()
        await asyncio.sleep(0.2)
        await meta.close_meta(connection, "alert-undelivered", "e-b", "delivered", NOW)
    await sending
    assert {row.status for row in (await rows.deliveries()).values()} == {"delivered"}
    assert len(receiver.got) == 1
