"""What the activity policy refuses is kept as numbers of events, with the checkpoint that read them."""

from datetime import date

import pytest

from uptake_metrics import not_counted

FIRST, LAST = date(2026, 8, 1), date(2026, 8, 25)
POLICY = """
versions:
  - actors: [human]
  - from: 2026-08-10
    actors: [human, staff]
    excluded_features: [export]
"""


@pytest.fixture
def refused(engine):
    async def of(account, first=FIRST, last=LAST):
        async with engine.connect() as connection:
            return await not_counted.of(connection, account, first, last)

    return of


async def test_refused_events_are_numbers_by_local_day_and_reason(metrics, event, refused, fact):
    await metrics.learn(fact("account.updated", account="tokyo", time_zone="Asia/Tokyo"))
    await metrics.count(
        event("acme", "ann", "2026-08-24"),
        event("acme", "ann", "2026-08-24", "sign_in"),
        event("acme", "bot", "2026-08-24", actor="system"),
        event("acme", "bot", "2026-08-23", actor="system"),
        event("acme", "ann", "2026-08-24", environment="dev"),
        event("tokyo", "ann", "2026-08-09T15:00:00+00:00", environment="dev"),  # the 10th there
    )
    assert await refused("acme") == {"actor": 2, "environment": 1, "feature": 1}
    assert await refused("acme", LAST.replace(day=24)) == {"actor": 1, "environment": 1, "feature": 1}
    assert await refused("tokyo", date(2026, 8, 10)) == {"environment": 1}
    assert await refused("tokyo", FIRST, date(2026, 8, 9)) == {}
    await metrics.count(event("acme", "bot", "2026-08-24", actor="system"))
    assert (await refused("acme"))["actor"] == 3


async def test_nothing_is_written_where_nothing_is_refused(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-24"), event("acme", "ann", "2026-08-24", environment="trial"))
    assert await metrics.rows("SELECT * FROM metrics.not_counted") == []


async def test_no_person_is_named(metrics, event):
    await metrics.count(event("acme", "bot-of-ann", "2026-08-24", actor="system"))
    assert "bot-of-ann" not in str(await metrics.rows("SELECT * FROM metrics.not_counted"))


async def test_each_day_is_counted_under_its_version(metrics_of, tmp_path, event, refused):
    (tmp_path / "activity.yml").write_text(POLICY)
    metrics = metrics_of(tmp_path)
    await metrics.load()
    await metrics.count(
        *(event("acme", "staff", f"2026-08-{day:02}", actor="staff") for day in (8, 9, 10, 11)),
        event("acme", "ann", "2026-08-09", "export"),
        event("acme", "ann", "2026-08-10", "export"),
        event("acme", "bob", "2026-08-10", "sign_in"),
    )
    days = await metrics.counted("acme", date(2026, 8, 8), date(2026, 8, 11))
    assert [dau for dau, _, _ in days] == [0, 1, 2, 1]
    assert await refused("acme") == {"actor": 2, "feature": 1}


async def test_a_policy_that_changes_counts_what_comes_from_then_on(metrics_of, tmp_path, event):
    (tmp_path / "activity.yml").write_text("versions: [{actors: [human]}]")
    metrics = metrics_of(tmp_path)
    await metrics.load()
    await metrics.count(event("acme", "one", "2026-08-20", actor="staff"))
    (tmp_path / "activity.yml").write_text("versions: [{actors: [human, staff]}]")
    await metrics.count(event("acme", "two", "2026-08-20", actor="staff"))
    assert await metrics.counted("acme", date(2026, 8, 20), date(2026, 8, 20)) == [(1, 1, 1)]
