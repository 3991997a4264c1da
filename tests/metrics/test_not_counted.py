"""What the activity policy refuses is kept as numbers of events, with the checkpoint that read them."""

from datetime import UTC, date, datetime, timedelta

import pytest

from uptake.clock import utc_now
from uptake_metrics import not_counted
from uptake_metrics.publishing import PUBLISHED_DAYS
from uptake_metrics.zones import last_closed_day

FIRST, LAST = date(2026, 8, 1), date(2026, 8, 25)
POLICY = """
versions:
  - actors: [human]
  - from: 2026-08-10
    actors: [human, staff]
    excluded_features: [export]
"""


@pytest.fixture
def refused(engine, clock):
    async def of(account, first=FIRST, last=LAST):
        async with engine.connect() as connection:
            return await not_counted.of(connection, account, first, last, clock())

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


async def test_days_of_long_ago_are_not_told_of_rather_than_told_as_none(metrics, event, refused, engine, clock):
    oldest = not_counted.kept_from(clock())
    days = [oldest - timedelta(days=1), oldest, LAST]
    await metrics.count(*(event("acme", "bot", str(day), actor="system") for day in days))
    async with engine.begin() as connection:
        await not_counted.prune(connection, clock())
    assert await metrics.rows("SELECT day FROM metrics.not_counted ORDER BY day") == [(oldest,), (LAST,)]
    assert await refused("acme", oldest, LAST) == {"actor": 2}
    assert await refused("acme", days[0], LAST) is None


def test_every_day_that_late_events_can_change_is_told_of(clock):
    """Its 30 days too, in the zone that is behind all others."""
    oldest = last_closed_day(clock(), "Etc/GMT+12") - timedelta(days=PUBLISHED_DAYS - 1)
    assert not_counted.kept_from(clock()) <= oldest - timedelta(days=29)


async def test_a_changed_zone_moves_them_too(metrics, event, fact, refused, send, reading, rezoning_of, clock):
    clock.now = utc_now()
    day = clock.now.date() - timedelta(days=3)
    at = datetime(day.year, day.month, day.day, 20, tzinfo=UTC)
    async with reading(metrics):
        await send([event("acme", "bot", at, actor="system"), event("acme", "ann", at), event("b", "x", at, "login")])
    await metrics.learn(fact("account.updated", account="acme", time_zone="Asia/Tokyo"))
    assert await refused("acme", day, day) == {"actor": 1}
    await rezoning_of(metrics).run_once()
    assert await refused("acme", day, day) == {}
    assert await refused("acme", day + timedelta(days=1), day + timedelta(days=1)) == {"actor": 1}
    assert await refused("b", day, day) == {"feature": 1}


async def test_what_another_account_is_given_is_no_longer_told_of_here(
    metrics, event, fact, refused, send, reading, attribution_of, clock
):
    clock.now = utc_now()
    day = clock.now.date() - timedelta(days=3)
    async with reading(metrics):
        await send([event("", "bot", str(day), actor="system", instance="i"), event("acme", "ann", str(day), "login")])
    for number, (name, of_acme, of_bolt) in enumerate([("acme", {"actor": 1}, {}), ("bolt", {}, {"actor": 1})], 1):
        await metrics.learn(fact("instance.mapped", f"2026-01-0{number}T00:00:00Z", instance="i", account=name))
        await attribution_of(metrics).run_once()
        assert await refused("acme", day, day) == of_acme | {"feature": 1}
        assert await refused("bolt", day, day) == of_bolt
