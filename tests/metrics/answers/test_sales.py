"""Questions about trials and quarters: filters that combine, past days, CSV, and clear problems."""

import csv
import io

import pytest

from uptake_metrics.answers.sales import SORTS


@pytest.fixture
async def ask(asking, metrics, event, fact):
    """Four trials of two accounts."""

    def stage(name, at, account="acme", **other):
        return fact("opportunity.stage_changed", at, account=account, opportunity=name, **{"stage": 4} | other)

    await metrics.count(
        event("acme", "tess", "2026-08-25", environment="trial"),
        event("acme", "tom", "2026-08-12", environment="trial"),
        event("acme", "ann", "2026-08-25"),
    )
    await metrics.learn(
        fact("account.updated", account="acme", name="Acme", owner="dana", region="emea"),
        fact("account.updated", account="bolt", owner="mara", region="amer"),
        stage("new", "2026-08-20T09:00:00Z", engineer="kim"),
        stage("old", "2026-07-01T09:00:00Z", engineer="kim", complexity="complex"),
        stage("over", "2026-06-01T09:00:00Z", engineer="lee"),
        fact("trial.decided", "2026-07-10T09:00:00Z", opportunity="over", outcome="win"),
        stage("rest", "2026-08-01T09:00:00Z", "bolt", engineer="=lee"),
        stage("rest", "2026-08-10T09:00:00Z", "bolt", stage=3),
    )
    async with asking(metrics) as ask:
        yield ask


async def names(ask, **query):
    status, found = await ask("/api/v1/trials", **query)
    assert status == 200, found
    return [one["opportunity"] for one in found]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["old", "rest", "new", "over"]),
        ({"state": "running"}, ["old", "rest", "new"]),
        ({"state": "stopped"}, ["over"]),
        ({"complexity": "complex"}, ["old"]),
        ({"engineer": "kim"}, ["old", "new"]),
        ({"owner": "dana"}, ["old", "new", "over"]),
        ({"region": "amer"}, ["rest"]),
        ({"account": "bolt"}, ["rest"]),
        ({"flag": "paused"}, ["rest"]),
        ({"flag": "breached"}, ["old"]),
        ({"flag": "overlong"}, []),
        ({"flag": "policy"}, []),
        ({"owner": "dana", "state": "running", "complexity": "standard"}, ["new"]),
        ({"owner": "dana", "region": "amer"}, []),
        ({"limit": 2}, ["old", "rest"]),
        ({"sort": "opportunity"}, ["new", "old", "over", "rest"]),
        ({"sort": "-cycle_days"}, ["old", "over", "rest", "new"]),
        ({"sort": "-started", "limit": 1}, ["new"]),
        ({"sort": "stopped"}, ["over", "new", "old", "rest"]),
        ({"sort": "-stopped"}, ["over", "new", "old", "rest"]),
    ],
)
async def test_every_filter_and_order_combines(ask, query, found):
    assert await names(ask, **query) == found


async def test_every_order_there_is_can_be_asked_for(ask):
    for sort in SORTS:
        assert sorted(await names(ask, sort=sort)) == sorted(await names(ask, sort=f"-{sort}"))


async def test_a_line_has_its_usage_its_limits_and_whose_it_is(ask):
    _, (old,) = await ask("/api/v1/trials", complexity="complex")
    assert old["usage"] == {"as_of": "2026-08-25", "dau": 1, "wau": 1, "mau": 2, "reason": None}
    assert (old["name"], old["owner"], old["region"], old["engineer"]) == ("Acme", "dana", "emea", "kim")
    limits = [old[name] for name in ("approaching_on", "breached_on", "overlong_on", "policy_on")]
    assert limits == ["2026-07-26", "2026-08-01", None, "2026-10-02"]
    assert old["flags"] == ["approaching", "breached"]


async def test_a_past_day_is_told_as_it_was(ask, metrics, fact):
    async def told():
        _, found = await ask("/api/v1/trials", as_of="2026-08-12")
        return found

    before = await told()
    assert [(one["opportunity"], one["state"], one["cycle_days"]) for one in before] == [
        ("old", "running", 42),
        ("rest", "running", 9),
        ("over", "stopped", 39),
    ]
    assert before[0]["usage"] == {"as_of": "2026-08-12", "dau": 1, "wau": 1, "mau": 1, "reason": None}
    await metrics.learn(fact("trial.decided", "2026-08-20T09:00:00Z", opportunity="old", outcome="loss"))
    assert await told() == before
    assert [one["state"] for one in (await ask("/api/v1/trials", as_of="2026-06-30"))[1]] == ["running"]
    assert await ask("/api/v1/trials", as_of="2026-05-31") == (200, [])


@pytest.mark.parametrize(
    ("path", "query", "error", "field"),
    [
        ("trials", {"state": "paused"}, "invalid_request", "state: "),
        ("trials", {"complexity": "hard"}, "invalid_request", "complexity: "),
        ("trials", {"flag": "late"}, "invalid_request", "flag: "),
        ("trials", {"sort": "size"}, "invalid_request", "sort: "),
        ("trials", {"limit": 0}, "invalid_request", "limit: "),
        ("trials", {"format": "xml"}, "invalid_request", "format: "),
        ("trials", {"enginer": "kim"}, "invalid_request", "enginer: "),
        ("trials", {"as_of": "2026-08-26"}, "invalid_day", ""),
        ("team", {"quarter": "2026"}, "invalid_request", "quarter: "),
        ("team", {"quarter": "2026Q5"}, "invalid_request", "quarter: "),
        ("team", {"quarter": "0000Q1"}, "invalid_request", "quarter: "),
        ("team", {"quater": "2026Q1"}, "invalid_request", "quater: "),
    ],
)
async def test_a_question_that_is_none_names_its_field(ask, path, query, error, field):
    status, problem = await ask(f"/api/v1/{path}", **query)
    assert (status, problem["error"]) == (400, error)
    assert problem["detail"].startswith(field)


async def test_trials_as_csv(ask):
    status, text = await ask("/api/v1/trials", format="csv", account="bolt")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert status == 200
    assert (row["opportunity"], row["engineer"], row["flags"]) == ("rest", "'=lee", "paused")
    assert (row["cycle_days"], row["stopped"], row["usage.reason"]) == ("9", "", "no_telemetry")
    _, text = await ask("/api/v1/trials", format="csv", owner="nobody")
    assert text.startswith("opportunity,account,complexity,")


async def test_without_a_quarter_it_is_the_running_one(ask, clock):
    _, running = await ask("/api/v1/team")
    assert (running["quarter"], running["standard"]["n"], running["closure"]["num"]) == ("2026Q3", 1, 1)
    assert await ask("/api/v1/team", quarter="2026Q3") == (200, running)
    clock.forward(days=60)
    _, running = await ask("/api/v1/team")
    assert (running["quarter"], running["standard"]["n"]) == ("2026Q4", 0)


async def test_a_quarter_as_csv_is_one_row(ask):
    _, text = await ask("/api/v1/team", quarter="2026Q3", format="csv")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["quarter"], row["standard.n"], row["closure.value"], row["new_acv.cents"]) == (
        "2026Q3",
        "1",
        "1.0",
        "0",
    )
    assert row["complex.reason"] == "no_trials_stopped"


async def test_an_account_without_trials_has_none_and_one_that_nobody_knows_is_not_found(ask, metrics, event):
    await metrics.count(event("quiet", "ann", "2026-08-25"))
    assert await ask("/api/v1/trials", account="quiet") == (200, [])
    status, said = await ask("/api/v1/trials", account="nope")
    assert (status, said["error"]) == (404, "unknown_account")
