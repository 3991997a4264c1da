"""Activity in a real PostgreSQL: what a checkpoint writes, what a compaction folds, and what is read back of both."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from uptake.reader import Cursor, Fenced
from uptake_metrics import activity_store, archive, mask_store
from uptake_metrics.activity_store import Position
from uptake_metrics.counting import MAX_DAY
from uptake_metrics.shard import CONTACT_USER, user_hash
from uptake_metrics.zones import to_day, to_number


def as_rows(masks):
    return list(zip(*(getattr(masks, name).tolist() for name in ("series", "epoch", "user", "mask")), strict=True))


async def stored(metrics, account, first=0, last=MAX_DAY, series=None):
    shard = metrics.counting.shard_of(account)
    async with metrics.engine.connect() as connection:
        return await mask_store.masks(connection, shard.number, first, last, series)


async def compact(metrics, account):
    async with metrics.engine.begin() as connection:
        return await mask_store.compact(connection, metrics.counting.shard_of(account).number)


@pytest.mark.parametrize("day", [date(1970, 1, 1), date(2026, 5, 10), date(2100, 12, 31)])
def test_days_and_their_numbers(day):
    assert to_day(to_number(day)) == day


async def test_a_checkpoint_is_read_back_as_it_was_counted(metrics, event):
    await metrics.count(
        event("acme", "ann", "2026-08-20"),
        event("acme", "Zoë", "2026-08-01", "view"),
        event("acme", "ann", "2020-02-29"),
    )
    shard = metrics.counting.shard_of("acme")
    found = as_rows(await stored(metrics, "acme"))
    ring = as_rows(shard.activity.dump())
    assert set(ring) < set(found)  # the archive holds the day of 2020 too
    old = to_number(date(2020, 2, 29))
    contact, total, edit = shard.contact("acme"), shard.total("acme"), shard.feature("acme", "edit")
    assert {row for row in found if row[1] == old >> 6} == {
        (contact, old >> 6, CONTACT_USER, 1 << (old & 63)),
        (total, old >> 6, user_hash("ann"), 1 << (old & 63)),
        (edit, old >> 6, user_hash("ann"), 1 << (old & 63)),
    }


async def test_compaction_changes_nothing_but_the_form(metrics, event):
    for day in ("2026-08-20", "2026-08-21", "2026-06-30", "2019-01-01"):
        await metrics.count(event("acme", "ann", day), event("acme", "bob", day, "view"))
    before = as_rows(await stored(metrics, "acme"))
    assert await compact(metrics, "acme") == 4
    assert await metrics.rows("SELECT count(*) FROM metrics.activity_delta") == [(0,)]
    assert as_rows(await stored(metrics, "acme")) == before
    await metrics.count(event("acme", "ann", "2026-08-20"), event("acme", "eve", "2026-08-20"))
    assert await compact(metrics, "acme") == 1
    assert await compact(metrics, "acme") == 0
    more = as_rows(await stored(metrics, "acme"))
    assert {row[:3] for row in before} < {row[:3] for row in more}
    old = {row[:3]: row[3] for row in before}
    assert all(row[3] & old.get(row[:3], 0) == old.get(row[:3], 0) for row in more)


async def test_only_the_epochs_and_series_asked_for_are_read(metrics, event):
    await metrics.count(event("acme", "ann", "2026-08-20"), event("acme", "ann", "2020-02-29"))
    await compact(metrics, "acme")
    await metrics.count(event("acme", "bob", "2026-08-20"), event("acme", "bob", "2020-02-29"))
    total, day = metrics.counting.shard_of("acme").total("acme"), to_number(date(2020, 2, 29))
    found = as_rows(archive.until(await stored(metrics, "acme", day, day, [total]), day))
    assert [row[:2] for row in found] == [(total, day >> 6)] * 2


async def positions(connection):
    return {number: one.position for number, one in (await activity_store.standings(connection)).items()}


async def test_a_position_moves_from_where_it_is_believed_to_be_or_not_at_all(metrics):
    async def in_transaction(function, *arguments):
        async with metrics.engine.begin() as connection:
            return await function(connection, *arguments)

    believed = await in_transaction(positions)
    await in_transaction(activity_store.confirm, believed)
    moved = await in_transaction(activity_store.advance, believed, Cursor("stream", 9))
    assert moved == dict.fromkeys(range(16), Position(Cursor("stream", 9), 1))
    for wrong in (Position(Cursor("other", 9), 1), Position(Cursor("stream", 8), 1), Position(Cursor("stream", 9), 0)):
        for expected in (dict.fromkeys(moved, wrong), moved | {3: wrong}, {3: wrong}):
            with pytest.raises(Fenced):
                await in_transaction(activity_store.advance, expected, Cursor("stream", 10))
            with pytest.raises(Fenced):
                await in_transaction(activity_store.confirm, expected)
    assert await in_transaction(positions) == moved


async def test_a_checkpoint_without_new_usage_fences_too(metrics, metrics_of):
    other = metrics_of()
    await other.load()
    async with metrics.engine.begin() as connection:
        alone = {3: metrics.counting.positions[3]}
        assert await activity_store.advance(connection, alone) == {3: Position(Cursor(None, 0), 1)}
    with pytest.raises(Fenced):
        async with metrics.engine.begin() as connection:
            await activity_store.confirm(connection, other.counting.positions)


async def test_a_second_writer_waits_for_the_first_and_loses(metrics):
    async with metrics.engine.begin() as connection:
        believed = await positions(connection)
        await activity_store.advance(connection, believed, Cursor("stream", 5))

        async def second():
            async with metrics.engine.begin() as other:
                await activity_store.advance(other, believed, Cursor("stream", 7))

        waiting = asyncio.create_task(second())
        done, _ = await asyncio.wait([waiting], timeout=0.3)
        assert not done
    with pytest.raises(Fenced):
        await waiting


async def test_names_are_of_one_account_and_sorted_by_code_point(metrics, event):
    users = ["bob", "Ann", "ann", "Zoë", "émile", "𝕏"]
    await metrics.count(*(event("acme", user, "2026-08-20") for user in users), event("other", "mia", "2026-08-20"))
    async with metrics.engine.connect() as connection:
        found = await activity_store.names(connection, "acme", map(user_hash, [*users, "mia", "nobody"]))
    assert found == ["Ann", "Zoë", "ann", "bob", "émile", "𝕏"]


async def test_usage_of_an_unknown_instance_is_kept_once_as_it_came(metrics, event):
    one = event("", "ann", "2026-08-20", instance="i-1", environment="trial", actor="staff")
    await metrics.count(one)
    await metrics.count(one, event("", "ann", "2026-08-21", instance="i-1"))
    kept = await metrics.rows(
        "SELECT instance, user_id, feature, environment, actor, occurred_at FROM metrics.unattributed_usage"
        " WHERE import_id = '' AND attributed_to IS NULL ORDER BY occurred_at"
    )
    at = datetime(2026, 8, 20, 12, tzinfo=UTC)
    assert kept == [
        ("i-1", "ann", "edit", "trial", "staff", at),
        ("i-1", "ann", "edit", "production", "human", at.replace(day=21)),
    ]
    assert list(metrics.counting.accounts()) == []
