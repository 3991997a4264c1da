"""Revisions that an installation made: mapped, lost, and what it had sent before anybody knew whose it was."""

from datetime import timedelta

import pytest

from uptake.clock import utc_now


@pytest.fixture
def clock(clock):
    """The database stamps usage that waits with the real time."""
    clock.now = utc_now()
    return clock


@pytest.fixture
def give(attribution_of, metrics):
    async def give():
        await metrics.load()
        return await attribution_of(metrics).run_once()

    return give


@pytest.fixture
async def history(asking, metrics, fact, event, clock, reading, send):
    """ann of acme every day of the last weeks, published; an installation of hers that nobody has mapped."""
    days = [clock.now - timedelta(days=back) for back in range(1, 30)]
    async with reading(metrics):
        await send([event("acme", "ann", day) for day in days])
        await send([event("", user, day, instance="i-1") for day in days for user in ("bob", "cat")])
    await metrics.learn(fact("account.updated", account="acme", owner="kim"))
    await metrics.publish()
    await metrics.board.refresh()
    day = str(days[3].date())
    async with asking(metrics) as ask:

        async def history():
            clock.forward(minutes=1)
            await metrics.publish()
            path = "/api/v1/accounts/acme/history"
            return (await ask(path, **{"from": day, "to": day, "revisions": "all"}))[1]

        yield history


def mapped(fact, clock, account, at):
    """Facts of these tests are received now."""
    one = fact("instance.mapped", at, instance="i-1", account=account)
    return one.model_copy(update={"received_at": clock.now})


async def test_what_waited_for_a_mapping_is_told_with_it(history, metrics, fact, clock, give):
    clock.forward(minutes=1)
    mapping = mapped(fact, clock, "acme", "2026-01-01T00:00:00Z")
    await metrics.learn(mapping)
    await give()
    one = (await history())[-1]
    assert (one["revision"], one["causes"], one["kpis"]["mau"]) == (2, ["instance"], 3)
    assert [said["id"] for said in one["facts"]] == [mapping.event.id]


async def test_it_is_told_too_when_another_publication_came_between(history, metrics, fact, clock, give):
    clock.forward(minutes=1)
    await metrics.learn(mapped(fact, clock, "acme", "2026-01-01T00:00:00Z"))
    assert len(await history()) == 1  # the fact alone moves no number of the day
    await metrics.learn(fact("account.updated", account="acme", production_date="2026-01-01"))
    assert (await history())[-1]["causes"] == ["production_date"]
    clock.forward(minutes=1)
    await give()
    one = (await history())[-1]
    assert (one["revision"], one["causes"], one["facts"], one["kpis"]["mau"]) == (3, ["instance"], [], 3)


async def test_usage_through_an_installation_that_was_mapped_before_is_usage(
    history, metrics, fact, clock, give, reading, send, event
):
    await metrics.learn(mapped(fact, clock, "acme", "2026-01-01T00:00:00Z"))
    await give()
    assert (await history())[-1]["causes"] == ["instance"]
    clock.now = utc_now() + timedelta(minutes=5)
    async with reading(metrics):
        await send([event("", "dan", clock.now - timedelta(days=4), instance="i-1")])
    await give()
    one = (await history())[-1]
    assert (one["causes"], one["kpis"]["mau"]) == (["usage"], 4)


async def test_the_account_that_lost_an_installation_is_told_so(history, metrics, fact, clock, give):
    clock.forward(minutes=1)
    await metrics.learn(mapped(fact, clock, "acme", "2026-01-01T00:00:00Z"))
    await give()
    assert (await history())[-1]["kpis"]["mau"] == 3
    lost = mapped(fact, clock, "bolt", "2026-02-01T00:00:00Z")
    await metrics.learn(lost)
    await give()
    one = (await history())[-1]
    assert (one["revision"], one["causes"], one["kpis"]["mau"]) == (3, ["instance"], 1)
    assert [said["id"] for said in one["facts"]] == [lost.event.id]
