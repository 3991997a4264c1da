"""The team's quarter and the running trials out of the register: the pure numbers, and never older than the facts."""

from datetime import UTC, datetime

import pytest

from uptake_metrics.register import Register
from uptake_metrics.sales import Sales
from uptake_metrics.team import team_kpis


@pytest.fixture
def sold(fact):
    def sold(opportunity, at, account="acme", **said):
        said = {"recurring_cents": 100, "currency": "EUR", "outcome": "won"} | said
        told = fact("opportunity.closed", at, account=account, opportunity=opportunity, **said)
        return told.model_copy(
            update={"event": told.event.model_copy(update={"kind": "new"})}
        )  # a name of `fact`'s own

    return sold


@pytest.fixture
def stage(fact):
    def stage(opportunity, at, account="acme", **said):
        return fact("opportunity.stage_changed", at, account=account, opportunity=opportunity, **{"stage": 4} | said)

    return stage


async def test_what_is_left_out_changes_no_number(metrics, stage, sold, clock):
    for number in range(30):  # customers of earlier quarters, reopened deals, trials that run over the turn
        account, month = f"a{number % 7}", 1 + number % 9
        await metrics.learn(
            stage(f"o{number}", f"2026-0{month}-20T09:00:00Z", account),
            sold(f"o{number}", f"2026-0{month}-28T09:00:00Z", account),
        )
    await metrics.learn(sold("o3", "2026-08-20T09:00:00Z", "a3", recurring_cents=300))
    sales, register = Sales(metrics.register, "UTC", clock), metrics.register
    for quarter in ("2025Q4", "2026Q1", "2026Q2", "2026Q3", "2026Q4"):
        assert await sales.team(quarter) == team_kpis(quarter, register.trials.values(), register.deals)


async def test_the_numbers_follow_every_fact(metrics, sold, clock):
    sales = Sales(metrics.register, "UTC", clock)
    assert (await sales.team("2026Q3")).new_acv.cents == 0
    for number in range(1, 3):
        await metrics.learn(sold(f"o{number}", "2026-08-20T09:00:00Z"))
        assert (await sales.team("2026Q3")).new_acv.cents == 100 * number
    assert (await sales.team("2026Q3")) is (await sales.team("2026Q3"))  # worked out once


async def test_a_rebuild_at_the_same_fact_is_followed_too(metrics, sold, clock):
    await metrics.learn(sold("o1", "2026-08-20T09:00:00Z"))
    sales = Sales(metrics.register, "UTC", clock)
    assert (await sales.team("2026Q3")).new_acv.opportunities == 1
    metrics.register.trials, metrics.register.deals = {}, {}
    assert (await sales.team("2026Q3")).new_acv.opportunities == 0


async def test_running_trials_by_account(metrics, stage, sold, clock):
    sales = Sales(metrics.register, "UTC", clock)
    assert sales.running() == {}
    at = "2026-08-10T09:00:00Z"
    await metrics.learn(stage("o1", at), stage("o2", at), stage("o3", at, "bolt"), stage("o4", at, stage=3))
    assert sales.running() == {"acme": ["o1", "o2"], "bolt": ["o3"]}
    await metrics.learn(sold("o1", "2026-08-11T09:00:00Z"))
    assert sales.running() == {"acme": ["o2"], "bolt": ["o3"]}


@pytest.mark.parametrize(
    ("zone", "now", "day", "quarter"),
    [
        ("UTC", datetime(2026, 9, 30, 23, 30, tzinfo=UTC), "2026-09-30", "2026Q3"),
        ("Asia/Tokyo", datetime(2026, 9, 30, 23, 30, tzinfo=UTC), "2026-10-01", "2026Q4"),
        ("America/Los_Angeles", datetime(2026, 10, 1, 6, 59, tzinfo=UTC), "2026-09-30", "2026Q3"),
        ("America/Los_Angeles", datetime(2026, 10, 1, 7, 0, tzinfo=UTC), "2026-10-01", "2026Q4"),
    ],
)
def test_the_running_quarter_is_the_vendors(engine, clock, zone, now, day, quarter):
    async def reject(*_):
        raise AssertionError

    clock.now = now
    sales = Sales(Register(engine, zone, reject), zone, clock)
    assert (sales.today.isoformat(), sales.quarter) == (day, quarter)
