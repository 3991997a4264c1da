"""Growth by month over HTTP: the counts, the people behind them, and the month that still runs."""

from datetime import date, timedelta

import pytest

GROWTH = "/api/v1/accounts/acme/growth"
PARTS = ("active", "new", "retained", "resurrected", "churned")


@pytest.fixture
async def ask(asking, metrics, event):
    """ann every month, bob in May and in August, cat in June only."""
    days = [("ann", f"2026-0{month}-10") for month in (5, 6, 7, 8)]
    days += [("bob", "2026-05-31"), ("bob", "2026-08-01"), ("cat", "2026-06-30"), ("bot", "2026-06-30")]
    await metrics.count(*(event("acme", user, day, actor="system" if user == "bot" else "human") for user, day in days))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        yield ask


async def test_people_move_between_the_months(ask):
    status, months = await ask(GROWTH, **{"from": "2026-05", "to": "2026-08"})
    assert status == 200
    assert {one["month"]: [one[part] for part in PARTS] for one in months} == {
        "2026-05": [2, 2, 0, 0, 0],
        "2026-06": [2, 1, 1, 0, 1],
        "2026-07": [1, 0, 1, 0, 1],
        "2026-08": [2, 0, 1, 1, 0],
    }
    assert [one["partial"] for one in months] == [False, False, False, True]
    assert {one["users"] for one in months} == {None}


async def test_the_months_before_the_first_asked_for_are_known(ask):
    _, (august,) = await ask(GROWTH, **{"from": "2026-08"})
    assert [august[part] for part in PARTS] == [2, 0, 1, 1, 0]


async def test_without_months_the_last_twelve_are_told(ask):
    _, months = await ask(GROWTH)
    assert (len(months), months[0]["month"], months[-1]["month"]) == (12, "2025-09", "2026-08")


@pytest.mark.parametrize("part", PARTS)
async def test_every_number_has_a_list_of_people_of_its_length(ask, part):
    _, months = await ask(GROWTH, **{"from": "2026-05", "list": part})
    assert [len(one["users"]) for one in months] == [one[part] for one in months]
    churned = {one["month"]: one["users"] for one in (await ask(GROWTH, list="churned"))[1]}
    assert (churned["2026-06"], churned["2026-07"]) == (["bob"], ["cat"])


async def test_a_month_is_partial_until_its_last_day_has_closed(ask, clock):
    clock.now = clock.now.replace(month=9, day=1, hour=1, minute=59)
    assert (await ask(GROWTH, **{"from": "2026-08", "to": "2026-08"}))[1][0]["partial"]
    clock.forward(minutes=1)
    assert not (await ask(GROWTH, **{"from": "2026-08", "to": "2026-08"}))[1][0]["partial"]


async def test_months_are_those_of_the_accounts_own_days(asking, metrics, event, fact):
    """An evening in New York is the next month in UTC."""
    await metrics.learn(fact("account.updated", account="ny", time_zone="America/New_York"))
    await metrics.count(
        event("ny", "ann", "2026-08-01T03:59:59+00:00"), event("ny", "bob", "2026-08-01T04:00:00+00:00")
    )
    async with asking(metrics) as ask:
        _, months = await ask("/api/v1/accounts/ny/growth", **{"from": "2026-07", "list": "active"})
    assert [one["users"] for one in months] == [["ann"], ["bob"]]


async def test_the_list_comes_as_csv_too(ask):
    _, text = await ask(GROWTH, **{"from": "2026-08", "list": "active", "format": "csv"})
    assert text.splitlines() == [
        "account,month,first_day,last_day,partial,active,new,retained,resurrected,churned,users",
        'acme,2026-08,2026-08-01,2026-08-31,true,2,0,1,1,0,"ann; bob"',
    ]


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({"from": "2026-09"}, "invalid_range"),
        ({"to": "2026-09"}, "invalid_range"),
        ({"from": "2026-08", "to": "2026-07"}, "invalid_range"),
        ({"from": "1970-01", "to": "1970-05"}, "invalid_range"),
        ({"from": "2010-01"}, "invalid_range"),
        ({"from": "2026-13"}, "invalid_request"),
        ({"list": "gone"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_answered_is_said(ask, query, error):
    status, said = await ask(GROWTH, **query)
    assert (status, said["error"]) == (400, error)


async def test_an_unknown_account_is_not_found(ask):
    assert (await ask("/api/v1/accounts/nobody/growth"))[0] == 404


async def test_the_first_months_there_are_can_be_asked_for(ask):
    status, months = await ask(GROWTH, to="1970-03")
    assert (status, [one["month"] for one in months]) == (200, ["1970-03"])
    assert date.fromisoformat(months[0]["last_day"]) - date.fromisoformat(months[0]["first_day"]) == timedelta(days=30)


async def test_where_people_may_not_be_listed_they_are_only_counted(ask, metrics, fact):
    _, counted = await ask(GROWTH)
    await metrics.learn(fact("account.updated", account="acme", user_lists=False))
    status, said = await ask(GROWTH, list="churned")
    assert (status, said["error"]) == (403, "user_lists_off")
    assert await ask(GROWTH) == (200, counted)
