"""An account whose people are not to be named: they are counted as before, and nobody is told who they are."""

from datetime import date

import pytest

from uptake_metrics.erasure import Erasing
from uptake_metrics.user_lists import UserListsOff

TODAY = date(2026, 8, 25)


@pytest.fixture
async def people(metrics, event):
    days = ["2026-08-25", "2026-08-01", "2026-03-01"]
    await metrics.count(*(event(name, user, day) for name in ("acme", "other") for user in "abc" for day in days))
    return metrics


@pytest.fixture
def forget(client):
    async def forget(metrics):
        await Erasing(metrics.engine, client.jetstream(), metrics.counting, metrics.register).run_once()

    return forget


def lists(fact, value, day):
    return fact("account.updated", f"2026-08-{day:02}T00:00:00Z", account="acme", user_lists=value)


async def named(metrics):
    return await metrics.rows("SELECT account, user_id FROM metrics.person ORDER BY 1, 2")


async def test_lists_are_refused_and_names_are_dropped_while_counts_stay(people, fact, forget, event, asking):
    before = await people.counted("acme", date(2026, 2, 1), TODAY)
    await people.learn(lists(fact, False, 1))
    await forget(people)
    await people.count(event("acme", "d", "2026-08-24"), event("other", "d", "2026-08-24"))
    assert await named(people) == [("other", user) for user in "abcd"]
    with pytest.raises(UserListsOff):
        await people.tally.users("acme", TODAY, "mau", None)
    await people.board.refresh()
    async with asking(people) as ask:
        for path in ("users?as_of=2026-08-25", "growth?list=active"):
            status, answer = await ask(f"/api/v1/accounts/acme/{path}")
            assert (status, answer["error"]) == (403, "user_lists_off")
        status, answer = await ask("/api/v1/accounts/other/users?as_of=2026-08-25")
        assert (status, answer["users"]) == (200, ["a", "b", "c", "d"])
    after = await people.counted("acme", date(2026, 2, 1), TODAY)
    assert after[: (date(2026, 8, 23) - date(2026, 2, 1)).days] == before[: (date(2026, 8, 23) - date(2026, 2, 1)).days]
    assert people.tally.now("acme", TODAY).counts.mau == 4


async def test_switched_on_again_people_are_named_as_they_come(people, fact, forget, event):
    await people.learn(lists(fact, False, 1))
    await forget(people)
    await people.learn(lists(fact, True, 2))
    assert await people.tally.users("acme", TODAY, "mau", None) == ["unnamed:1", "unnamed:2", "unnamed:3"]
    await people.count(
        event("acme", "b", "2026-08-25"), event("acme", "b", "2026-08-24"), event("acme", "c", "2026-08-25")
    )
    assert await people.tally.users("acme", TODAY, "mau", None) == ["b", "unnamed:1", "unnamed:2"]
    await people.count(*(event("acme", user, "2026-08-23") for user in "abc"))
    assert await people.tally.users("acme", TODAY, "mau", None) == ["a", "b", "c"]


async def test_another_process_does_not_bring_the_names_back(people, metrics_of, fact, forget, event):
    other = metrics_of()
    await other.load()  # and has not heard of the fact yet
    await people.learn(lists(fact, False, 1))
    await other.count(event("acme", "late", "2026-08-25"))
    await forget(people)
    assert [account for account, _ in await named(people)] == ["other"] * 3


async def test_only_the_newest_statement_stands(people, fact, forget):
    await people.learn(lists(fact, True, 3), lists(fact, False, 2))
    await forget(people)
    assert people.counting.lists.off == set()
    assert len(await named(people)) == 6
    await people.learn(lists(fact, None, 4))
    assert (people.counting.lists.off, people.counting.lists.again) == (set(), {"acme"})
