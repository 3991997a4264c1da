"""What cannot be evaluated is put off, and holds up nobody else."""

from datetime import date, timedelta

import pytest

TODAY = date(2026, 8, 25)


@pytest.fixture
def broken(metrics):
    """The numbers of account `bad` cannot be computed, until the returned set is emptied."""
    names, kpis = {"bad"}, metrics.evaluation.kpis

    def fail(name, *arguments):
        if name in names:
            raise OverflowError("date value out of range")
        return kpis(name, *arguments)

    metrics.evaluation.kpis = fail
    return names


async def test_one_account_that_cannot_be_evaluated_holds_up_no_other(metrics, event, clock, broken):
    names = ["bad", *(f"good-{number}" for number in range(12))]
    await metrics.count(*(event(name, "ann", "2026-08-20") for name in names))
    await metrics.publish()
    assert await metrics.revisions("account:bad") == {}
    for name in names[1:]:
        assert TODAY - timedelta(days=1) in await metrics.revisions(f"account:{name}")
    clock.forward(days=1)
    await metrics.publish()
    assert TODAY in await metrics.revisions("account:good-3")
    broken.clear()
    clock.forward(minutes=6)
    await metrics.publish()
    assert TODAY in await metrics.revisions("account:bad")


async def test_a_licence_from_the_beginning_of_time_is_evaluated(metrics, event, fact):
    """Ingestion takes none any more; one may be stored."""
    await metrics.count(event("acme", "ann", "2026-08-20"))
    await metrics.learn(
        fact("account.updated", account="acme", production_date="2026-01-01"),
        fact("license.issued", account="acme", license="l", seats=5, starts_at="0001-01-01T00:00:00Z"),
    )
    await metrics.publish()
    assert TODAY - timedelta(days=1) in await metrics.revisions("account:acme")


async def test_a_wish_to_erase_somebody_of_an_unknown_account_makes_no_account(metrics, fact):
    await metrics.learn(fact("user.deleted", account="slip", user="bob"))
    await metrics.publish()
    assert not metrics.board.knows("slip")
    assert await metrics.revisions("account:slip") == {}
