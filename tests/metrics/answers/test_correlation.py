"""Saturation four weeks ago against usage, over accounts that really were counted."""

from datetime import date, timedelta

DAY = date(2026, 8, 24)  # closed in UTC


def worked(event, account, shares, days):
    """Two users, who both come on `days` of the last 28 days; one of them merged in the window before."""
    for user in ("ann", "bob"):
        for before in range(days):
            yield event(account, user, f"{DAY - timedelta(before)}", "edit")
        yield event(account, user, f"{DAY - timedelta(40)}", "edit")
    for user in ("ann", "bob")[:shares]:
        yield event(account, user, f"{DAY - timedelta(28)}", "merge")


async def rows(asking, metrics, **query):
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        status, found = await ask("/api/v1/correlation", **query)
    assert status == 200
    return {(line["kind"], line["name"]): line for line in found}


async def test_who_merged_before_comes_more_often_now(metrics, asking, event):
    """Nine accounts: 0, 1 or 2 of two users merged; more of them, more days. One more account is new."""
    events = [worked(event, f"a{n}", n // 3, 3 * (n // 3) + n % 3 + 1) for n in range(9)]
    await metrics.count(*(one for some in events for one in some), event("new", "ann", str(DAY), "merge"))
    found = await rows(asking, metrics, as_of=str(DAY))
    merge = found["feature", "merge"]
    assert (merge["n"], merge["left_out"], merge["reason"]) == (9, 1, None)
    assert merge["saturation_as_of"] == "2026-07-27"
    assert 0.9 < merge["pearson"] < 1
    assert merge["spearman"] == 0.9487  # ranks 2 2 2 5 5 5 8 8 8 against 1..9: sqrt(54 / 60)
    assert found["use_case", "source-control"]["pearson"] == merge["pearson"]  # `merge*` is its only feature here
    assert found["feature", "edit"] | {"name": ""} == merge | {
        "name": "", "pearson": None, "spearman": None, "reason": "constant"
    }  # fmt: skip


async def test_few_accounts_say_nothing(metrics, asking, event):
    await metrics.count(*worked(event, "acme", 1, 3))
    found = await rows(asking, metrics)
    assert {line["reason"] for line in found.values()} == {"too_few_accounts"}
    assert {line["as_of"] for line in found.values()} == {str(DAY)}  # the last closed day


async def test_nobody_at_all(metrics, asking):
    assert {line["n"] for line in (await rows(asking, metrics)).values()} == {0}


async def test_it_is_a_table_too(metrics, asking, event):
    await metrics.count(*worked(event, "acme", 1, 3))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        _, text = await ask("/api/v1/correlation", format="csv")
    assert text.startswith("kind,name,title,as_of,saturation_as_of,n,left_out,pearson,spearman,reason\r\n")


async def test_a_day_that_is_not_closed_or_has_no_day_four_weeks_before_is_refused(metrics, asking, event, clock):
    """On an open day, accounts whose local clock has not reached it would be left out without a word."""
    await metrics.count(*worked(event, "acme", 1, 3))
    await metrics.board.refresh()
    async with asking(metrics) as ask:
        for day in (DAY + timedelta(1), DAY + timedelta(2), DAY + timedelta(400), date(1970, 3, 28), date(1, 1, 1)):
            status, said = await ask("/api/v1/correlation", as_of=str(day))
            assert (status, said["error"]) == (400, "invalid_day")
            assert (
                "from 1970-03-29, since saturation is of 28 days before, to 2026-08-24, the last that" in said["detail"]
            )
        for day in (DAY, date(1970, 3, 29)):
            assert (await ask("/api/v1/correlation", as_of=str(day)))[0] == 200
